"""Limits of the inputs and outputs of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from regraft.ir.graph import Variable
from regraft.legality.constraints import Dtypes, Numbers
from regraft.legality.limit import Breach, Limit
from regraft.legality.tables import Where
from regraft.legality.view import View


@dataclass(frozen=True, kw_only=True)
class OfInterface(Limit):
    """Dtypes, ranks, names, and how many there are.

    Attributes:
        dims: "named": every dimension has a size or a name; "ranked": at least their number is known.
    """

    dtypes: Dtypes | None = None
    rank: Numbers | None = None
    names: tuple[str, ...] = ()
    count: Numbers | None = None
    dims: Literal["named", "ranked"] | None = None

    def check(self, where: Where) -> None:
        super().check(where)
        if self.dtypes is self.rank is self.count is self.dims is None and not self.names:
            raise where.error("say what is wanted: dtypes, rank, names, count or dims")

    def _breaches(self, view: View, kind: str, tensors: list[Variable]) -> Iterator[Breach]:
        def breach(what: str, bad: Iterable[Variable]) -> Iterator[Breach]:
            if shown := list(map(view.show, bad)):
                yield Breach(f"{kind}s {what}", values=shown)

        dtypes, ranks = self.dtypes, self.rank
        if dtypes is not None:
            bad = (t for t in tensors if dtypes.has(view.facts[t].code) is False)
            yield from breach(f"of other dtypes than {dtypes}", bad)
        if ranks is not None:
            shapes = [(t, view.facts[t].dims) for t in tensors]
            bad = (t for t, dims in shapes if dims is not None and not ranks.has(len(dims)))
            yield from breach(f"of a rank that is not {ranks}", bad)
        if self.dims is not None:
            yield from breach(
                "of a rank that is not known", (t for t in tensors if t.shape is None and _is_tensor(view, t))
            )
        if self.dims == "named":
            yield from breach("with dimensions that have no name and no size", filter(_has_nameless, tensors))
        if self.names:
            yield from breach(f"other than {', '.join(self.names)}", (t for t in tensors if t.name not in self.names))
            present = {t.name for t in tensors}
            if missing := [name for name in self.names if name not in present]:
                yield Breach(f"no {kind} {', '.join(missing)}")
        if self.count is not None and not self.count.has(len(tensors)):
            yield Breach(f"{len(tensors)} {kind}s, not {self.count}", values=list(map(view.show, tensors)))


def _is_tensor(view: View, tensor: Variable) -> bool:
    return view.facts[tensor].other is None


def _has_nameless(tensor: Variable) -> bool:
    return any(not isinstance(dim, int) and not dim for dim in tensor.shape or ())


class OfInputs(OfInterface):
    """The model's inputs."""

    def breaches(self, view: View) -> Iterator[Breach]:
        return self._breaches(view, "input", view.model.graph.inputs)


class OfOutputs(OfInterface):
    """The model's outputs."""

    def breaches(self, view: View) -> Iterator[Breach]:
        return self._breaches(view, "output", view.model.graph.outputs)
