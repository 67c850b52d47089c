"""The base of every target: what a compiler or a runtime takes, and how a model is handed to it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from regraft.errors import RegraftError
from regraft.ir.model import Model
from regraft.pipelines.manager import run
from regraft.pipelines.report import Report


class TargetError(RegraftError):
    """A target that does not take a model."""


class Runner(Protocol):
    """A model that is ready to run."""

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name, from arrays by name."""
        ...


@dataclass(frozen=True)
class Violation:
    """Something in a model that a target does not take, and the nodes concerned; none where it is the whole model."""

    reason: str
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.nodes:
            return self.reason
        more = f" and {len(self.nodes) - 1} more" if len(self.nodes) > 1 else ""
        return f"{self.reason}: {self.nodes[0]}{more}"


class Target:
    """A compiler or a runtime that a model is made ready for.

    A subclass has a `name`, a docstring whose first line is its help, and a `pipeline`, which names its passes as
    text.
    """

    name: ClassVar[str] = ""
    pipeline: ClassVar[str] = ""

    def pipeline_for(self, model: Model) -> str:
        """The pipeline, or what of it `model` needs."""
        return self.pipeline

    def prepare(self, model: Model, **options: Any) -> Report:
        """Run the target's pipeline on `model`; options are those of `regraft.pipelines.manager.run`."""
        return run(model, self.pipeline_for(model), **options)

    def check(self, model: Model) -> list[Violation]:
        """What the target does not take; empty where it takes the model."""
        raise NotImplementedError(f"target '{self.name}' has no check")

    def compile(self, model: Model, path: Path) -> Path:
        """Compile `model` into a file at `path`. Raises TargetError where the target does not take it."""
        raise NotImplementedError(f"target '{self.name}' has no compile")

    def load(self, path: Path) -> Runner:
        """The runner of what `compile` wrote."""
        raise NotImplementedError(f"target '{self.name}' has no load")

    def run(self, path: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name of what `compile` wrote."""
        return self.load(path).run(inputs)

    @classmethod
    def help(cls) -> str:
        """The first line of the docstring."""
        return (inspect.cleandoc(cls.__doc__ or "").splitlines() or [""])[0]
