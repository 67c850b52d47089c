"""Attention in a Loop: one sequence a turn, of exactly its length.

    packed q, k, v → unpack → scores → mask → Softmax → context → pack
    →  packed q, k, v → Loop(slice → scores → mask → Softmax → context) → ConcatFromSequence

A turn runs the nodes of the padded zone on one sequence, from its first token to its last. What they read of the packed
zone, and of the padded one, is cut to these. A mask that hides the padding alone is left out: there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from onnx import helper

from regraft.errors import PassError
from regraft.idioms.attention import Attention
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable
from regraft.ir.weights import Value
from regraft.packing.parts import Part, Parting, token_axis
from regraft.packing.places import Spans
from regraft.packing.tokens import BATCH
from regraft.packing.zones import Zones
from regraft.refusal import INFER_SHAPES, run_before
from regraft.rewriting.build import Builder
from regraft.rewriting.node_pass import builder
from regraft.rewriting.term import Given, Term, op

FIRST_OPSET = 13
"""The first in which a Loop carries a sequence."""


class Loops(Parting):
    """Puts attentions into loops.

    Args:
        spans: where each sequence lies.
    """

    def __init__(
        self, edit: Editor, zones: Zones, read: Mapping[Node, Sequence[Tensor]], idle: Set[Tensor], spans: Spans
    ):
        super().__init__(edit, zones, read, idle)
        self.spans = spans
        graph = edit.model.graph
        build = builder(graph.nodes[0], graph, edit, zones.added, np.dtype(np.int64))
        self._count = build(op.Gather(op.Shape(Given(spans.starts)), 0, axis=0))

    def _parted(self, one: Attention, result: Tensor, region: Sequence[Node]) -> Tensor:
        """The loop, and its pieces one behind the other."""
        edit, tokens, before = self.edit, self.zones.tokens, region[0]
        elem = tokens.facts[result].code
        if elem is None:
            raise PassError(run_before(INFER_SHAPES, f"the type of '{result.name}' is not known"))
        empty, given, grown, pieces = (
            _sequence(edit.name(f"packing/{name}"), elem) for name in ("none", "given", "grown", "pieces")
        )
        body = _Body(edit)
        turn = _Turn(self, one, body)
        turn.run(region)
        body.add("SequenceInsert", [given, turn.value_of(result)], {}, [grown])
        going = body.add("Identity", [body.condition], {})
        going.dtype, going.shape = np.dtype(np.bool_), []
        graph = Graph(body.nodes, [body.number, body.condition, given], [going, grown], name="attention")
        graph.opset = edit.model.opset
        none = edit.insert(before, "SequenceEmpty", [], {"dtype": elem}, [empty])
        loop = edit.insert(before, "Loop", [self._count, Variable(""), empty], {"body": graph}, [pieces])
        joined = edit.insert(before, "ConcatFromSequence", [pieces], {"axis": token_axis(result, tokens)})
        known = [dim if isinstance(dim, int) else -1 for dim in tokens.facts[result].dims or ()]
        if tokens.layout(result) != "flat":
            known[1 - token_axis(result, tokens)] = 1
        shape = edit.constant(np.array(known, np.int64), "packing/shape")
        shaped = edit.insert(before, "Reshape", [joined.outputs[0], shape])
        self.zones.added += [none, loop, joined, shaped]
        made: Tensor = shaped.outputs[0]
        made.dtype = result.dtype
        return made


class _Body:
    """The body of a loop, as it is written.

    Attributes:
        number, condition: what a turn is given: which one it is, and true.
    """

    def __init__(self, edit: Editor):
        self._edit = edit
        self.nodes: list[Node] = []
        self.number = Variable(edit.name("packing/turn"), np.int64, [])
        self.condition = Variable(edit.name("packing/condition"), np.bool_, [])
        self.build = Builder(self._emit, self._store, edit.model.opset, np.dtype(np.int64))

    def add(
        self,
        operator: str,
        inputs: Sequence[Tensor],
        attrs: dict[str, Any],
        outputs: list[Variable] | None = None,
        domain: str | None = None,
    ) -> Variable:
        """A node; its first output."""
        outputs = outputs or [Variable(self._edit.name(f"packing/{operator}"))]
        self.nodes.append(Node(operator, self._edit.name(f"turn/{operator}"), attrs, inputs, outputs, domain))
        return outputs[0]

    def _emit(self, operator: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        return self.add(operator, inputs, attrs, None, domain)

    def _store(self, values: Any, hint: str) -> Constant:
        return self._edit.constant(values if isinstance(values, Value) else np.asarray(values), f"packing/{hint}")


class _Turn(Part):
    """What a loop does with one sequence."""

    def __init__(self, loops: Loops, one: Attention, body: _Body):
        spans = loops.spans
        start, end, first, last = (
            op.Gather(Given(value), Given(body.number), axis=0)
            for value in (spans.starts, spans.ends, spans.firsts, spans.lasts)
        )
        super().__init__(loops, one, body.build, None, end - start)
        self._body, self._bounds, self._cuts = body, (start, end), (first, last)

    def emit(self, node: Node, inputs: list[Tensor], outputs: list[Variable]) -> None:
        self._body.add(node.op, inputs, dict(node.attrs), outputs, node.domain)

    def piece(self, packed: Tensor) -> Term:
        return op.Slice(Given(packed), *self._bounds, np.array([token_axis(packed, self.tokens)]))

    def cut(self, padded: Tensor, axes: Sequence[tuple[int, str, int]]) -> Term:
        which = [0 if what == BATCH else 1 for _, what, _ in axes]
        ends: list[Term] = list(self._cuts)
        if which != [0, 1]:
            ends = [op.Gather(end, np.array(which), axis=0) for end in ends]
        if any(factor != 1 for _, _, factor in axes):
            ends = [end * np.array([factor for _, _, factor in axes]) for end in ends]
        return op.Slice(Given(padded), *ends, np.array([axis for axis, _, _ in axes]))


def _sequence(name: str, elem: int) -> Variable:
    """A value that is a sequence of tensors."""
    made = Variable(name)
    made.info = helper.make_tensor_sequence_value_info(name, elem, None)
    return made
