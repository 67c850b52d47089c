"""A compiler at work in a process of its own, with limits of time and memory: what befalls it does not befall us."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.errors import TargetError
from regraft.pipelines.options import Bytes
from regraft.targeting import worker

_START = "import runpy, sys; sys.path.remove(''); runpy.run_path(sys.argv[1], run_name='__main__')"
_PROC = Path("/proc")
_LOOK = 0.1  # seconds between two looks at the memory
_QUOTED = 300  # characters of a refusal that an error line quotes


class CompilerError(TargetError):
    """A compiler that refused, crashed, or went beyond a limit."""


@dataclass(frozen=True)
class ResourceLimits:
    """What a compiler may take.

    Attributes:
        seconds: for one thing that it is asked for.
        memory: bytes in use, with the processes that it starts; kept where the system has /proc.
    """

    seconds: float = 1800.0
    memory: int = 16 * 2**30


class Worker:
    """A driver at work in the Python of its compiler; a context manager, which ends it.

    Args:
        name: how errors call the compiler.
        python: the interpreter of its environment.
        driver: the driver's file.
        log: where what it prints is appended.
        folder: that it works in; compilers leave files there.
    """

    def __init__(
        self, name: str, python: Path, driver: Path, log: Path, folder: Path, limits: ResourceLimits | None = None
    ):
        self.name, self.log, self.limits = name, log, limits or ResourceLimits()
        self._deadline: float | None = None  # of what it is doing
        self._stopped = ""  # why it was stopped
        try:
            with log.open("ab") as file:
                self._process = subprocess.Popen(
                    [str(python), "-c", _START, worker.__file__, str(driver)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    cwd=folder,
                    start_new_session=True,
                )
        except OSError as error:
            raise TargetError(f"cannot start {name} with {python}: {error.strerror or error}") from error
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and what it has started."""
        self._ended.set()
        self._kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def ask(
        self, what: str, arrays: Mapping[str, Any] | None = None, /, **said: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the driver answers.

        Args:
            what: a method of `regraft.targeting.worker.Work`.

        Raises:
            CompilerError: the driver raised, the process died, or a limit was reached.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        self._deadline = time.monotonic() + self.limits.seconds
        try:
            worker.send(stdin, {"do": what, **said}, dict(arrays or {}))
            answer = worker.receive(stdout.read)
        except (BrokenPipeError, struct.error):
            answer = None
        finally:
            self._deadline = None
        if answer is None:
            raise self._died(what)
        if refusal := answer[0].get("error"):
            text = refusal if len(refusal) <= _QUOTED else refusal[:_QUOTED] + " ..."
            raise CompilerError(f"{self.name} {_FAILED[what]}: {text} (log: {self.log})")
        return answer

    def _died(self, what: str) -> CompilerError:
        code = self._process.wait()
        why = self._stopped.format(what=_ASKED[what])
        if not why:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}: {self._last_words()}"
            why = f"crashed ({how}) when it was to {_ASKED[what]}"
        return CompilerError(f"{self.name} {why} (log: {self.log})")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _watch(self) -> None:
        """Stop the process when it takes too long, or it and its children use too much."""
        seconds, memory = self.limits.seconds, self.limits.memory
        while not self._ended.wait(_LOOK) and self._process.poll() is None:
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._stopped = f"did not {{what}} within {seconds:g} s and was stopped; --time-limit allows more"
            elif (used := _memory(self._process.pid)) > memory:
                self._stopped = (
                    f"took {used / 2**30:.2g} GiB of memory to {{what}} and was stopped at the limit of "
                    f"{Bytes(memory)}; --memory-limit allows more"
                )
            if self._stopped:
                self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


_ASKED = {
    "version": "say its version",
    "compile": "compile",
    "load": "load what it compiled",
    "run": "run what it compiled",
    "time": "run what it compiled",
}
_FAILED = {
    "version": "cannot be used",
    "compile": "refuses the model",
    "load": "cannot load what it compiled",
    "run": "fails on what it compiled",
    "time": "fails on what it compiled",
}


def _memory(group: int) -> int:
    """Bytes of memory that the processes of a group have in use."""
    used = 0
    for folder in _PROC.iterdir() if _PROC.is_dir() else ():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                used += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it has ended meanwhile
            continue
    return used
