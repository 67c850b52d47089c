"""Runs a compiler's driver in the compiler's own Python, and does what regraft asks over a pipe.

This file is run by its path in an environment that has numpy and the compiler, and nothing of regraft. What the
compiler prints goes to standard error, the log.

A message, in both directions: the length of a JSON header as 8 bytes, the header, and for each name in its "arrays"
the length of an .npy file as 8 bytes, and the file.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import IO, Any

import numpy as np

Arrays = dict[str, Any]
Model = Callable[[Arrays], Arrays]


def send(stream: IO[bytes], header: dict[str, Any], arrays: Arrays | None = None) -> None:
    """Write one message."""
    arrays = arrays or {}
    text = json.dumps({**header, "arrays": list(arrays)}).encode()
    stream.write(struct.pack("<Q", len(text)) + text)
    for value in arrays.values():
        file = io.BytesIO()
        np.save(file, np.asarray(value), allow_pickle=False)
        stream.write(struct.pack("<Q", file.tell()))
        stream.write(file.getbuffer())
    stream.flush()


def receive(read: Callable[[int], bytes]) -> tuple[dict[str, Any], Arrays] | None:
    """Read one message through `read(n)`, which gives n bytes, or fewer at the end; None at the end."""
    length = read(8)
    if len(length) < 8:
        return None
    header = json.loads(read(*struct.unpack("<Q", length)))
    arrays = {}
    for name in header.pop("arrays"):
        arrays[name] = np.load(io.BytesIO(read(*struct.unpack("<Q", read(8)))), allow_pickle=False)
    return header, arrays


class Work:
    """What a worker can be asked for: a method each."""

    def __init__(self, driver: ModuleType):
        self.driver = driver
        self.models: dict[str, Model] = {}

    def version(self, said: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        return {"version": self.driver.version()}, {}

    def compile(self, said: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        started = time.perf_counter()
        metrics = self.driver.compile(said["model"], said["folder"], said["options"])
        return {"metrics": metrics or {}, "seconds": time.perf_counter() - started}, {}

    def load(self, said: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        self.models[said["as"]] = self.driver.load(said["folder"], said["options"])
        return {}, {}

    def run(self, said: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        return {}, {name: np.asarray(value) for name, value in self.models[said["model"]](arrays).items()}

    def time(self, said: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Seconds of runs in a row, and of the processor: here, where no pipe counts."""
        model, seconds, busy = self.models[said["model"]], [], []
        for _ in range(said["runs"]):
            started, idle = time.perf_counter(), time.process_time()
            model(arrays)
            seconds.append(time.perf_counter() - started)
            busy.append(time.process_time() - idle)
        return {"seconds": seconds, "processor_seconds": busy}, {}


def _load(path: str) -> ModuleType:
    """The driver at `path`, under a name that no package has: a driver imports what it is named after."""
    spec = importlib.util.spec_from_file_location("regraft_driver", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if type(error) in (RuntimeError, Exception) and text else f"{type(error).__name__}: {text}"


def main(driver: str) -> None:
    """Answer messages until there are no more."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    work: Work | None = None
    while message := receive(incoming.read):
        said, arrays = message
        try:
            work = work or Work(_load(driver))
            reply, results = getattr(work, said["do"])(said, arrays)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            reply, results = {"error": _one_line(error)}, {}
        sys.stdout.flush()
        sys.stderr.flush()
        send(outgoing, reply, results)


if __name__ == "__main__":
    main(sys.argv[-1])
