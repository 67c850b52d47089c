"""Wall time and peak memory of a command in a process of its own.

This module imports the standard library only: a child starts with the resident memory of its parent, so a parent that
had loaded libraries would add them to every measurement.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Limits:
    """What one command may take, so that a small machine survives every contestant."""

    seconds: float = 400
    address_space: int = 18 << 30


@dataclass(frozen=True)
class Run:
    """One run of a command; `failure` is empty when it ended well."""

    seconds: float
    peak_bytes: int
    failure: str = ""


def run(command: Sequence[str], limits: Limits) -> Run:
    """Run `command` to its end, and measure the whole process: interpreter start and imports too."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.address_space, limits.address_space))

    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limit)
    watch = Timer(limits.seconds, process.kill)
    watch.start()
    assert process.stderr is not None
    messages = process.stderr.read().decode(errors="replace").strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    watch.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    failure = _failure(process.returncode, seconds, limits, messages[-1] if messages else "")
    return Run(seconds, usage.ru_maxrss * 1024, failure)


def peak_bytes() -> int:
    """The most that this process held since it began: `ru_maxrss` starts with what the parent held."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def settle(source: Path, target: Path) -> None:
    """The same start for every run: no old output, nothing left to write, the source in the page cache."""
    for old in target.parent.glob(f"{target.name}*"):
        old.unlink()
    os.sync()
    with source.open("rb", buffering=0) as file:
        while file.read(_CHUNK):
            pass


def _failure(code: int, seconds: float, limits: Limits, message: str) -> str:
    if code == 0:
        return ""
    if code == -signal.SIGKILL and seconds >= limits.seconds:
        return f"stopped after {limits.seconds:g} s"
    if code < 0:
        name = str(-code)
        with suppress(ValueError):
            name = signal.Signals(-code).name
        return f"the process died: {name}"
    return message or f"exit code {code}"
