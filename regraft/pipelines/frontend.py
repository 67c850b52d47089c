"""The base of every frontend: what reads a model of a source framework, and what a user may ask of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from regraft.errors import RegraftError
from regraft.pipelines.options import Dims

if TYPE_CHECKING:
    from regraft.ir.model import Model


class FrontendError(RegraftError):
    """A source that is no model which a frontend reads, or an option that does not fit it."""


@dataclass(frozen=True)
class ImportOptions:
    """How a source is to be read; each frontend says which of these it takes.

    Attributes:
        shapes: shapes of inputs by name; a dimension is a number, a name, or None where nothing is said.
        opset: version of ONNX's operator set. Every frontend takes it: what it does not write is converted.
        task: what the model is for, such as "masked-lm".
        style: "faithful" to the source, or as an "accelerator" likes it.
        exporter: which of the framework's exporters.
        attention: which of the framework's forms of attention.
        trust: let the framework run code that the source may hold, as a pickle does.
        signature: the name of what is read, where the source has several.
        tag: the tags of the graph that is read, as in "serve" or "serve,gpu", where the source has several.
        drop_unused_inputs: leave out the inputs that no output needs.
        weights: whether the files of the weights must be there; what only looks at the structure does without.
    """

    shapes: Mapping[str, Dims] = field(default_factory=dict)
    opset: int | None = None
    task: str | None = None
    style: str | None = None
    exporter: str | None = None
    attention: str | None = None
    trust: bool = False
    signature: str | None = None
    tag: str | None = None
    drop_unused_inputs: bool = False
    weights: bool = True

    def given(self) -> list[str]:
        """The names of the options that were given."""
        default = ImportOptions()
        said = [f.name for f in fields(self) if f.name != "weights"]
        return [name for name in said if getattr(self, name) != getattr(default, name)]


class Frontend:
    """Reads the models of a source framework.

    A subclass has a `name`, a docstring whose first line is its help, and imports its framework when it reads, so that
    listing and recognising work without.

    Attributes:
        formats: what it reads, in a few words.
        extra: the extra of this package that brings the framework; empty where none is needed.
        options: names of the `ImportOptions` that it takes, `opset` aside.
    """

    name: ClassVar[str] = ""
    formats: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    options: ClassVar[frozenset[str]] = frozenset()

    def accepts(self, source: Path) -> bool:
        """Whether `source`, which exists, looks like what this frontend reads; reads a few bytes at most."""
        raise NotImplementedError(f"frontend '{self.name}' has no accepts")

    def read(self, source: Path, options: ImportOptions) -> Model:
        """The model at `source`. Raises a RegraftError where it cannot be read."""
        raise NotImplementedError(f"frontend '{self.name}' has no read")

    @classmethod
    def help(cls) -> str:
        """The first line of the docstring."""
        return (inspect.cleandoc(cls.__doc__ or "").splitlines() or [""])[0]
