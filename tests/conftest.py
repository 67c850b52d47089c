"""Fixtures that all tests share, and how few of the slow ones are run."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=int, default=1, help="run one slow test in so many, others with every commit")
    parser.addoption("--turn", type=int, default=None, help="which of them  [default: as the commit has it]")


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
    """The folder of the acceptance matrix's files."""
    pytest.importorskip("torch", reason="the files of the matrix are made by torch")
    from tests.acceptance.models import make

    folder = tmp_path_factory.mktemp("acceptance")
    make(folder)
    return folder
