"""The base of what must hold of a whole model: a limit finds where a model breaks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from regraft.ir.graph import Node
from regraft.legality.constraints import Among
from regraft.legality.lines import Line
from regraft.legality.tables import Where
from regraft.legality.view import View


class Breach(NamedTuple):
    """A limit that a model breaks.

    Attributes:
        what: of the model is not as the limit wants.
        nodes: which of them are concerned; none where it is the file, its inputs or its outputs.
        values: the inputs or outputs concerned, with their types.
    """

    what: str
    nodes: Sequence[Node] = ()
    values: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Limit(Line):
    """A limit."""

    def breaches(self, view: View) -> Iterator[Breach]:
        """Where the model breaks it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Bounds(Limit):
    """A number that must be inside bounds."""

    min: int | None = None
    max: int | None = None

    @property
    def among(self) -> Among:
        """The numbers that are inside."""
        return Among(min=self.min, max=self.max)

    def check(self, where: Where) -> None:
        super().check(where)
        self.among.check(where)
