"""Which tokens of a row belong together, and the attention that heeds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from onnx import TensorProto

from regraft.errors import PassError
from regraft.idioms.attention import Attention
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable
from regraft.ir.weights import code_of
from regraft.pipelines.pass_base import label
from regraft.rewriting.term import Given, Term, op
from regraft.shapes import Facts

HIDDEN_SCORE = -10000.0
"""What is added to the scores of other segments: float16 holds it, and a row that is hidden whole stays finite."""


class Segments:
    """Which tokens of a row belong together.

    Args:
        numbers: int64[rows, tokens]; 0 where there is no token, and these see each other.
        build: makes a value of a term.
    """

    def __init__(self, numbers: Tensor, build: Callable[[Term], Tensor]):
        self.numbers, self._build = Given(numbers), build
        self.same = op.Equal(op.Unsqueeze(self.numbers, axes=[1, 3]), op.Unsqueeze(self.numbers, axes=[1, 2]))
        self._biases: dict[tuple[Any, ...], Tensor] = {}

    def ones(self, mask: Tensor) -> Tensor:
        """What hides nothing: a mask [rows, tokens] or [rows, 1, 1, tokens], or the lengths [rows]."""
        ones: Term = op.Cast(op.Equal(self.numbers, self.numbers), to=TensorProto.INT64)
        if len(mask.shape or ()) == 1:
            ones = op.ReduceSum(ones, axes=[1], keepdims=0)
        elif len(mask.shape or ()) > 2:
            ones = op.Unsqueeze(ones, axes=list(range(1, len(mask.shape or ()) - 1)))
        return self._build(op.Cast(ones, to=code_of(mask.dtype)))

    def keep_apart(
        self, one: Attention, facts: Facts, edit: Editor, read: Mapping[Node, Sequence[Tensor]], idle: Set[Tensor]
    ) -> None:
        """Let each token see those of its own segment alone.

        Args:
            read: what each node read before it was put into a zone.
            idle: what hides padding and does nothing else: what hides other segments takes the place of one.
        """
        node, index = one.softmax, 0
        if schema.kind(node) == "Attention":
            if node.domain:
                raise PassError(f"'{label(node)}' is fused already; run pack-sequences before fuse-attention")
            index = 3
        elif spot := next(((n, i) for n in one.inner if n.op == "Add" for i in (0, 1) if read[n][i] in idle), None):
            edit.touch(spot[0])
            spot[0].inputs[spot[1]] = self._bias(one, index, np.dtype(one.query.dtype), facts)
            return
        edit.touch(node)
        given = node.inputs[index] if len(node.inputs) > index and not node.inputs[index].is_empty() else None
        is_idle = len(read[node]) > index and read[node][index] in idle
        if given is not None and facts[read[node][index]].code == TensorProto.BOOL:
            made = self._build(self.same if is_idle else op.And(Given(given), self.same))
        else:
            dtype = np.dtype((one.query if given is None else given).dtype)
            bias = self._bias(one, index, dtype, facts)
            made = bias if given is None or is_idle else self._build(op.Add(Given(given), Given(bias)))
            made.dtype = dtype
        while len(node.inputs) <= index:
            node.inputs.append(Variable(""))
        node.inputs[index] = made

    def _bias(self, one: Attention, index: int, dtype: np.dtype[Any], facts: Facts) -> Tensor:
        """What is added to scores: 0 within a segment."""
        known = facts[one.softmax.inputs[0]].dims or ()
        heads = one.q.heads if not index and len(known) == 3 else None
        if (dtype, heads) not in self._biases:
            shown, hidden = (np.zeros((), dtype), np.full((), HIDDEN_SCORE, dtype))
            term: Term = op.Where(self.same, shown, hidden)
            if heads is not None:  # [B·N, S, S]
                if one.q.layouts[-1].split()[0] != "bn":
                    raise PassError(f"'{label(one.softmax)}' has its heads before its sequences")
                size = op.Gather(op.Shape(self.numbers), np.array([1, 1]), axis=0)
                wide = op.Expand(term, np.array([1, heads, 1, 1]))
                term = op.Reshape(wide, op.Concat(np.array([-1]), size, axis=0))
            self._biases[dtype, heads] = self._build(term)
        return self._biases[dtype, heads]
