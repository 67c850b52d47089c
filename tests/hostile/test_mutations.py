"""No damaged file brings about anything but a refusal in one line: no traceback, no crash, no endless loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(first: int, count: int, folder: Path, limit: float) -> None:
    """Use `count` damaged files in a process of its own, of which a crash or a hang is seen."""
    command = [sys.executable, "-m", "tests.hostile.mutations", str(first), str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=limit, check=False)
    at = (folder / "at").read_text()
    assert (done.returncode, at) == (0, "done"), f"at file {at}: {done.stdout}{done.stderr}"[-4000:]


def test_damaged_files(tmp_path: Path) -> None:
    run(0, 300, tmp_path, 300)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_twenty_thousand_damaged_files(tmp_path: Path, part: int) -> None:
    run(2_000 * part, 2_000, tmp_path, 1800)
