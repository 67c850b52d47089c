"""How the matrix counts what a transform did, apart from what the passes say where that can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from regraft.files.convert import clone
from regraft.ir import schema
from regraft.ir.graph import walk
from regraft.ir.model import Model
from regraft.pipelines.report import PassReport
from regraft.shapes import declare_types

PRODUCTS = ("MatMul", "Gemm", "Conv", "Attention")


class Done(NamedTuple):
    """A transform that was applied: the model before it, the result, and what the passes said."""

    before: Model
    model: Model
    reports: list[PassReport]


def operators(model: Model) -> Counter[str]:
    """How often each operator stands in the device's graph and the graphs inside it, calls of stand-ins included."""
    return Counter(schema.kind(node) for graph in walk(model.graph) for node in graph.nodes)


def changes(done: Done) -> int:
    """What the passes count as changed."""
    return sum(report.matches for report in done.reports)


def moved(done: Done) -> int:
    """The inputs that the host feeds."""
    return len(done.model.host.feeds) if done.model.host else 0


def gone(*ops: str) -> Callable[[Done], int]:
    """How many of `ops` there are less."""

    def count(done: Done) -> int:
        before, after = operators(done.before), operators(done.model)
        return sum(before[op] - after[op] for op in ops)

    return count


def halves(done: Done) -> int:
    """The products of half precision."""
    nodes = [node for graph in walk(done.model.graph) for node in graph.nodes if schema.kind(node) in PRODUCTS]
    return sum(np.dtype(node.inputs[0].dtype).itemsize == 2 for node in nodes)


def narrow_lookups(done: Done) -> int:
    """How many lookups by 32-bit integers there are more."""
    before, after = (indices(model).count(np.dtype(np.int32)) for model in (done.before, done.model))
    return after - before


def indices(model: Model) -> list[np.dtype[Any]]:
    """The types of the indices into tables of numbers."""
    model = clone(model)
    declare_types(model)
    gathers = [node.inputs for node in model.graph.nodes if node.op == "Gather"]
    tables = [(schema.constant_of(table), index) for table, index in gathers]
    return [np.dtype(i.dtype) for table, i in tables if table is not None and table.ndim == 2]


def stages(done: Done) -> int:
    """The stages that nodes are marked with, but for what is before and behind the layers."""
    return sum(int(effect.split()[0]) for report in done.reports for effect in report.effects)
