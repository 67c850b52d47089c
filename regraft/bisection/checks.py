"""Checks: what may be wrong with a model, and with what passes made of it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from regraft.errors import PipelineError, RegraftError, VerificationError
from regraft.files.convert import clone
from regraft.files.saving import save
from regraft.ir.model import Model
from regraft.pipelines import manager
from regraft.pipelines.pipeline import Pipeline
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.compiler import Compiler
from regraft.targeting.target import Target
from regraft.verification.contract import Contract, exact
from regraft.verification.reference import Reference
from regraft.verification.runtime import Session
from regraft.verification.sizes import Given
from regraft.verification.trials import TRIALS
from regraft.verification.vectors import save_vectors
from regraft.verification.watch import Watch

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong.

    Attributes:
        text: in a line.
        kinds: what tells it from other faults; a model that has one of them too has the same fault.
    """

    text: str
    kinds: frozenset[str]

    @classmethod
    def of(cls, kind: str, text: str) -> Fault:
        """A fault of one kind."""
        return cls(text, frozenset([kind]))


@dataclass(frozen=True)
class Case:
    """A model to check.

    Attributes:
        base: what it is held against; None where it stands for itself.
        contract: how far its outputs may lie from those of `base`.
        places: how many were rewritten.
        samples: inputs to run on, one after the other; None leaves them to the check.
    """

    model: Model
    base: Model | None = None
    contract: Contract = exact
    places: int = 1
    samples: Sequence[Arrays] | None = None


class Check(Protocol):
    """Looks for a fault."""

    def __call__(self, case: Case) -> Fault | None: ...


@dataclass(frozen=True)
class OutputsCheck:
    """Whether the model runs in ONNX Runtime, and its outputs lie within the contract from those of the base."""

    given: Given | Mapping[str, Any] | None = None
    seed: int = 0
    trials: int = len(TRIALS)

    def __call__(self, case: Case) -> Fault | None:
        base = case.model if case.base is None else case.base
        if case.samples is not None:
            return self._on_samples(case, base, case.samples)
        watch = Watch(base, self.given, self.seed, self.trials)
        if base is case.model:
            return None
        try:
            drift = watch.look(case.model, case.contract, case.places)
        except RegraftError as error:
            return Fault.of("does not run", str(error))
        return None if drift.passed else Fault.of("outputs", str(drift.failures[0]))

    def _on_samples(self, case: Case, base: Model, samples: Sequence[Arrays]) -> Fault | None:
        held = Reference(base, [fitting(base, one) for one in samples])
        if base is case.model:
            return None
        try:
            session = Session(case.model)
            found = [session.run(fitting(case.model, one)) for one in samples]
        except RegraftError as error:
            return Fault.of("does not run", str(error))
        contract = replace(case.contract, changes_interface=True)  # names are what both have
        drift = held.hold(case.model, found, contract, places=case.places, plain=[True] * len(samples))
        return None if drift.passed else Fault.of("outputs", str(drift.failures[0]))


@dataclass(frozen=True)
class CommandCheck:
    """Whether a command takes the model: a fault is an exit status other than 0.

    Args:
        command: in the shell's words; `{}` stands for the model's file, which is else put at the end, and `{inputs}`
            for a .npz file of inputs.
        seconds: that it may take; a command that takes longer has failed.
    """

    command: str
    seconds: float = 600.0

    def __post_init__(self) -> None:
        try:
            empty = not shlex.split(self.command)
        except ValueError as error:
            raise PipelineError(f"the command '{self.command}' does not parse: {error}") from error
        if empty:
            raise PipelineError("the command is empty; name one that fails on the model")

    def __call__(self, case: Case) -> Fault | None:
        with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
            path, inputs = save(case.model, Path(folder, "model.onnx")), Path(folder, "inputs.npz")
            save_vectors(inputs, case.samples[0] if case.samples else {})
            return self.on_file(path, inputs)

    def on_file(self, path: Path, inputs: Path) -> Fault | None:
        """What the command says of a file. Raises PipelineError where there is no such command."""
        words = self.words(path, inputs)
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=self.seconds
            )
        except subprocess.TimeoutExpired:
            return Fault.of("timeout", f"{words[0]} takes more than {self.seconds:g} s")
        except OSError as error:
            raise PipelineError(f"cannot run {words[0]}: {os.strerror(error.errno or 0)}") from error
        if done.returncode == 0:
            return None
        lines = done.stdout.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        status = f"exit status {done.returncode}"
        return Fault.of(status, f"{words[0]}: {status}{': ' if last else ''}{last}")

    def words(self, path: str | Path, inputs: str | Path) -> list[str]:
        """The command with the files in place."""
        words = shlex.split(self.command)
        if not any("{}" in word for word in words):
            words.append("{}")
        return [word.replace("{}", str(path)).replace("{inputs}", str(inputs)) for word in words]


@dataclass(frozen=True)
class RefusalCheck:
    """Whether a target takes the model, by its profile: a kind is an operator, or a limit, that it refuses."""

    target: Target

    def __call__(self, case: Case) -> Fault | None:
        found = self.target.check(case.model)
        kinds = frozenset(f"{one.operator}: {one.reason}" for one in found)
        return Fault("; ".join(map(str, found)), kinds) if found else None


@dataclass(frozen=True)
class CompilerCheck:
    """Whether a target's compiler takes the model, and what it makes of it computes what the base does."""

    target: Compiler
    given: Given | Mapping[str, Any] | None = None
    seed: int = 0

    def __call__(self, case: Case) -> Fault | None:
        given = self.given if isinstance(self.given, Given) else Given(values=dict(self.given or {}))
        if case.samples:
            given = Given(values=case.samples[0])
        with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
            try:
                build_bundle(
                    clone(case.model),
                    self.target,
                    Path(folder, "bundle"),
                    pipeline=Pipeline(),
                    check=False,
                    given=given,
                    seed=self.seed,
                )
            except RegraftError as error:
                text = str(error).partition(" (log: ")[0]
                return Fault.of(text.partition(":")[0], text)
        return None


@dataclass(frozen=True)
class AfterPipeline:
    """Whether what a pipeline makes of the model stands another check; a pass that fails is a fault, too."""

    pipeline: Pipeline
    check: Check

    def __call__(self, case: Case) -> Fault | None:
        made = clone(case.model)
        try:
            report = manager.run(made, self.pipeline)
        except RegraftError as error:
            return Fault.of("a pass fails", str(error))
        base = manager.reference_for(clone(case.model), self.pipeline)
        places = sum(one.matches for one in report.passes)
        return self.check(replace(case, model=made, base=base, contract=report.contract, places=places))


def fitting(model: Model, inputs: Mapping[str, Any]) -> Arrays:
    """Those of `inputs` that `model` has. Raises VerificationError where it needs others."""
    found = {tensor.name: inputs[tensor.name] for tensor in model.inputs if tensor.name in inputs}
    if missing := [t.name for t in model.inputs if t.name not in found and t.default is None]:
        raise VerificationError(f"no value for input '{missing[0]}'")
    return found
