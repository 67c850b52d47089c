from __future__ import annotations

import sys

import pytest

from tests.benchmarks import table
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.measure import Limits, run, settle


def python(code: str, **limits):
    return run([sys.executable, "-c", code], Limits(**limits))


def test_time_and_memory_are_those_of_the_child():
    small, large = python("pass"), python("import time; x = b'x' * 200_000_000; time.sleep(0.3)")
    assert not small.failure
    assert not large.failure
    assert large.peak_bytes > 200e6
    assert large.seconds > small.seconds + 0.2


@pytest.mark.parametrize(
    ("code", "limits", "failure"),
    [
        ("raise ValueError('no such op')", {}, "ValueError: no such op"),
        ("raise SystemExit(3)", {}, "exit code 3"),
        ("import os; os.abort()", {}, "the process died: SIGABRT"),
        ("import time; time.sleep(60)", {"seconds": 0.5}, "stopped after 0.5 s"),
        ("b'x' * (2 << 30)", {"address_space": 1 << 30}, "MemoryError"),
    ],
)
def test_a_failure_is_named_and_ends_nobody_else(code, limits, failure):
    assert python(code, **limits).failure == failure


def test_an_old_output_is_gone_before_a_run(tmp_path):
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    for path in (source, target, tmp_path / "out.onnx.data"):
        path.write_bytes(b"x")
    settle(source, target)
    assert list(tmp_path.iterdir()) == [source]


def test_the_table_shows_what_is_missing():
    rows = [{"contestant": "a", "note": "absent"}, {"contestant": "b", "seconds": 1.5, "note": ""}]
    assert table.markdown(rows).splitlines()[2:] == ["| a | - | absent |", "| b | 1.5 |  |"]


def test_every_contestant_has_a_command_of_its_own():
    commands = {tuple(c.command("in", "out")) for c in CONTESTANTS}
    assert len(commands) == len(CONTESTANTS)
