"""What a value of a graph means: a symbolic tensor over those values at which one does not look further."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ops.traits import SOFTMAXES
from regraft.proving import elementwise
from regraft.proving.arrays import choice, dtype_of
from regraft.proving.call import Call, Known
from regraft.proving.denote import applied
from regraft.proving.digits import number_of
from regraft.proving.domain import Domain
from regraft.proving.numbering import attributes, passes_on
from regraft.proving.polynomial import Polynomial
from regraft.proving.reach import OutOfReach
from regraft.proving.side import Side
from regraft.proving.sizes import expanded
from regraft.proving.stored import StoredNumbers
from regraft.proving.tensor import UNIT, At, Axis, Limits, limits_of, operand, remembered
from regraft.proving.tensor import Tensor as Symbolic
from regraft.rewriting.facts import Kind
from regraft.shapes import Fact
from regraft.shapes.dims import Dim, symbol

MOST_NODES = 100
"""Nodes between a value and those at which one does not look further; beyond, nothing is said."""

_OLDEST = 7
"""The opset from which on operators broadcast as they do today."""

STRUCTURAL = frozenset({"axes", "ends", "pads", "repeats", "shape", "split", "starts", "steps"})
"""Inputs that are attributes in other opsets, or to the table of meanings."""


class GraphMeaning:
    """The meanings of the values of one side.

    Args:
        known: numbers of values that are symbols, at which one does not look further,
        left: but for these.
        names: of dimensions on this side: what they are called in the proof.
        refused: values of which nothing is said, and why.

    Attributes:
        nodes: those that were looked into.
        ends: the numbers of those symbols that are computed from others.
    """

    def __init__(
        self,
        side: Side,
        known: Collection[int],
        left: Collection[int],
        stored: StoredNumbers,
        names: Mapping[str, Dim],
        refused: Mapping[Tensor, str],
    ):
        self.side, self.known, self.left = side, known, left
        self.stored, self.names, self.refused = stored, names, refused
        self.nodes: dict[Node, None] = {}
        self.ends: set[int] = set()
        self._found: dict[Tensor, Symbolic] = {}

    def __call__(self, value: Tensor) -> Symbolic:
        """The tensor that `value` means.

        Raises:
            OutOfReach: it is too far from what both models have, or something on the way has no meaning here.
        """
        pending = [value]
        while pending:
            tensor = pending[-1]
            needed = [one for one in self._needs(tensor) if one not in self._found] if tensor not in self._found else []
            if needed:
                pending += needed
                continue
            pending.pop()
            if tensor not in self._found:
                self._found[tensor] = remembered(replace(self._meaning(tensor), limits=self._limits(tensor)))
        return self._found[value]

    def _limits(self, tensor: Tensor) -> Limits | None:
        """The least and the largest number of its integer type."""
        return limits_of(dtype_of(self.side.fact(tensor).code)) if self.side.kind(tensor) == "integer" else None

    def _needs(self, tensor: Tensor) -> list[Tensor]:
        """The values that a value is computed from, as far as one looks."""
        if tensor in self.refused:
            raise OutOfReach(self.refused[tensor])
        if tensor in self.side.fed:
            return [self.side.fed[tensor]]
        if self._is_end(tensor):
            return []
        node = tensor.inputs[0]
        if node not in self.nodes:
            if len(self.nodes) >= MOST_NODES:
                raise OutOfReach(f"more than {MOST_NODES} nodes from what both models have")
            self.nodes[node] = None
        if node.op == "If" and not node.domain:
            place = node.place_of(tensor)
            taken = self.side.branch(node)
            if taken is not None:
                return [taken.outputs[place]]
            return [node.inputs[0], *(node.attrs[name].outputs[place] for name in ("then_branch", "else_branch"))]
        known = self._known_places(node)
        return [one for place, one in enumerate(node.inputs) if place not in known and not one.is_empty()]

    def _is_end(self, tensor: Tensor) -> bool:
        number = self.side.of(tensor)
        is_known = number in self.side.constants or (number in self.known and number not in self.left)
        return not tensor.inputs or is_known or _is_told(self.side.fact(tensor))

    def _meaning(self, tensor: Tensor) -> Symbolic:
        side, fact, kind = self.side, self.side.fact(tensor), self.side.kind(tensor)
        if tensor in side.fed:
            return self._found[side.fed[tensor]]
        held = side.constants.get(side.of(tensor))
        if held is not None and kind is not None:
            return self.stored.tensor(side.of(tensor), held, kind)
        if _is_told(fact):
            return self._of_sizes(fact, kind)
        if self._is_end(tensor):
            return self._symbol(tensor, fact)
        node = tensor.inputs[0]
        place = node.place_of(tensor)
        if node.op == "If" and not node.domain:
            return self._of_branches(node, place)
        if (
            not place
            and node.inputs
            and passes_on(node, (side.kind(node.inputs[0]), side.kind(tensor)), node.graph.opset)
        ):
            return replace(self._found[node.inputs[0]], kind=side.kind(tensor))
        return self._of_node(node, place)

    def _symbol(self, tensor: Tensor, fact: Fact) -> Symbolic:
        kind = self.side.kind(tensor)
        if kind is None:
            raise OutOfReach(f"'{tensor.name}' is of no known type")
        if tensor.inputs:
            self.ends.add(self.side.of(tensor))
        return operand(f"v{self.side.of(tensor)}", self._axes(tensor.name, fact), kind)

    def _axes(self, name: str, fact: Fact) -> tuple[Axis, ...]:
        if fact.dims is None:
            raise OutOfReach(f"the shape of '{name}' is not known")
        return tuple(UNIT if dim == 1 else Axis(str(self._named(dim))) for dim in fact.dims)

    def _of_sizes(self, fact: Fact, kind: Kind | None) -> Symbolic:
        values = fact.value
        assert values is not None  # as `_is_told` says
        axes = tuple(UNIT if size == 1 else Axis(str(size)) for size in values.shape)

        def elements(at: At, domain: Domain) -> Polynomial:
            known = tuple(place for place in at if isinstance(place, int))
            if len(known) == len(at):
                return self._size(values.item(*known))
            wide = [place for axis, place in zip(axes, at, strict=True) if not axis.unit]
            if len(wide) > 1:
                raise OutOfReach("an array of numbers at any index")
            return choice(dict(enumerate(map(self._size, values.flat))), number_of(wide[0]))

        return Symbolic(axes, elements, kind)

    def _size(self, dim: Dim) -> Polynomial:
        return expanded(str(self._named(dim)))

    def _named(self, dim: Dim) -> Dim:
        """A dimension as the proof calls it."""
        if isinstance(dim, int) or not self.names:
            return dim
        total: Dim = 0
        for symbols, factor in dim.terms.items():
            total = total + math.prod((self.names.get(one, symbol(one)) for one in symbols), start=factor)
        return total

    def _of_branches(self, node: Node, place: int) -> Symbolic:
        if (taken := self.side.branch(node)) is not None:
            return self._found[taken.outputs[place]]
        ends = (node.inputs[0], *(node.attrs[name].outputs[place] for name in ("then_branch", "else_branch")))
        condition, then, other = (self._found[end] for end in ends)
        if any(not axis.unit for axis in condition.axes) or then.axes != other.axes:
            raise OutOfReach("branches of other axes, or a condition that is no single truth")
        scalar = Symbolic((), lambda at, domain: condition.elements((0,) * len(condition.axes), domain), "boolean")
        found = elementwise.where(Call("Where", (scalar, then, other), {}, ()))
        return replace(found, finite=then.finite and other.finite)

    def _of_node(self, node: Node, place: int) -> Symbolic:
        opset = node.graph.opset
        if opset < _OLDEST:
            raise OutOfReach(f"operators of opset {opset}")
        attrs, known = self._attributes(node, opset), self._known_places(node)
        operands = [
            None if one.is_empty() or number in known else self._found[one] for number, one in enumerate(node.inputs)
        ]
        while operands and operands[-1] is None:
            operands.pop()
        if node.op in SOFTMAXES and opset < 13:
            rank = len(operands[0].axes) if operands[0] else 0
            if schema.attribute(node, "axis", opset) not in (-1, rank - 1):
                raise OutOfReach(f"{node.op} over several axes, as before opset 13")
        terms = tuple(None if one is None else Known(one) for one in operands)
        made = self.side.fact(node.outputs[0])
        result = None if made.dims is None else self._axes(node.outputs[0].name, made)
        call = Call(schema.kind(node), tuple(operands), attrs, terms, result, len(node.outputs), place)
        return applied(call)

    def _attributes(self, node: Node, opset: int) -> dict[str, Any]:
        """What is said of `node`, in attributes or constant inputs, or goes without saying in its opset alone."""
        rule = schema.find(node.op, opset, node.domain)
        if rule is None:
            raise OutOfReach(f"{schema.kind(node)} has no meaning in the table")
        found = {name: _in_decimals(value) for name, value in attributes(node, opset).items()}
        for place, name in _structural(node).items():
            values = self._values(node.inputs[place])
            if values is not None:
                found[name] = values
        return found

    def _known_places(self, node: Node) -> set[int]:
        """The places of structural inputs that are told by attributes, or by the shape of the result."""
        by_result = node.op in _BY_RESULT and self.side.fact(node.outputs[0]).dims is not None
        return {place for place in _structural(node) if by_result or self._values(node.inputs[place]) is not None}

    def _values(self, tensor: Tensor) -> Any:
        """The whole numbers of a structural input, where they are known."""
        if tensor.is_empty():
            return None
        known = self.side.fact(tensor).numbers
        values = schema.constant_of(tensor) if known is None else known
        return None if values is None else values.tolist()


_BY_RESULT = frozenset({"Expand", "Reshape"})
"""Operators of which the shape of the result says all that a structural input would."""


def _in_decimals(value: Any) -> Any:
    """An attribute; a float, which files hold in 32 bits, as the shortest decimal that is stored so."""
    if isinstance(value, Constant):
        return value.values
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _is_told(fact: Fact) -> bool:
    """Whether shapes say what the value is."""
    return fact.value is not None and fact.fits


def _structural(node: Node) -> dict[int, str]:
    """The places of inputs that are attributes in other opsets, and what they are called."""
    names = schema.input_places(node.op, node.graph.opset, node.domain)
    return {place: name for name, place in names.items() if name in STRUCTURAL and place < len(node.inputs)}
