"""What must hold of a whole model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from regraft.ir.graph import subgraphs
from regraft.legality.limit import Bounds, Breach, Limit
from regraft.legality.limits_of_interface import OfInputs, OfOutputs
from regraft.legality.limits_of_values import OfDtypes, OfRank, OfShapes, StatedTypes
from regraft.legality.view import View


class OfOpset(Bounds):
    """The version of ONNX's operator set."""

    def breaches(self, view: View) -> Iterator[Breach]:
        if not self.among.has(view.model.opset):
            yield Breach(f"opset {view.model.opset}, not {self.among}")


class OfIrVersion(Bounds):
    """The version of the file's form."""

    def breaches(self, view: View) -> Iterator[Breach]:
        version = view.model.graph.ir_version or view.model.header.ir_version
        if not self.among.has(version):
            yield Breach(f"IR version {version}, not {self.among}")


@dataclass(frozen=True, kw_only=True)
class NoSubgraphs(Limit):
    """No If, Loop or Scan."""

    must: Literal["absent"]

    def breaches(self, view: View) -> Iterator[Breach]:
        if nodes := [site.node for site in view.sites if subgraphs(site.node)]:
            yield Breach("control flow", nodes)


@dataclass(frozen=True, kw_only=True)
class NoFunctions(Limit):
    """No local functions, those that stand for an operator that the opset lacks included."""

    must: Literal["absent"]

    def breaches(self, view: View) -> Iterator[Breach]:
        if nodes := [site.node for site in view.sites if view.is_function(site)]:
            yield Breach("local functions", nodes)


@dataclass(frozen=True, kw_only=True)
class UniqueNames(Limit):
    """Every node must have a name of its own."""

    must: Literal["unique"]

    def breaches(self, view: View) -> Iterator[Breach]:
        names = Counter(site.node.name for site in view.sites)
        if nodes := [s.node for s in view.sites if not s.node.name or names[s.node.name] > 1]:
            yield Breach("nodes without a name of their own", nodes)


@dataclass(frozen=True)
class Limits:
    """The limits of a profile; each key may be said several times, as a list."""

    shapes: tuple[OfShapes, ...] = ()
    opset: tuple[OfOpset, ...] = ()
    ir_version: tuple[OfIrVersion, ...] = ()
    dtypes: tuple[OfDtypes, ...] = ()
    rank: tuple[OfRank, ...] = ()
    inputs: tuple[OfInputs, ...] = ()
    outputs: tuple[OfOutputs, ...] = ()
    subgraphs: tuple[NoSubgraphs, ...] = ()
    functions: tuple[NoFunctions, ...] = ()
    nodes_named: tuple[UniqueNames, ...] = ()
    value_info: tuple[StatedTypes, ...] = ()

    def __iter__(self) -> Iterator[Limit]:
        """All of them, in the order of the keys."""
        return chain.from_iterable(vars(self).values())
