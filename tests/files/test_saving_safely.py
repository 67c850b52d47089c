"""Nothing that somebody needs is lost: killed writers, full disks, two writers, links, data that models share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.errors import ModelError
from regraft.files.convert import from_proto
from regraft.files.stream import partial, partial_folder, remove_stale, write_file
from tests.shares import diagonal

SIZE = 3000


def proto(number: float = 1.0, count: int = 2, size: int = SIZE) -> onnx.ModelProto:
    """A model of `count` weights, each full of `number`."""
    names = [f"w{i}" for i in range(count)]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [size]) for n in "xy")
    tensors = [numpy_helper.from_array(np.full(size, number, np.float32), n) for n in names]
    graph = helper.make_graph([helper.make_node("Sum", ["x", *names], ["y"])], "g", [x], [y], tensors)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])


def number_in(path: Path) -> float:
    """What the weights of the model at `path` are full of, as onnx reads it and as regraft does."""
    found = {float(n) for t in onnx.load(path).graph.initializer for n in np.unique(numpy_helper.to_array(t))}
    found |= {float(n) for t in regraft.load(path).graph.nodes[0].inputs[1:] for n in np.unique(t.values)}
    assert len(found) == 1, found
    return found.pop()


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ------------------------------------------------------------------------------------------------ what others refer to


@pytest.mark.parametrize(
    ("layout", "other"),
    diagonal(3, ["inline", "external", "auto"], ["other.onnx", "other", "sub/../other.onnx", "../above.onnx"]),
)
def test_data_that_another_model_refers_to_stays(tmp_path: Path, other: str, layout: str) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    path = folder / "m.onnx"
    regraft.save(from_proto(proto(2.0)), path, "external")
    regraft.save(regraft.load(path), folder / other, "reference")
    regraft.save(from_proto(proto(3.0)), path, layout)  # type: ignore[arg-type]
    assert number_in(folder / other) == 2.0
    assert number_in(path) == 3.0
    (folder / other).unlink()
    regraft.save(from_proto(proto(4.0)), path, "inline")
    assert number_in(path) == 4.0


def test_data_that_nobody_refers_to_any_longer_goes(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    regraft.save(from_proto(proto()), path, "external")
    regraft.save(from_proto(proto()), tmp_path / "stranger.onnx", "external")
    regraft.save(from_proto(proto()), path, "inline")
    assert files(tmp_path) == ["m.onnx", "stranger.onnx", "stranger.onnx.data"]


def test_a_dangling_link_of_the_name_of_the_data_is_left(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.data").symlink_to(tmp_path / "elsewhere")
    regraft.save(from_proto(proto()), tmp_path / "m.onnx", "external")
    assert files(tmp_path) == ["m.onnx", "m.onnx.1.data", "m.onnx.data"]


def test_a_model_behind_a_link_keeps_its_data(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.onnx"
    link.symlink_to(tmp_path / "real" / "model.onnx")
    for number in (5.0, 6.0):
        regraft.save(from_proto(proto(number)), link, "external")
        assert link.is_symlink()
        assert files(tmp_path) == ["link.onnx", "real"]
        assert number_in(tmp_path / "real" / "model.onnx") == number
        assert float(regraft.load(link).graph.nodes[0].inputs[1].values[0]) == number
    assert len(files(tmp_path / "real")) == 2


def test_links_that_go_round_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").symlink_to("b.onnx")
    (tmp_path / "b.onnx").symlink_to("a.onnx")
    with pytest.raises(ModelError, match=r"cannot write .*a\.onnx: "):
        regraft.save(from_proto(proto()), tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"cannot read .*a\.onnx: "):
        regraft.load(tmp_path / "a.onnx")


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device"])
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.onnx"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/null")
        case _:
            path.symlink_to("/dev/null")
    for act in (lambda: regraft.save(from_proto(proto()), path), lambda: write_file(path, b"x")):
        with pytest.raises(ModelError, match=r"cannot write .*: it is a (pipe|device); name a file"):
            act()
    with pytest.raises(ModelError, match=r"cannot read .*: it is a (pipe|device); name a file"):
        regraft.load(path)


# ------------------------------------------------------------------------------------------------ a source that moves


def derived(path: Path) -> regraft.Model:
    model = regraft.load(path)
    regraft.run(model, "convert-fp16")
    return model


@pytest.mark.parametrize("layout", ["inline", "external"])
@pytest.mark.parametrize("is_derived", [False, True])
def test_a_source_that_changed_is_noticed(tmp_path: Path, layout: str, is_derived: bool) -> None:
    source = tmp_path / "m.onnx"
    onnx.save(proto(), source)
    model = derived(source) if is_derived else regraft.load(source)
    with source.open("r+b") as file:
        file.seek(200)
        file.write(b"\x00\x01\x02\x03")
    os.utime(source, (1, 1))
    with pytest.raises(ModelError, match=r"cannot write .*m\.onnx was changed since it was loaded; load it again"):
        regraft.save(model, tmp_path / "out.onnx", layout)  # type: ignore[arg-type]
    assert files(tmp_path) == ["m.onnx"]


def test_a_source_that_is_cut_short_meanwhile_is_one_error(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    onnx.save(proto(count=6, size=2**21), source)
    model = derived(source)
    cut = threading.Thread(target=lambda: (time.sleep(0.03), os.truncate(source, 100_000)))
    cut.start()
    refusal = ""
    for n in range(100):
        try:
            regraft.save(model, tmp_path / f"{n}.onnx")
        except ModelError as error:
            refusal = str(error)
            break
    cut.join()
    assert "was changed since it was loaded" in refusal or "became shorter" in refusal
    assert not [name for name in files(tmp_path) if name.endswith((".partial", ".data"))]


# ------------------------------------------------------------------------------------------------ writers that die

WRITER = """
import sys
import numpy as np
from tests.files.test_saving_safely import proto
import regraft
from regraft.files.convert import from_proto
path, number, layout, times = sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
model = from_proto(proto(number, count=4, size=200_000))
print("ready", flush=True)
for _ in range(times):
    regraft.save(model, path, layout)
"""


def writer(path: Path, number: float, layout: str, times: int = 10_000) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(number), layout, str(times)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("layout", ["inline", "external"])
def test_a_killed_writer_leaves_a_whole_model(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "m.onnx"
    regraft.save(from_proto(proto(1.0)), path)
    for delay in (0.001, 0.01, 0.02, 0.03, 0.05):
        process = writer(path, 2.0, layout)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert number_in(path) in (1.0, 2.0)
    regraft.save(from_proto(proto(3.0)), path, "inline")
    assert number_in(path) == 3.0
    assert not [name for name in files(tmp_path) if name.endswith(".partial")]


@pytest.mark.parametrize("layout", diagonal(2, ["external", "inline"]))
def test_two_writers_leave_the_model_of_one(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "m.onnx"
    regraft.save(from_proto(proto(1.0)), path)
    writers = [writer(path, number, layout, times=15) for number in (2.0, 3.0)]
    assert [process.wait() for process in writers] == [0, 0]
    assert number_in(path) in (2.0, 3.0)
    assert not [name for name in files(tmp_path) if name.endswith(".partial")]


@pytest.mark.parametrize("layout", ["inline", "external"])
def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "m.onnx"
    regraft.save(from_proto(proto(1.0)), path, "external")
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    code = f"""
        import resource, signal, sys
        from tests.files.test_saving_safely import proto
        from regraft.cli import cli
        from regraft.files.convert import from_proto
        import regraft
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            regraft.save(from_proto(proto(2.0, size=200_000)), {str(path)!r}, {layout!r})
        except regraft.RegraftError as error:
            sys.exit(str(error))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "nothing was changed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


# ------------------------------------------------------------------------------------------------ what they left


def test_what_a_dead_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    (tmp_path / ".m.onnx.0123abcd.partial").write_text("left")
    (tmp_path / ".m.onnx.1123abcd.partial").mkdir()
    (tmp_path / ".other.onnx.0123abcd.partial").write_text("not of this model")
    with partial(path) as (_, mine), partial_folder(path) as folder:
        remove_stale(path)
        assert mine.exists()
        assert folder.exists()
        assert files(tmp_path) == sorted([".other.onnx.0123abcd.partial", mine.name, folder.name])
    assert files(tmp_path) == [".other.onnx.0123abcd.partial"]


def test_all_is_on_the_disk_before_it_takes_the_place_of_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    regraft.save(from_proto(proto()), tmp_path / "m.onnx", "external")
    assert calls == ["fsync", "link", "fsync", "fsync", "replace", "fsync"]


def test_a_command_that_is_ended_cleans_up(tmp_path: Path) -> None:
    source, out = tmp_path / "m.onnx", tmp_path / "out.onnx"
    onnx.save(proto(count=1), source)
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\nimport numpy as np\nimport regraft\nfrom regraft.ir.weights import Derived\n"
        "def compute(x):\n    print('writing', flush=True)\n    time.sleep(60)\n    return x\n"
        'class Slow(regraft.Pass):\n    """Take long to save."""\n    name = "slow"\n'
        "    def run(self, model, context):\n"
        "        w = model.graph.nodes[0].inputs[1]\n"
        "        w.values = Derived([w.lazy], compute, w.shape, w.dtype)\n"
        "        context.note('slow')\n"
    )
    command = [sys.executable, "-c", "from regraft.cli import main; main()", "rewrite", str(source), "-o", str(out)]
    command += ["--load", str(slow), "--pipeline", "slow", "--layout", "external", "--verify", "none"]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)):
        if signal.getsignal(number) is signal.SIG_IGN:  # as under nohup; a command leaves it so
            continue
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        assert any(name.endswith(".partial") for name in files(tmp_path))
        process.send_signal(number)
        _, errors = process.communicate()
        assert (process.returncode, errors.lstrip("\n")) == (code, "regraft: interrupted\n")
        assert files(tmp_path) == ["m.onnx", "slow.py"]
