"""Limits of the values inside a model: their shapes, ranks and dtypes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from regraft.ir.graph import Node, Tensor
from regraft.legality.conditions import Shape
from regraft.legality.constraints import Dtypes, dtype_name
from regraft.legality.limit import Bounds, Breach, Limit
from regraft.legality.tables import Where
from regraft.legality.view import View


@dataclass(frozen=True, kw_only=True)
class OfShapes(Limit):
    """Every shape must be static, or some input's must stay dynamic."""

    must: Shape

    def breaches(self, view: View) -> Iterator[Breach]:
        inputs = view.model.graph.inputs
        open_inputs = [t for t in inputs if not _is_static(view, t)]
        if self.must == "dynamic":
            if inputs and not open_inputs:
                yield Breach("every shape is static", values=list(map(view.show, inputs)))
            return
        nodes = [s.node for s in view.sites if not all(_is_static(view, t) for t in s.node.outputs if not t.is_empty())]
        if nodes or open_inputs:
            yield Breach("shapes are not static", nodes, list(map(view.show, open_inputs)))


class OfRank(Bounds):
    """The rank of every value that carries data; see `Site.data`."""

    def breaches(self, view: View) -> Iterator[Breach]:
        found: dict[int, list[Node]] = {}
        for site in view.sites:
            known = (site.fact(tensor).dims for tensor in site.data())
            for rank in {len(dims) for dims in known if dims is not None}:
                if not self.among.has(rank):
                    found.setdefault(rank, []).append(site.node)
        for rank in sorted(found):
            yield Breach(f"values of rank {rank}, not {self.among}", found[rank])


@dataclass(frozen=True, kw_only=True)
class OfDtypes(Limit):
    """The dtypes of every value that carries data: those in `any_of`, or all but those in `none_of`."""

    any_of: Dtypes | None = None
    none_of: Dtypes | None = None

    def check(self, where: Where) -> None:
        super().check(where)
        if (self.any_of is None) == (self.none_of is None):
            raise where.error("say which dtypes: any-of, or none-of")

    def breaches(self, view: View) -> Iterator[Breach]:
        found: dict[int, list[Node]] = {}
        for site in view.sites:
            for code in {site.fact(tensor).code for tensor in site.data()} - {0}:
                if self.any_of.has(code) is False if self.any_of else self.none_of and self.none_of.has(code):
                    found.setdefault(code, []).append(site.node)
        for code in sorted(found):
            yield Breach(f"values of {dtype_name(code)}", found[code])


@dataclass(frozen=True, kw_only=True)
class StatedTypes(Limit):
    """The file must state the dtype and the shape of every value."""

    must: Literal["stated"]

    def breaches(self, view: View) -> Iterator[Breach]:
        if nodes := [s.node for s in view.sites if not all(map(_is_stated, chain(s.node.inputs, s.node.outputs)))]:
            yield Breach("values whose dtype or shape is not stated", nodes)


def _is_static(view: View, tensor: Tensor) -> bool:
    fact = view.facts[tensor]
    return fact.other is not None or fact.sizes is not None


def _is_stated(tensor: Tensor) -> bool:
    return tensor.is_empty() or (tensor.dtype is not None and tensor.shape is not None)
