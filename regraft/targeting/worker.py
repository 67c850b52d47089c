"""Runs a compiler's driver in the compiler's own Python, and does what regraft asks over a pipe.

This file is run by its path in an environment that has numpy and the compiler, and nothing of regraft. What the
compiler prints goes to standard error, the log.

A message, in both directions: the length of a JSON header as 8 bytes, the header, and for each array the length of an
.npy file as 8 bytes, and the file. The header's "arrays" say by name how many arrays a value takes: a number is an
array by its position, {"list": [...]} a sequence, {"map": [[key, value], ...]} a map, null no value.
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
    files: list[Any] = []
    form = {name: _packed(value, files) for name, value in (arrays or {}).items()}
    text = json.dumps({**header, "arrays": form}).encode()
    stream.write(struct.pack("<Q", len(text)) + text)
    for value in files:
        file = io.BytesIO()
        np.save(file, value.astype(str) if value.dtype == object else value, allow_pickle=False)
        stream.write(struct.pack("<Q", file.tell()))
        stream.write(file.getbuffer())
    stream.flush()


def receive(read: Callable[[int], bytes]) -> tuple[dict[str, Any], Arrays] | None:
    """Read one message through `read(n)`, which gives n bytes, or fewer at the end; None at the end."""
    length = read(8)
    if len(length) < 8:
        return None
    header = json.loads(read(*struct.unpack("<Q", length)))
    form = header.pop("arrays")
    files = [_array(read(*struct.unpack("<Q", read(8)))) for _ in range(_count(list(form.values())))]
    return header, {name: _unpacked(value, files) for name, value in form.items()}


def _packed(value: Any, files: list[Any]) -> Any:
    """How the header speaks of `value`, whose arrays go to `files`."""
    if isinstance(value, (list, tuple)):
        return {"list": [_packed(item, files) for item in value]}
    if isinstance(value, dict):
        return {"map": [[key, _packed(item, files)] for key, item in value.items()]}
    if value is None:
        return None
    files.append(np.asarray(value))
    return len(files) - 1


def _unpacked(form: Any, files: list[Any]) -> Any:
    if not isinstance(form, dict):
        return None if form is None else files[form]
    if "list" in form:
        return [_unpacked(item, files) for item in form["list"]]
    return {key: _unpacked(item, files).tolist() for key, item in form["map"]}


def _count(form: Any) -> int:
    """How many arrays `form` speaks of."""
    if isinstance(form, dict):
        return sum(map(_count, form.get("list") or [item for _, item in form.get("map", ())]))
    return sum(map(_count, form)) if isinstance(form, list) else form is not None


def _array(data: bytes) -> Any:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return array.astype(object) if array.dtype.kind == "U" else array


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
        return {}, self.models[said["model"]](arrays)

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
