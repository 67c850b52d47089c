"""Which values are computed in the same way from the same, though by different nodes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Hashable, Iterable
from functools import partial
from typing import Any

from regraft.analysis.dataflow import Dataflow, refers
from regraft.analysis.solver import Round, Step
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor, subgraphs
from regraft.ir.model import Model
from regraft.ops.traits import RANDOM

_SMALL = 1 << 20  # bytes of the largest constant that is compared by value


class ValueNumbers(Dataflow[int]):
    """Numbers values so that those with one number are equal: `model.facts(ValueNumbers)[value]`.

    The numbers of values in bodies are about one round, and in functions about one call.
    """

    relates = True

    def __init__(self, model: Model):
        super().__init__(model)
        self._count = itertools.count()
        self._numbers: dict[Hashable, int] = {}
        self._own: dict[Tensor, int] = {}

    def step(self, tensor: Tensor) -> Step | Round:
        if tensor.is_empty():
            return Step((), partial(self._number, ""))
        if isinstance(tensor, Constant):
            return Step((), partial(self._of_constant, tensor))
        node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
        if node is None or not self._is_function(node):
            return super().step(tensor)
        number = node.place_of(tensor)
        version = self.typed(node).opset
        key = (node.op, node.domain, node.overload, version, number, _attributes(node.attrs))
        return Step(node.inputs, lambda *inputs: self._number((key, inputs)))

    def unknown(self, tensor: Tensor) -> int:
        """A number that no other value has."""
        if tensor not in self._own:
            self._own[tensor] = next(self._count)
        return self._own[tensor]

    def forget(self, tensors: Iterable[Tensor]) -> None:
        gone = list(tensors)
        super().forget(gone)
        for tensor in gone:
            self._own.pop(tensor, None)

    def _is_function(self, node: Node) -> bool:
        """Whether what `node` gives follows from its inputs and its attributes."""
        is_known = node.domain == schema.STAND_IN or (
            (node.domain or "") in schema.DOMAINS and self.passages.function_of(node) is None
        )
        return is_known and node.op not in RANDOM and not subgraphs(node) and not refers(node)

    def _number(self, key: Hashable) -> int:
        if key not in self._numbers:
            self._numbers[key] = next(self._count)
        return self._numbers[key]

    def _of_constant(self, constant: Constant) -> int:
        if constant.nbytes > _SMALL or not constant.is_known:
            return self.unknown(constant)
        return self._number(_contents(constant))


def _contents(constant: Constant) -> Hashable:
    return str(constant.dtype), tuple(constant.shape), hashlib.sha256(constant.values.tobytes()).digest()


def _attributes(attrs: dict[str, Any]) -> Hashable:
    return tuple((k, _contents(v) if isinstance(v, Constant) else str(v)) for k, v in sorted(attrs.items()))
