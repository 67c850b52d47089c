"""Fixtures that all tests share, and how few of the slow ones are run."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("regraft", deadline=None)  # the clock is no judge on a busy machine
hypothesis.settings.load_profile("regraft")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=int, default=1, help="run one slow test in so many, others with every commit")
    parser.addoption("--turn", type=int, default=None, help="which of them  [default: as the commit has it]")
    parser.addoption("--compile", action="store_true", help="compile cells of the acceptance matrix that are recorded")
    parser.addoption("--record", action="store_true", help="so, and record what they give; without -n")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share = config.getoption("--share")
    if share <= 1:
        return
    turn = config.getoption("--turn")
    if turn is None:
        turn = _commit()
    slow = [item for item in items if item.get_closest_marker("slow")]
    left_out = [item for item in slow if (zlib.crc32(item.nodeid.encode()) + turn) % share]
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.getreports("passed")
    if count := sum("recorded" in dict(report.user_properties) for report in passed if report.when == "call"):
        told = "of the acceptance matrix were not compiled: each file, compiler and driver is as it was recorded"
        terminalreporter.write_line(f"{count} cells {told}; --compile compiles them")


def _commit() -> int:
    command = ["git", "rev-parse", "--short=7", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return int(found.stdout or "0", 16)


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder of exported models; see its README."""
    return Path(__file__).parent / "artifacts"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the acceptance matrix's files, which `make` of `tests.acceptance.models` writes.

    Workers share it, as an export takes seconds.
    """
    pytest.importorskip("torch", reason="the files of the matrix are made by torch")
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "matrix"
