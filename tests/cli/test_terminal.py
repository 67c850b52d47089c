"""What a model calls its values reaches the terminal as escapes, never as it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from regraft.cli.output import fitted, table
from regraft.errors import ModelError, visible
from regraft.pipelines.registry import targets

EVIL = "\x1b]0;PWNED\x07\x1b[31mRED\nregraft: all is well\r\t\x9b2J\u202eback\u2028"
CLI = Path(__file__).parents[2] / "regraft" / "cli"


def hostile() -> onnx.ModelProto:
    """A model in which every text is hostile."""
    names = {n: f"{EVIL}{n}" for n in ("x", "y", "w", "a", "b")}
    x, y = (helper.make_tensor_value_info(names[n], TensorProto.FLOAT, [f"{EVIL}dim", 4]) for n in "xy")
    nodes = [
        helper.make_node("MatMul", [names["x"], names["w"]], [names["a"]], f"{EVIL}node"),
        helper.make_node("Identity", [names["a"]], [names["b"]], f"{EVIL}other"),
        helper.make_node("Neg", [names["b"]], [names["y"]], doc_string=EVIL),
    ]
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), names["w"])
    model = helper.make_model(helper.make_graph(nodes, EVIL, [x], [y], [weight]), ir_version=8, producer_name=EVIL)
    helper.set_model_props(model, {f"{EVIL}key": f"{EVIL}value"})
    return model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(hostile(), path)
    return path


def harmless(text: str) -> bool:
    return not re.search(
        r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]|^regraft: all is well", text, re.MULTILINE
    )


@pytest.mark.parametrize(
    "words",
    [
        ["show", "M"],
        ["show", "M", "--json"],
        ["show", "M", "--graph"],
        ["run", "M"],
        ["run", "M", "--json"],
        ["diff", "M", "OTHER"],
        ["rewrite", "M", "-o", "OUT", "--verify", "each", "--timing"],
        ["rewrite", "M", "-o", "OUT", "--pipeline", "convert-opset{version=1}"],
        ["rewrite", "M", "-o", "OUT", "--pipeline", "set-shapes{nothing=4}"],
        ["verify", "M", "M"],
        ["check", "M", "--target", "neuron-inf1{batch=1}"],
        ["legalize", "M", "--target", "tvm", "--explain"],
        ["why", "M", "--pass", "fuse-gelu"],
        ["bench", "M", "M", "--runs", "1"],
        ["run", "M", "--inputs", "nothing=4x4"],
    ],
    ids=" ".join,
)
def test_names_never_steer_the_terminal(run, path, tmp_path, words):
    other = hostile()
    other.graph.node[1].op_type = "Abs"
    onnx.save(other, tmp_path / "other.onnx")
    places = {"M": path, "OTHER": tmp_path / "other.onnx", "OUT": tmp_path / "out.onnx"}
    result = run(*(places.get(word, word) for word in words))
    assert result.exit_code in (0, 1, 2)
    assert "unexpected" not in result.stderr
    assert harmless(result.stdout), repr(result.stdout)
    assert harmless(result.stderr), repr(result.stderr)
    assert result.exit_code < 2 or result.stderr.count("\n") == 1


def test_an_error_is_one_line_for_those_who_print_it_themselves():
    assert str(ModelError(f"no {EVIL}")).isprintable()
    assert visible("é 漢 ok") == "é 漢 ok"
    assert visible("a\x1b\n\udcff") == "a\\x1b\\n\\udcff"


def in_terminal(width: int, *words: object, **environment: str) -> str:
    """What a command prints in a terminal of `width` columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    command = [sys.executable, "-c", "from regraft.cli import main; main()", *map(str, words)]
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "TERM")}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=plain | {"TERM": "xterm", **environment}
    )
    os.close(theirs)
    read = bytearray()
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(ours, 2**16):
            read += part
    os.close(ours)
    process.wait()
    return read.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("width", [60, 100])
def test_tables_fit_the_terminal(run, monkeypatch, width):
    monkeypatch.setattr(targets, "_added", {})  # those of other tests
    lines = in_terminal(width, "targets", NO_COLOR="1").splitlines()
    assert max(map(len, lines)) <= width
    words = run("targets").stdout.split()
    assert sorted(" ".join(lines).split()) == sorted(words)  # all is there


@pytest.mark.parametrize(("environment", "styled"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_escape_codes_only_where_they_are_welcome(model, tmp_path, environment, styled):
    text = in_terminal(80, "rewrite", model, "-o", tmp_path / "out.onnx", "--pipeline", "fuse-gelu", **environment)
    assert "2 erf" in text
    assert ("\x1b" in text) == styled


def test_a_pipe_gets_no_escape_codes_and_whole_cells(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = run("targets").stdout
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(targets.names())


@pytest.mark.parametrize(
    ("cells", "room", "widths"),
    [
        ([["a" * 30], ["1"]], 80, [30, 1]),
        ([["a" * 30], ["1"]], 25, [22, 1]),
        ([["a" * 30], ["b c" * 20]], 70, [30, 38]),
        ([["a" * 30], ["b c" * 20]], 45, [23, 20]),
        ([["a" * 30], ["b c" * 20]], 5, [16, 20]),
        ([["a" * 30], ["b c" * 20]], None, [30, 60]),
        ([["a" * 10], ["b c"]], 5, [10, 3]),
    ],
)
def test_text_is_narrowed_before_names_and_numbers_never(cells, room, widths):
    assert fitted(cells, [1] if cells[1] == ["1"] else [], room) == widths


def test_a_name_keeps_both_of_its_ends(capsys, monkeypatch):
    monkeypatch.setattr("regraft.cli.output.columns", lambda: 30)
    table([("/encoder/layer.0/attention/MatMul_1", "two words")])
    assert capsys.readouterr().out == "/encoder/…/MatMul_1  two words\n"


def test_there_is_one_place_where_text_goes_to_the_terminal():
    printing = re.compile(r"click\.s?echo\(|\bprint\(|sys\.std(out|err)\.write")
    found = [p.name for p in CLI.rglob("*.py") if printing.search(p.read_text()) and p.name != "terminal.py"]
    assert not found
