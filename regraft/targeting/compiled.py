"""Run what a compiler made: the host's part in ONNX Runtime, the device's in the compiler's own runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from regraft.errors import ModelError, TargetError
from regraft.files.bundle import check_sums, inside, is_bundle, read_manifest
from regraft.files.loading import load
from regraft.ir.model import Model
from regraft.packers.fits import read_shape
from regraft.targeting.compiler import COMPILED, Compiler
from regraft.targeting.process import ResourceLimits
from regraft.targeting.target import Place, read_target
from regraft.verification.runtime import HostSide, Session
from regraft.verification.signature import Port
from regraft.verification.vectors import received


def is_compiled(path: Path) -> bool:
    """Whether `path` is a bundle that holds a compiled model."""
    return is_bundle(path) and COMPILED in read_manifest(path)


def not_loaded(path: Path) -> str:
    """What is to be said of a bundle whose compiled model is not loaded; empty where it has none."""
    if not is_compiled(path):
        return ""
    entry = read_manifest(path)[COMPILED]
    return (
        f"{path}: the device's model runs in ONNX Runtime; what {entry['package']} {entry['version']} compiled is "
        "native code, and runs with --trust"
    )


def open_bundle(
    bundle: str | Path,
    environment: Path | None = None,
    limits: ResourceLimits | None = None,
    *,
    model: Model | None = None,
    trust: bool = False,
) -> CompiledSession | Session:
    """The bundle ready to run: its device model in ONNX Runtime, or what was compiled of it.

    Args:
        environment: of the compiler's runtime; None where it is to be found.
        model: what `bundle` holds, where that is loaded already.
        trust: load the compiled model, which is native code of whoever made the bundle.

    Raises:
        TargetError: its compiler's runtime is missing.
        ModelError: it cannot be read.
    """
    if trust and is_compiled(Path(bundle)):
        return CompiledSession(bundle, environment, limits)
    check_sums(Path(bundle))
    return Session(bundle if model is None else model, optimize=True)


def _code(folder: Path, name: str) -> Path:
    """The folder of the compiled model; it lies inside the bundle, and its files are among those with a checksum."""
    code, files = inside(folder, name).resolve(), read_manifest(folder)["files"]
    if not code.is_dir():
        raise ModelError(f"{folder}: {name} is missing; write the bundle again")
    for path in code.rglob("*"):
        known = path.relative_to(folder.resolve()).as_posix()
        if path.is_symlink() or (not path.is_dir() and known not in files):
            raise ModelError(f"{folder}: {known!r} is none of the files that were written; write the bundle again")
    return code


class CompiledSession:
    """A compiled bundle ready to run: it takes and gives what its model did before it was rewritten.

    It loads native code of whoever made the bundle; `open_bundle` does so only where it is told to trust it. A context
    manager, which ends the compiler's process.

    Args:
        environment: of the compiler's runtime; None where it is to be found.

    Attributes:
        inputs: those that `run` must be given.
        outputs: what it gives.

    Raises:
        TargetError: the bundle is not compiled, or the compiler's runtime is missing, or another version.
        ModelError: the bundle cannot be read, or was changed.
    """

    def __init__(self, bundle: str | Path, environment: Path | None = None, limits: ResourceLimits | None = None):
        folder = Path(bundle)
        check_sums(folder)
        if not is_compiled(folder):
            raise TargetError(f"{folder} holds no compiled model; write one with 'regraft compile'")
        entry = read_manifest(folder)[COMPILED]
        code = _code(folder, entry["folder"])
        target = read_target(entry["target"])
        if not isinstance(target, Compiler):
            raise TargetError(f"{folder}: target '{target.name}' compiles nothing here")
        model = load(folder)
        taken, shape = {t.name for t in model.graph.inputs}, read_shape(model.metadata)
        self._host = HostSide(model.host, taken, True, 0, shape) if model.host else None
        self.inputs = self._host.inputs if self._host else tuple(map(Port.of_variable, model.graph.inputs))
        self.outputs = self._host.outputs if self._host else tuple(map(Port.of_variable, model.graph.outputs))
        with ExitStack() as stack:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="regraft-"))
            place = Place(Path(scratch, "run.log"), environment, limits or ResourceLimits())
            self._worker, version = stack.enter_context(target.worker(place))
            if version != entry["version"]:
                raise TargetError(
                    f"{folder} was compiled by {entry['package']} {entry['version']}, and {version} is installed; "
                    f"compile it again"
                )
            said = {"folder": str(code), "options": target.driver_options}
            self._worker.ask("load", **said, **{"as": COMPILED})
            self._stack = stack.pop_all()

    def __enter__(self) -> CompiledSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the compiler's process."""
        self._stack.close()

    def device_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What the device is fed."""
        return self._host.send(dict(inputs)) if self._host else dict(inputs)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name. Raises CompilerError where running fails."""
        results = self._worker.ask("run", self.device_inputs(inputs), model=COMPILED)[1]
        ports = {port.name: port for port in self.outputs}
        results = {name: received(value, ports[name]) if name in ports else value for name, value in results.items()}
        return self._host.receive(results, inputs) if self._host else results

    def time(self, inputs: Mapping[str, Any], runs: int) -> list[float]:
        """Seconds of `runs` runs in a row; of the device's part as measured where it runs, without the way there."""
        fed = self.device_inputs(inputs)
        seconds: list[float] = self._worker.ask("time", fed, model=COMPILED, runs=runs)[0]["seconds"]
        if self._host is None:
            return seconds
        return [device + host for device, host in zip(seconds, self._host.time(dict(inputs), runs), strict=True)]
