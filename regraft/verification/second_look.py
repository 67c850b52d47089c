"""Checks a result in a process of its own, which may crash or hang without affecting this one.

ONNX's inference checks whether the types of a result fit together; ONNX Runtime opens the written result with all its
optimisations on, as users do.
"""

from __future__ import annotations

import contextlib
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from regraft.errors import GraphError, RegraftError
from regraft.files.convert import export
from regraft.ir.endless import check_size
from regraft.ir.model import Model
from regraft.verification.contract import precision
from regraft.verification.deviation import leaves, measure

Kind = Literal["refused", "crashed", "endless"]

_SECONDS = 60.0
_SHARE = {True: 1e-3, False: 3e-2}  # of the largest value, by whether it is wider than half precision


@dataclass(frozen=True)
class Fault:
    """A failed check: a refusal with its reason, a dead process, or a timeout."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return self.text


class SecondLook:
    """A process that checks results; started on first use.

    Args:
        seconds: the time limit of one check.
    """

    def __init__(self, seconds: float = _SECONDS):
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SecondLook:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def types(self, model: Model) -> Fault | None:
        """The fault that ONNX's inference finds in the types of a model, its host included; None if there is none."""
        sides = (model.device, model.host.model) if model.host else (model,)
        for side in sides:
            try:
                check_size(side)
            except GraphError as error:
                return Fault("endless", f"would not end: {error}")
            found = self._ask("types", export(side).proto.SerializeToString())
            if isinstance(found, Fault):
                return found
        return None

    def run(self, path: Path, inputs: Mapping[str, Any]) -> dict[str, Any] | Fault:
        """The outputs of ONNX Runtime with its optimisations on, for a model or a bundle."""
        found: dict[str, Any] | Fault = self._ask("run", str(path), dict(inputs))
        return found

    def far_off(self, path: Path, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
        """What is wrong with ONNX Runtime's outputs with its optimisations on; empty if they are `outputs`, roughly.
        Its optimisations may round differently, so only a crash, a refusal, and large differences count.
        """
        found = self.run(path, inputs)
        if isinstance(found, Fault):
            return str(found)
        for name, value in leaves(outputs):
            array = np.asarray(value)
            if name in found and array.dtype.kind == "f" and array.size:
                largest = float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))
                drift = measure(name, array, found[name], precision(0.0, _SHARE[array.dtype.itemsize > 2] * largest))
                if drift.reason:
                    return str(drift)
        return ""

    def _ask(self, *question: Any) -> Any:
        if self._child is None:
            code = f"import {__name__} as look; look.answer()"
            self._child = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        child = self._child
        assert child.stdin
        assert child.stdout
        deadline = time.monotonic() + self._seconds
        try:
            message = pickle.dumps(question)
            child.stdin.write(len(message).to_bytes(8, "little") + message)
            child.stdin.flush()
            if not select.select([child.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
                self._end()
                return Fault("endless", f"does not end within {self._seconds:g} s")
            return pickle.load(child.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            status = child.wait()
            self._end()
            how = signal.Signals(-status).name if status < 0 else f"exit code {status}"
            return Fault("crashed", f"ended by {how}")

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._child = None


def answer() -> None:
    """In the child: questions from standard input, answers to standard output."""
    answers: dict[str, Callable[..., Any]] = {"types": _types, "run": _run}
    while size := sys.stdin.buffer.read(8):
        what, *arguments = pickle.loads(sys.stdin.buffer.read(int.from_bytes(size, "little")))
        pickle.dump(answers[what](*arguments), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _types(header: bytes) -> Fault | None:
    import onnx

    try:
        onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(header), check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        return Fault("refused", " ".join(str(error).split()))
    return None


def _run(path: str, inputs: dict[str, Any]) -> dict[str, Any] | Fault:
    from regraft.verification.runtime import Session

    try:
        return Session(path, optimize=True).run(inputs)
    except RegraftError as error:
        return Fault("refused", str(error))
