from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.errors import ModelError
from regraft.files.convert import from_proto
from regraft.files.saving import INLINE_LIMIT, LAYOUTS, Layout
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.ir.weights import Derived, Value
from tests.shares import diagonal

COUNT = 4
SIZE = 3001
VALUES = [np.arange(i, i + SIZE, dtype=np.float32) for i in range(COUNT)]
ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))


def proto() -> onnx.ModelProto:
    """Large weights as initializers and in a Constant node, and a small one."""
    names = [f"w{i}" for i in range(COUNT - 1)]
    constant = helper.make_node("Constant", [], ["k"], name="constant", value=numpy_helper.from_array(VALUES[-1]))
    node = helper.make_node("Sum", ["x", *names, "k", "small"], ["y"], name="sum")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [SIZE]) for n in "xy")
    tensors = [numpy_helper.from_array(v, n) for v, n in zip(VALUES, names, strict=False)]
    tensors.append(numpy_helper.from_array(np.float32(1), "small"))
    return helper.make_model(helper.make_graph([constant, node], "graph", [x], [y], tensors), ir_version=10)


def save_source(folder: Path, external: bool) -> Path:
    path = folder / "model.onnx"
    keep = {"location": "weights.bin", "size_threshold": 1024, "convert_attribute": True}
    onnx.save(proto(), path, save_as_external_data=external, **keep)
    return path


def constants(model: Model) -> list[Constant]:
    made, total = model.graph.nodes
    return [*total.inputs[1:COUNT], made.attrs["value"]]


def assert_values(path: Path, expected: list[np.ndarray] | None = None) -> None:
    """As regraft reads the file and as onnx does."""
    expected = VALUES if expected is None else expected
    for constant, value in zip(constants(regraft.load(path)), expected, strict=True):
        assert constant.dtype == value.dtype
        np.testing.assert_array_equal(constant.values, value)
    read = onnx.load(path)
    for tensor, value in zip([*read.graph.initializer[:-1], read.graph.node[0].attribute[0].t], expected, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def tensors(path: Path) -> list[dict[str, str]]:
    header = onnx.load(path, load_external_data=False)
    found = [*header.graph.initializer, header.graph.node[0].attribute[0].t]
    return [{e.key: e.value for e in t.external_data} for t in found if t.data_location == TensorProto.EXTERNAL]


@pytest.fixture(params=[False, True], ids=["inline", "external"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save_source(tmp_path, request.param)


# ------------------------------------------------------------------------------------------------ layouts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_survive_each_layout(source: Path, layout: Layout) -> None:
    out = source.with_name("out.onnx")
    assert regraft.save(regraft.load(source), out, layout) == out
    assert_values(out)
    onnx.checker.check_model(out)


def test_an_inline_file_stands_alone(source: Path) -> None:
    out = source.with_name("out.onnx")
    regraft.save(regraft.load(source), out, "inline")
    alone = source.parent / "sub"
    alone.mkdir()
    out.rename(alone / "out.onnx")
    assert_values(alone / "out.onnx")


def test_external_data_lies_in_one_file_at_pages(source: Path) -> None:
    out = source.with_name("out.onnx")
    regraft.save(regraft.load(source), out, "external")
    entries = tensors(out)
    assert [e["location"] for e in entries] == ["out.onnx.data"] * COUNT
    assert [int(e["length"]) for e in entries] == [SIZE * 4] * COUNT
    assert [int(e["offset"]) for e in entries] == [i * 12288 for i in range(COUNT)]
    assert out.stat().st_size < 2000


def test_a_reference_copies_nothing(source: Path) -> None:
    before = files(source.parent)
    out = source.with_name("out.onnx")
    regraft.save(regraft.load(source), out, "reference")
    assert files(source.parent) == sorted([*before, "out.onnx"])
    assert {e["location"] for e in tensors(out)} == {before[-1]}
    assert out.stat().st_size < 2000


def test_a_reference_writes_what_changed(source: Path) -> None:
    model = regraft.load(source)
    constants(model)[1].values = VALUES[1] * 2
    out = source.with_name("out.onnx")
    regraft.save(model, out, "reference")
    origin = "weights.bin" if (source.parent / "weights.bin").exists() else "model.onnx"
    assert [e["location"] for e in tensors(out)] == [origin, "out.onnx.data", origin, origin]
    assert (source.parent / "out.onnx.data").stat().st_size == SIZE * 4
    assert_values(out, [VALUES[0], VALUES[1] * 2, *VALUES[2:]])


def test_a_reference_can_point_below_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    source = save_source(tmp_path / "sub", external=False)
    regraft.save(regraft.load(source), tmp_path / "out.onnx", "reference")
    assert {e["location"] for e in tensors(tmp_path / "out.onnx")} == {"sub/model.onnx"}
    assert_values(tmp_path / "out.onnx")


def test_a_reference_to_another_folder_is_refused(source: Path) -> None:
    (source.parent / "sub").mkdir()
    out = source.parent / "sub" / "out.onnx"
    with pytest.raises(ModelError, match=r"cannot write .*out\.onnx: layout 'reference': the weights stay in"):
        regraft.save(regraft.load(source), out, "reference")
    assert not files(out.parent)


def test_a_reference_of_a_file_to_itself_is_refused(tmp_path: Path) -> None:
    source = save_source(tmp_path, external=False)
    with pytest.raises(ModelError, match=r"the weights stay in .*model\.onnx, so the model must be another file"):
        regraft.save(regraft.load(source), source, "reference")
    assert_values(source)


def test_a_reference_to_a_file_that_was_replaced_is_refused(tmp_path: Path) -> None:
    source = save_source(tmp_path, external=False)
    model = regraft.load(source)
    regraft.save(model, source)
    with pytest.raises(ModelError, match=r"model\.onnx was replaced since it was read; use layout 'external'"):
        regraft.save(model, tmp_path / "out.onnx", "reference")


def test_auto_is_inline_where_it_fits(tmp_path: Path) -> None:
    source = save_source(tmp_path, external=True)
    regraft.save(regraft.load(source), tmp_path / "out.onnx")
    assert not tensors(tmp_path / "out.onnx")


def huge(model: Model) -> Model:
    def compute() -> np.ndarray:
        raise AssertionError("computed")

    constants(model)[0].values = Derived([], compute, [INLINE_LIMIT], np.uint8)
    return model


def test_what_does_not_fit_inline_is_refused_before_it_is_computed(source: Path) -> None:
    before = files(source.parent)
    with pytest.raises(ModelError, match=r"cannot write .*model\.onnx: 2\.0 GiB do not fit an inline file"):
        regraft.save(huge(regraft.load(source)), source, "inline")
    assert files(source.parent) == before
    assert_values(source)


def test_a_weight_of_two_tensors_is_written_once(tmp_path: Path) -> None:
    model = regraft.load(save_source(tmp_path, external=False))
    first, second, *_ = constants(model)
    second.values = first.lazy
    regraft.save(model, tmp_path / "out.onnx", "external")
    entries = tensors(tmp_path / "out.onnx")
    assert entries[0] == entries[1]
    assert_values(tmp_path / "out.onnx", [VALUES[0], VALUES[0], *VALUES[2:]])


@pytest.mark.parametrize("layout", ["inline", "external"])
@pytest.mark.parametrize(
    "dtype", [np.float16, np.int64, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.int4, ml_dtypes.float8_e5m2]
)
def test_new_values_of_any_dtype_are_written(tmp_path: Path, layout: Layout, dtype: type) -> None:
    model = regraft.load(save_source(tmp_path, external=False))
    array = (np.arange(6000).reshape(2, 3000) % 2).astype(dtype)
    weights = constants(model)
    weights[0].values = array
    weights[1].values = array.T  # not contiguous
    weights[2].values = Derived([array], lambda x: x[:, ::-1], array.shape, array.dtype)
    regraft.save(model, tmp_path / "out.onnx", layout)
    expected = [array, array.T, array[:, ::-1], VALUES[3]]
    for constant, value in zip(constants(regraft.load(tmp_path / "out.onnx")), expected, strict=True):
        assert (constant.dtype, constant.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(constant.values.astype(complex), value.astype(complex))
    assert [numpy_helper.to_array(t).dtype for t in onnx.load(tmp_path / "out.onnx").graph.initializer[:2]] == [
        dtype,
        dtype,
    ]


@pytest.mark.parametrize("path", diagonal(3, ARTIFACTS), ids=lambda p: p.stem)
@pytest.mark.parametrize("layout", ["inline", "external"])
def test_exported_models_keep_their_weights(tmp_path: Path, path: Path, layout: Layout) -> None:
    regraft.save(regraft.load(path), tmp_path / "out.onnx", layout)
    before, after = onnx.load(path).graph, onnx.load(tmp_path / "out.onnx").graph
    assert [t.name for t in before.initializer] == [t.name for t in after.initializer]
    for old, new in zip(before.initializer, after.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(old), numpy_helper.to_array(new))


# ------------------------------------------------------------------------------------------------ over the source


@pytest.mark.parametrize(
    "layouts", diagonal(2, [["external", "inline"] * 2, ["inline"] * 3, ["external"] * 5, ["auto", "external"]])
)
@pytest.mark.parametrize("again", [False, True], ids=["the same model", "loaded again"])
def test_saving_over_the_file_that_holds_the_weights(source: Path, layouts: list[Layout], again: bool) -> None:
    model = regraft.load(source)
    expected = list(VALUES)
    others = {"weights.bin"} & set(files(source.parent))
    for layout in layouts:
        model = regraft.load(source) if again else model
        first = constants(model)[0]
        first.values = Derived([first.lazy], lambda x: x + 1, first.shape, first.dtype)
        expected[0] = expected[0] + 1
        regraft.save(model, source, layout)
        assert_values(source, expected)
        data = {e["location"] for e in tensors(source)}
        assert set(files(source.parent)) == {"model.onnx"} | others | data
        assert bool(data) == (layout == "external")


def test_a_reference_to_its_own_data_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    regraft.save(from_proto(proto()), path, "external")
    model = regraft.load(path)
    constants(model)[0].values = VALUES[0] * 3
    regraft.save(model, path, "reference")
    assert files(tmp_path) == ["m.onnx", "m.onnx.1.data", "m.onnx.data"]
    assert_values(path, [VALUES[0] * 3, *VALUES[1:]])
    regraft.save(regraft.load(path), path, "external")
    assert len(files(tmp_path)) == 2
    assert_values(path, [VALUES[0] * 3, *VALUES[1:]])


def test_a_data_file_of_another_model_is_left(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.data").write_bytes(b"somebody else's")
    for _ in range(3):
        regraft.save(from_proto(proto()), tmp_path / "m.onnx", "external")
    assert (tmp_path / "m.onnx.data").read_bytes() == b"somebody else's"
    assert len(files(tmp_path)) == 3
    assert_values(tmp_path / "m.onnx")


def test_what_is_no_model_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("no model")
    (tmp_path / "m.onnx.data").write_text("no data")
    regraft.save(from_proto(proto()), tmp_path / "m.onnx")
    assert_values(tmp_path / "m.onnx")


# ------------------------------------------------------------------------------------------------ all or nothing


def failing(error: Exception) -> Callable[..., np.ndarray]:
    def compute(*_: np.ndarray) -> np.ndarray:
        raise error

    return compute


@pytest.mark.parametrize("layout", ["inline", "external", "reference"])
def test_a_failing_computation_leaves_everything_as_it_was(tmp_path: Path, layout: Layout) -> None:
    source = save_source(tmp_path, external=True)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    model = regraft.load(source)
    constants(model)[2].values = Derived([], failing(ValueError("boom")), [5000], np.float32)
    with pytest.raises(ValueError, match="boom"):
        regraft.save(model, source, layout)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize("layout", ["inline", "external"])
def test_a_broken_promise_names_file_and_tensor(tmp_path: Path, layout: Layout) -> None:
    source = save_source(tmp_path, external=False)
    model = regraft.load(source)
    constants(model)[2].values = Derived([VALUES[2]], lambda x: x[1:], [SIZE], np.float32)
    with pytest.raises(ModelError, match=r"cannot write .*model\.onnx: tensor 'w2': a derived weight came out as"):
        regraft.save(model, source, layout)
    assert files(tmp_path) == ["model.onnx"]
    assert_values(source)


@pytest.mark.parametrize("layout", ["inline", "external"])
@pytest.mark.parametrize("function", ["write", "copy_file_range", "replace"])
def test_a_disk_that_refuses_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, function: str
) -> None:
    source = save_source(tmp_path, external=True)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    model = regraft.load(source)

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(ModelError, match=r"cannot write .*model\.onnx: No space left on device; nothing was changed"):
        regraft.save(model, source, layout)
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_a_model_that_cannot_be_replaced_takes_its_data_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def refuse(old: str, new: Path) -> None:
        if new.name == "m.onnx":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        real(old, new)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ModelError, match="Permission denied"):
        regraft.save(from_proto(proto()), tmp_path / "m.onnx", "external")
    assert not files(tmp_path)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_kernel_copies_is_copied_by_hand(
    source: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.copy_file_range
    calls = []

    def partly(*args: int) -> int:
        calls.append(args)
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        return real(args[0], args[1], 100, args[3])

    monkeypatch.setattr(os, "copy_file_range", partly)
    out = source.with_name("out.onnx")
    regraft.save(regraft.load(source), out)
    assert_values(out)


@pytest.mark.parametrize("layout", ["inline", "external"])
def test_weights_that_became_shorter_are_refused(tmp_path: Path, layout: Layout) -> None:
    source = save_source(tmp_path, external=True)
    model = regraft.load(source)
    os.truncate(tmp_path / "weights.bin", 20000)
    with pytest.raises(
        ModelError, match=r"out\.onnx: tensor '.*': (.* was changed since it was loaded|the file .* became shorter)"
    ):
        regraft.save(model, tmp_path / "out.onnx", layout)
    assert files(tmp_path) == ["model.onnx", "weights.bin"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    source = save_source(tmp_path, external=False)
    source.chmod(0o640)
    (tmp_path / "link.onnx").symlink_to("model.onnx")
    regraft.save(regraft.load(tmp_path / "link.onnx"), tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert not source.is_symlink()
    assert stat.S_IMODE(source.stat().st_mode) == 0o640
    assert_values(source)


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    regraft.save(from_proto(proto()), tmp_path / "m.onnx", "external")
    expected = (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "m.onnx").stat().st_mode == (tmp_path / "m.onnx.data").stat().st_mode == expected


# ------------------------------------------------------------------------------------------------ bad requests


@pytest.mark.parametrize(
    ("path", "layout", "message"),
    [
        ("m.onnx", "outline", "no layout named 'outline'; known: auto, inline, external, reference"),
        (".", "auto", "it is a folder; name a file"),
        ("gone/m.onnx", "auto", "there is no folder"),
        ("n" * 300, "auto", "File name too long"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(tmp_path: Path, path: str, layout: Layout, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        regraft.save(from_proto(proto()), tmp_path / path, layout)
    assert not files(tmp_path)


# ------------------------------------------------------------------------------------------------ memory


PEAK = """
import sys
import numpy as np
import regraft
from regraft.ir.weights import Derived

def peak():  # not ru_maxrss, which has the parent's in it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

model = regraft.load(sys.argv[1])
weights = [c for node in model.graph.nodes for c in node.inputs[1:]]
for constant in weights:
    if sys.argv[3] == "derived":
        constant.values = Derived([constant.lazy], lambda x: x * 2, constant.shape, constant.dtype)
before = peak()
regraft.save(model, sys.argv[2], sys.argv[4])
print(peak() - before)
"""


@pytest.mark.parametrize(("kind", "tensors_in_memory"), [("as they are", 0.5), ("derived", 3.5)])
@pytest.mark.parametrize("layout", diagonal(2, ["external", "inline"]))
def test_memory_holds_one_weight_at_a_time(tmp_path: Path, kind: str, tensors_in_memory: float, layout: Layout) -> None:
    mib, count = 4, 12
    value = helper.make_tensor_value_info
    weight = np.ones(mib << 18, np.float32)
    nodes = [helper.make_node("Add", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(count)]
    ends = [value(f"x{i}", TensorProto.FLOAT, [mib << 18]) for i in (0, count)]
    weights = [numpy_helper.from_array(weight, f"w{i}") for i in range(count)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)), tmp_path / "m.onnx")
    command = [sys.executable, "-c", textwrap.dedent(PEAK), "m.onnx", "out.onnx", kind, layout]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(run.stdout) < tensors_in_memory * mib
    last = regraft.load(tmp_path / "out.onnx").graph.nodes[-1].inputs[1]
    assert isinstance(last.lazy, Value)
    assert last.values[-1] == (2 if kind == "derived" else 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, ml_dtypes.bfloat16, ml_dtypes.int4])
def test_a_message_has_every_weight_and_is_loaded_again(dtype: Any, tmp_path: Path) -> None:
    weight = np.arange(4096).reshape(64, 64).astype(dtype)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [],
        [onnx.helper.make_tensor_value_info("y", onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [64, 64])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    regraft.save(regraft.load(proto), tmp_path / "model.onnx")
    made = regraft.to_proto(regraft.load(tmp_path / "model.onnx"))
    assert made.graph.initializer[0] == proto.graph.initializer[0]
    onnx.checker.check_model(made)
