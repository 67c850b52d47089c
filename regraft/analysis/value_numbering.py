"""Which values are computed in the same way from the same, though by different nodes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from regraft.ir.graph import Constant, Node, Tensor, subgraphs
from regraft.ir.schema import DOMAINS, STAND_IN
from regraft.ops.traits import RANDOM

_KNOWN = frozenset({*DOMAINS, STAND_IN})  # of other operators nobody says that they leave nothing to chance
_SMALL = 1 << 20  # bytes of the largest constant that is compared by value


class Sameness:
    """Numbers values so that two with one number are equal: `Sameness()(a) == Sameness()(b)`, with one instance."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[Tensor, int] = {}

    def __call__(self, tensor: Tensor) -> int:
        pending = [tensor]
        while pending:
            current = pending[-1]
            node = current.inputs[0] if len(current.inputs) == 1 else None
            missing = [t for t in node.inputs if t not in self._known] if node is not None else []
            if current in self._known or not missing:
                pending.pop()
                self._known.setdefault(current, self._number(current, node))
            else:
                pending += missing
        return self._known[tensor]

    def _number(self, tensor: Tensor, node: Node | None) -> int:
        key: Hashable = tensor
        if tensor.is_empty():
            key = ""
        elif isinstance(tensor, Constant) and tensor.nbytes <= _SMALL:
            key = _contents(tensor)
        elif node is not None and (node.domain or "") in _KNOWN and not subgraphs(node) and node.op not in RANDOM:
            place = next(i for i, output in enumerate(node.outputs) if output is tensor)
            inputs = tuple(self._known[t] for t in node.inputs)
            key = (node.op, node.domain, place, inputs, _attributes(node.attrs))
        return self._numbers.setdefault(key, len(self._numbers))


def _contents(constant: Constant) -> Hashable:
    return (str(constant.dtype), tuple(constant.shape), constant.values.tobytes())


def _attributes(attrs: dict[str, Any]) -> Hashable:
    return tuple((k, _contents(v) if isinstance(v, Constant) else str(v)) for k, v in sorted(attrs.items()))
