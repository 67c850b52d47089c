"""A target whose compiler runs here, in an environment and a process of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from packaging.specifiers import SpecifierSet

from regraft.bundling.golden import Golden
from regraft.errors import TargetError
from regraft.files.bundle import DEVICE
from regraft.files.saving import save
from regraft.interrupt import cleaning
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.targeting.environment import describe, find_python
from regraft.targeting.kernel_noise import kernel_noise
from regraft.targeting.process import CompilerError, Worker
from regraft.targeting.target import Place, Target
from regraft.verification.contract import Contract
from regraft.verification.deviation import Deviation, leaves, measure
from regraft.verification.runtime import handed_back
from regraft.verification.signature import Port
from regraft.verification.verify import coarsest_float

COMPILED, LOG = "compiled", "compile.log"
"""The folder of a bundle for what the compiler wrote, and the log in it."""

same_floats = Contract("compiled", "same function in float32, any order of operations", ulps=1024.0)
"""1.2e-4 of a value and of the tensor's typical magnitude: compilers that are right stay within 5e-6, those that
are wrong were off by 3e-3 and more."""


class Compiler(Target):
    """A target with a compiler, which `targets/drivers/NAME.py` calls; that file runs in the compiler's own Python.

    Attributes:
        package: the distribution that holds the compiler; looked for in our own environment.
        versions: of the compiler, that the driver was made for, such as `>=2025,<2027`.
        install: how to get the compiler, in one line.
        contract: how far the compiled model may lie from the original, beside what the pipeline allows.
    """

    package: ClassVar[str] = ""
    versions: ClassVar[str] = ""
    install: ClassVar[str] = ""
    contract: ClassVar[Contract] = same_floats
    threads: int = option(0, "threads that one run may use; 0 leaves it to the compiler")

    @property
    def driver(self) -> Path:
        """The driver's file."""
        return self.file.parent / "drivers" / self.file.name

    @property
    def driver_options(self) -> dict[str, Any]:
        """The options as the driver gets them, by their names in Python."""
        return {one.attribute: getattr(self, one.attribute) for one in self.options() if not one.is_open}

    def python(self, environment: Path | None = None) -> Path:
        """The interpreter of the compiler's environment. Raises TargetError where there is none."""
        return find_python(self.name, self.package, self.install, environment)

    @classmethod
    def whereabouts(cls) -> str:
        """The environment of the compiler, or that there is none."""
        return describe(cls.name, cls.package)

    @contextlib.contextmanager
    def worker(self, place: Place) -> Iterator[tuple[Worker, str]]:
        """The compiler at work, and its version.

        Raises:
            TargetError: it is not installed, or of a version that the driver was not made for.
        """
        python = self.python(place.environment)
        with (
            cleaning(),
            tempfile.TemporaryDirectory(prefix="regraft-") as folder,
            Worker(self.name, python, self.driver, place.log, Path(folder), place.limits) as worker,
        ):
            try:
                version = str(worker.ask("version")[0]["version"])
            except CompilerError as error:
                raise CompilerError(f"{error}; {self.install}") from error
            if version not in SpecifierSet(self.versions, prereleases=True):
                raise TargetError(
                    f"{self.package} {version} ({python}) is not supported, but {self.versions}: {self.install}"
                )
            yield worker, version

    def finish(self, model: Model, folder: Path, golden: Golden, place: Place) -> dict[str, Any]:
        """Compile the device model of the bundle in `folder`, run the result, and hold it against the original.

        Raises:
            TargetError: the compiler is missing.
            CompilerError: it refuses, crashes, takes too much, or what it made computes something else.
        """
        output = folder / COMPILED
        output.mkdir()
        with self.worker(place) as (worker, version), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            source = save(model.device, Path(scratch, DEVICE))  # a copy: one compiler overwrites what it is given
            said = {"folder": str(output.absolute()), "options": self.driver_options}
            compiled = worker.ask("compile", model=str(source.absolute()), **said)[0]
            worker.ask("load", **said, **{"as": COMPILED})
            found = worker.ask("run", golden.device_inputs, model=COMPILED)[1]
        drift = self._compare(golden, found, model, place.tolerance)
        place.log.replace(output / LOG)
        entry = {
            "target": str(self),
            "package": self.package,
            "version": version,
            "seconds": compiled["seconds"],
            "metrics": compiled["metrics"],
            "drift": drift.to_dict(),
            "folder": COMPILED,
            "log": f"{COMPILED}/{LOG}",
        }
        return {"compiled": entry}

    def _compare(self, golden: Golden, found: Mapping[str, Any], model: Model, tolerance: Contract | None) -> Deviation:
        """How far what was compiled lies from the original; accepted is not right."""
        if missing := [name for name in golden.outputs if name not in found]:
            raise CompilerError(f"{self.name} compiles the model, but gives no output '{missing[0]}'")
        if model.host:
            taken, given = model.host.model.graph.inputs, model.host.outputs
            found = handed_back(found, golden.inputs, map(Port.of_variable, taken), map(Port.of_variable, given))
        results = {name: _like(found[name], value) for name, value in golden.outputs.items()}
        contract = tolerance or golden.contract + self.contract
        drift = contract.check(golden.outputs, results, computed_in=coarsest_float(model))
        if not drift.passed and tolerance is None:
            drift = _with_noise(drift, contract, golden, results, model)
        if not drift.passed:
            raise CompilerError(
                f"{self.name} compiles the model, but what it made computes something else: {drift.failures[0]}"
            )
        return drift


def _with_noise(
    drift: Deviation, contract: Contract, golden: Golden, results: Mapping[str, Any], model: Model
) -> Deviation:
    """`drift`, where what the kernels for 8 bits do to the original is allowed, too."""
    noise = kernel_noise(model, golden.inputs, golden.outputs)
    judged = []
    for one in drift.outputs:
        if not one.passed and noise.get(one.name):
            allowed = replace(contract, atol=contract.atol + noise[one.name])
            before, after = (dict(leaves(values))[one.name] for values in (golden.outputs, results))
            one = measure(one.name, before, after, allowed, computed_in=coarsest_float(model))
        judged.append(one)
    return replace(drift, outputs=tuple(judged))


def _like(found: Any, wanted: Any) -> Any:
    """`found` with its numbers in the dtypes of `wanted`."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return {key: _like(value, wanted.get(key)) for key, value in found.items()}
    if isinstance(wanted, list) and isinstance(found, list):
        return [*map(_like, found, wanted), *found[len(wanted) :]]
    return found if isinstance(found, list | Mapping) or wanted is None else np.asarray(found).astype(wanted.dtype)
