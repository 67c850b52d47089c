"""Truths as the numbers 0 and 1: a region of boolean operators rewritten as arithmetic.

The walk goes forward. A boolean operator is computed from the numbers of its inputs; a truth that is made otherwise (an
input, a comparison of floats) becomes a number by Cast where one is asked for. At the end a truth that somebody still
reads is made of its number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from regraft import shapes
from regraft.analysis.certainty import DIMENSIONS
from regraft.analysis.value_ranges import ValueRanges
from regraft.folding.identities import maker
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import Derived, Value
from regraft.ops.traits import COMPARISONS, GATHERS, LAYOUT, LOGIC
from regraft.pipelines.pass_base import Context
from regraft.refusal import INFER_SHAPES, PassRef, Refusal, run_before
from regraft.rewriting.node_pass import builder, remove_unread_makers
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.rewriting.term import Apply, Given, Term, op

_CARRYING = LAYOUT | GATHERS | {"Concat", "Slice", "Tile"}
"""Operators whose first input, of Concat every input, may be numbers as well as truths."""

NUMBER = np.dtype(np.float32)

OLDEST = 11
"""The first opset where Max broadcasts and Clip takes its limits as inputs."""


def rewrite_as_arithmetic(model: Model, context: Context) -> None:
    """Rewrite what is boolean in `model`, as far as it can be; notes say what stays, and why."""
    if not any(node.op in LOGIC | COMPARISONS and not node.domain for node in model.nodes()):
        return
    shapes.declare_types(model)
    facts = shapes.analyse(model)
    with Editor(model) as edit:
        region = _Region(edit, context)
        for graph in rewritable_graphs(model):
            if graph.opset < OLDEST:
                kept = f"kept the logic of opset {graph.opset}; run convert-opset before, to {OLDEST} or later"
                context.refuse(Refusal(kept, needs=(PassRef(f"convert-opset{{version={OLDEST}}}"),)))
                continue
            for node in edit.live_nodes(graph):
                if node.domain or node.op not in LOGIC | COMPARISONS | _CARRYING | {"Cast"}:
                    continue
                if node.op in LOGIC | COMPARISONS and facts[node.outputs[0]].value is not None:
                    context.refuse(run_before(PassRef("fold-constants"), "it is arithmetic of shapes"), node)
                else:
                    region.visit(node, graph)
        region.end()


class _Region:
    """What is rewritten: the numbers that stand for truths."""

    def __init__(self, edit: Editor, context: Context):
        self.edit, self.context = edit, context
        self.ranges = edit.model.facts(ValueRanges)
        self.numbers: dict[Tensor, Tensor] = {}  # of truths that rewritten nodes made
        self.casts: dict[tuple[AnyGraph, Tensor], Tensor] = {}  # of others, by the graph that asked
        self.replaced: dict[Node, tuple[AnyGraph, list[Node]]] = {}

    def visit(self, node: Node, graph: AnyGraph) -> None:
        """Compute `node` from numbers, if it can be."""
        added: list[Node] = []
        term = self._term(node, graph, added)
        if isinstance(term, Refusal):
            self.context.refuse(term, node)
        elif term is not None:
            out, made = node.outputs[0], self._made(term, node.outputs[0], node, graph, added)
            if node.op == "Cast":
                self.edit.replace(out, made)
            else:
                self.numbers[out] = made
            self.edit.remove(node)
            self.replaced[node] = graph, added

    def end(self) -> None:
        """Make truths of numbers where they are still read, and remove what nothing reads."""
        for node, (graph, added) in self.replaced.items():
            out = node.outputs[0]
            if self.edit.is_read(out):
                term = op.Cast(Given(self.numbers[out]), to=TensorProto.BOOL)
                self.edit.replace(out, self._made(term, out, node, graph, added))
            self.context.replaced([node, *remove_unread_makers(node, self.edit)], added, rule=node.op)

    # ------------------------------------------------------------------------------------------------ the terms

    def _term(self, node: Node, graph: AnyGraph, added: list[Node]) -> Term | Refusal | None:
        """The number of what `node` makes; why there is none; None where there is nothing to say."""

        def number(index: int) -> Term:
            return self._number(node.inputs[index], node, graph, added)

        if node.op in LOGIC:
            return _LOGIC[node.op](*(number(index) for index in range(len(node.inputs))))
        if node.op in COMPARISONS:
            dtype = node.inputs[0].dtype
            if dtype is None:
                return run_before(INFER_SHAPES, "the type that it compares is not known")
            if np.dtype(dtype) == np.bool_:
                return 1.0 - op.Abs(number(0) - number(1))
            return self._compared(node, np.dtype(dtype))
        moved = node.inputs if node.op == "Concat" else node.inputs[:1]
        if not any(value in self.numbers for value in moved):
            return None
        if node.op == "Cast":
            same = node.attrs["to"] == TensorProto.FLOAT
            return number(0) if same else op.Cast(number(0), to=node.attrs["to"])
        rest = [None if value.is_empty() else Given(value) for value in node.inputs[len(moved) :]]
        return Apply(node.op, (*map(number, range(len(moved))), *rest), dict(node.attrs))

    def _compared(self, node: Node, dtype: np.dtype[Any]) -> Term | Refusal:
        if dtype not in (np.int32, np.int64):
            return Refusal(f"it compares {dtype}")
        a, b = node.inputs
        if node.op == "Equal":
            return 1.0 - op.Min(op.Abs(_difference(a, b)), 1.0)
        if node.op in ("Less", "GreaterOrEqual"):
            a, b = b, a
        if not self._fits(a, b, dtype):
            return Refusal(f"the difference of '{a.name}' and '{b.name}' may not fit {dtype}")
        greater = op.Clip(_difference(a, b), 0.0, 1.0)
        return greater if node.op in ("Less", "Greater") else 1.0 - greater

    def _fits(self, a: Tensor, b: Tensor, dtype: np.dtype[Any]) -> bool:
        """Whether a - b is a number of `dtype`, whatever the two are."""
        limits = np.iinfo(dtype)
        (low_a, high_a), (low_b, high_b) = (
            (int(max(known.low, limits.min)), int(high) if (high := known.high) < limits.max else limits.max)
            for known in (self.ranges.proven(tensor, if_=DIMENSIONS) for tensor in (a, b))
        )
        return limits.min <= low_a - high_b and high_a - low_b <= limits.max

    def _number(self, truth: Tensor, node: Node, graph: AnyGraph, added: list[Node]) -> Term:
        """The number of a truth that `node` reads."""
        if truth in self.numbers:
            return Given(self.numbers[truth])
        key = (graph, truth)
        if key not in self.casts:
            self.casts[key] = self._made(_as_number(truth), truth, node, graph, added)
        return Given(self.casts[key])

    def _made(self, term: Term, like: Tensor, node: Node, graph: AnyGraph, added: list[Node]) -> Tensor:
        """The value of `term`, made ahead of `node`, of the shape of `like`."""
        made = builder(node, graph, self.edit, added, NUMBER)(term)
        if made.shape is None:
            made.shape = like.shape
        return made


def _as_number(truth: Tensor) -> Term:
    """The number of a truth that something else makes."""
    if isinstance(truth, Constant) and isinstance(truth.lazy, Value | np.ndarray):
        return Given(Derived([truth.lazy], lambda values: values.astype(NUMBER), truth.shape, NUMBER))
    cast = maker(truth, "Cast")
    source = cast.inputs[0] if cast is not None else None
    if source is not None and source.dtype is not None and np.dtype(source.dtype).kind in "iu":
        return op.Min(op.Abs(op.Cast(Given(source), to=TensorProto.FLOAT)), 1.0)
    return op.Cast(Given(truth), to=TensorProto.FLOAT)


def _difference(a: Tensor, b: Tensor) -> Term:
    """a - b as a float: rounded, but of the same sign, and zero where it is zero."""
    return op.Cast(Given(a) - Given(b), to=TensorProto.FLOAT)


_LOGIC: dict[str, Callable[..., Term]] = {
    "And": lambda a, b: a * b,
    "Or": lambda a, b: op.Max(a, b),
    "Xor": lambda a, b: op.Abs(a - b),
    "Not": lambda a: 1.0 - a,
}
