"""Range as a constant, or a part of one, for targets that lack it."""

from __future__ import annotations

import math

import numpy as np

from regraft.analysis.value_ranges import LARGEST
from regraft.errors import PassError
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array, dtype_from_onnx
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import Context, Pass
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.node_pass import put, remove_unread_makers
from regraft.rewriting.term import Given, Term, op, term
from regraft.shapes import Facts, analyse, dims
from regraft.verification.contract import exact


class LowerRange(Pass):
    """Replace Range by its numbers, where they are known, or by a Slice of as many as there can be.

    Range(start, limit, delta)  →  [start, start + delta, ...]
                                →  Slice([0, 1, ..., max-length - 1], start, limit, delta)

    The numbers are known where start, limit and delta are constants or follow from fixed shapes. Exporters make
    positions and masks as Range(0, L, 1), where L is a dimension: `set-shapes` fixes it, or `max-length` says how large
    it can become, and the Slice is what BERT's table of position numbers was before; a longer input is then cut
    short. A Slice needs whole numbers, a start and a limit that cannot be negative, and a delta that is known and
    positive. AWS Neuron's compiler of ONNX lacks Range, as hls4ml does.
    """

    name = "lower-range"
    contract = exact
    removes = frozenset({"Range"})
    max_length: int = option(0, "largest limit of a Range over a dynamic dimension; 0: leave those")

    @property
    def introduces(self) -> frozenset[str]:
        return frozenset({"Reshape", "Slice"} if self.max_length else ())

    def run(self, model: Model, context: Context) -> None:
        if self.max_length < 0:
            raise PassError(f"{self.name}: max-length {self.max_length}: a length cannot be negative")
        if not any(node.op == "Range" and not node.domain for node in model.nodes()):
            return
        facts = analyse(model)
        with Editor(model) as edit:
            for graph in model.graphs():
                for node in edit.live_nodes(graph):
                    if node.op != "Range" or node.domain:
                        continue
                    found = self.written(node, facts)
                    if isinstance(found, Refusal):
                        context.refuse(found, node)
                        continue
                    added = put(node, [found], graph, edit)
                    context.replaced([node, *remove_unread_makers(node, edit)], added)

    def written(self, node: Node, facts: Facts) -> Term | Refusal:
        """What takes the place of a Range; else why it stays."""
        start, limit, delta = (number(tensor, facts) for tensor in node.inputs)
        if delta is None or not delta:
            return Refusal("its delta is not known, or zero")
        if start is not None and limit is not None:
            return all_numbers(start, limit, delta)
        ends = node.inputs[:2]
        if delta.dtype not in (np.int64, np.int32) or delta < 0 or not all(is_natural(t, facts) for t in ends):
            return Refusal("its limit is not known, and a Slice needs whole numbers that are not negative")
        if not self.max_length:
            set_shapes = PassRef("set-shapes")
            dynamic = f"its limit is dynamic: fix it with {set_shapes}, or say how large it can be with max-length"
            return Refusal(dynamic, needs=(set_shapes,))
        table = np.arange(self.max_length, dtype=delta.dtype)
        places = (
            op.Reshape(Given(tensor), np.array([1])) if value is None else value.reshape(1)
            for tensor, value in zip(ends, (start, limit), strict=True)
        )
        return op.Slice(table, *places, np.array([0], delta.dtype), delta.reshape(1))


def all_numbers(start: Array, limit: Array, delta: Array) -> Term | Refusal:
    """The numbers of a Range, where they are the same however they are computed."""
    first, step = start.item(), delta.item()
    steps = (limit.item() - first) / step
    if not math.isfinite(steps):
        return Refusal("its numbers are not finite")
    if steps > LARGEST:
        return Refusal(f"it has more than {LARGEST:,} numbers")
    wanted = first + np.arange(max(math.ceil(steps), 0)) * step
    numbers = wanted.astype(start.dtype)
    if (numbers == wanted).all():
        return term(numbers)
    fold = PassRef("fold-constants")
    return Refusal(f"its numbers are rounded: {fold} computes those", needs=(fold,))


def number(tensor: Tensor, facts: Facts) -> Array | None:
    """The one element of `tensor`, where it is known."""
    values, fact = constant_of(tensor), facts[tensor]
    if values is None and fact.numbers is not None:
        values = fact.numbers.astype(dtype_from_onnx(fact.code))
    return values.reshape(()) if values is not None and values.size == 1 else None


def is_natural(tensor: Tensor, facts: Facts) -> bool:
    """Whether `tensor` is known to be one number that is not negative."""
    value = facts[tensor].value
    return value is not None and value.size == 1 and dims.is_natural(value.item())
