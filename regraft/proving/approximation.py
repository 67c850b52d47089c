"""How far a value is from what it was, where both ways compute it from one number, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Tensor
from regraft.ops.traits import ELEMENTWISE
from regraft.proving.bounds import bound
from regraft.proving.graph_meaning import GraphMeaning
from regraft.proving.reach import OutOfReach
from regraft.rewriting.facts import Operand
from regraft.rewriting.term import Apply, Number, Term, Var


def distance(before: GraphMeaning, old: Tensor, after: GraphMeaning, new: Tensor) -> float:
    """The largest difference of two values, for any real number that they are computed from.

    Args:
        before, after: the meanings, of which `old` and `new` were asked.

    Raises:
        OutOfReach: they are computed of more, or otherwise than element by element, or there is no bound.
    """
    first, second = _Writer(before), _Writer(after)
    terms = first.term(old), second.term(new)
    names = first.ends | second.ends
    if len(names) != 1:
        raise OutOfReach(f"a bound of a function of {len(names)} numbers")
    return bound(*terms, dict.fromkeys(names, Operand())).most


class _Writer:
    """Writes values as terms of the values at which a meaning ends."""

    def __init__(self, meaning: GraphMeaning):
        self.side, self.region = meaning.side, meaning.nodes
        self.ends: set[str] = set()

    def term(self, value: Tensor) -> Term:
        number = self.side.of(value)
        held = self.side.constants.get(number)
        if held is not None:
            return _number(held)
        node = value.inputs[0] if value.inputs else None
        if node is None or node not in self.region:
            self.ends.add(f"v{number}")
            return Var(f"v{number}")
        if node.op == "Cast" and self.side.kind(value) == self.side.kind(node.inputs[0]) == "real":
            return self.term(node.inputs[0])
        if node.op not in ELEMENTWISE or node.domain:
            raise OutOfReach(f"a bound through {schema.kind(node)}")
        return Apply(node.op, tuple(map(self.term, node.inputs)), dict(node.attrs))


def _number(held: Any) -> Number:
    """A constant that is one number throughout, as it is stored."""
    values = held.values if isinstance(held, Constant) else held
    first = np.asarray(values).reshape(-1)[:1]
    if not first.size or first.dtype.kind not in "fV" or not (values == first[0]).all():
        raise OutOfReach("a bound beside a constant that is not one number")
    return Number(float(first[0]))
