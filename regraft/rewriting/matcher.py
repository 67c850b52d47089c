"""Finding a term in a graph.

Sums and products match whatever their order and their brackets, and division by a number as multiplication:
`0.5 * x * y`, `x * (y / 2)` and `(y * x) * 0.5` are one pattern. Identity, a Cast that changes nothing and a Dropout
that drops nothing are seen through. A number matches a constant of any float type, whether initializer or Constant
node, scalar or filled tensor. The work at a node is bounded by the pattern, so that a search is linear in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ops.traits import SYMMETRIC
from regraft.refusal import Refusal
from regraft.rewriting.pattern import Chain, Pattern, kind_of, shown
from regraft.rewriting.term import Apply, Either, Number, Term, Var

_TOLERANCE = {"float16": 1e-3, "bfloat16": 8e-3}
_TIGHT = 1e-6  # of 1.4142 a rewrite would be off by 40 times the rounding noise: such a number is another


class Found(NamedTuple):
    """A place where a pattern matches.

    Attributes:
        values: what each variable is bound to: a value of the graph, a number, or an attribute.
        nodes: the nodes of the match, the root first; those seen through are among them.
    """

    values: dict[str, Any]
    nodes: tuple[Node, ...]


@dataclass
class Miss:
    """How far a match came, and what stopped it; `refusal` where that was the rule's condition."""

    matched: int
    node: str
    reason: str
    refusal: Refusal | None = None


@dataclass
class Matcher:
    """Looks for patterns in `graph`. With `misses`, the best failed match at each root is kept there.

    With `exact` a number matches itself alone, -0.0 no zero; else within a tolerance.
    """

    graph: AnyGraph
    misses: list[Miss] | None = None
    exact: bool = False
    _numbers: dict[Tensor, tuple[float, tuple[int, ...]] | None] = field(default_factory=dict)

    def match(self, pattern: Pattern, root: Node) -> Iterator[Found]:
        """The ways in which `pattern` matches with the first output of `root` as its result."""
        if root.outputs:
            yield from self._match(pattern.term, root.outputs[0], Found({}, ()))

    # ------------------------------------------------------------------------------------------------ a term

    def _match(self, term: Term | None, tensor: Tensor, found: Found) -> Iterator[Found]:
        if term is None:
            if tensor.is_empty():
                yield found
            return
        if isinstance(term, Either):
            for option in term.options:
                yield from self._match(option, tensor, found)
            return
        if isinstance(term, Var):
            yield from self._bind(term, tensor, found)
            return
        if isinstance(term, Number):
            value = self.number(tensor)
            if value is not None and self._is(value, term.value, tensor):
                yield found
            else:
                self._miss(found, tensor, _unlike(term.value, value, tensor))
            return
        through = not (isinstance(term, Apply) and term.op in _SEEN_THROUGH)
        tensor, skipped = self.source(tensor) if through else (tensor, ())
        found = Found(found.values, found.nodes + skipped)
        node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
        if node is None:
            self._miss(found, tensor, f"wanted {shown(term)}, found {_shown(tensor, None)}")
        elif isinstance(term, Chain):
            yield from self._match_chain(term, node, tensor, found)
        elif isinstance(term, Apply):
            yield from self._match_apply(term, node, tensor, found)

    def _bind(self, var: Var, tensor: Tensor, found: Found) -> Iterator[Found]:
        source, _ = self.source(tensor)
        value: Any = source
        if var.kind == "number":
            value = self.number(tensor)
        elif var.kind == "constant" and not is_constant(source):
            value = None
        if value is None:
            self._miss(found, tensor, f"'{var.name}' must be a constant {'number' * (var.kind == 'number')}".rstrip())
        elif var.name not in found.values:
            yield Found({**found.values, var.name: value}, found.nodes)
        elif _same(found.values[var.name], value) and (found.values[var.name] == value or not self.exact):
            yield found
        else:
            self._miss(found, tensor, f"'{var.name}' was {_shown(found.values[var.name], None)} elsewhere")

    # ------------------------------------------------------------------------------------------------ an operator

    def _match_apply(self, term: Apply, node: Node, tensor: Tensor, found: Found) -> Iterator[Found]:
        if schema.kind(node) != kind_of(term) or node.outputs[0] is not tensor:
            self._miss(found, tensor, f"wanted {shown(term)}, found {schema.kind(node)}")
            return
        found = Found(dict(found.values), (*found.nodes, node))
        for name, wanted in term.attrs.items():
            value = schema.attribute(node, name, self.graph.opset)
            if isinstance(wanted, Var) and wanted.name not in found.values:
                found.values[wanted.name] = value
            elif not _same(found.values[wanted.name] if isinstance(wanted, Var) else wanted, value):
                self._miss(found, tensor, f"{name} is {value}")
                return
        inputs = self._operands(term, node)
        if len(inputs) != len(term.operands):
            self._miss(found, tensor, f"{node.op} has {len(inputs)} inputs, wanted {len(term.operands)}")
            return
        yield from self._match_all(term.operands, inputs, found)
        if node.op in SYMMETRIC and len(inputs) == 2:
            yield from self._match_all(term.operands, inputs[::-1], found)

    def _operands(self, term: Apply, node: Node) -> list[Tensor]:
        """The inputs that are not attributes of the term, without those left out at the end."""
        skip = {
            schema.input_place(node.op, name, self.graph.opset, node.domain)
            for name in term.attrs
            if schema.is_input(node.op, name, self.graph.opset, node.domain)
        }
        inputs = [t for i, t in enumerate(node.inputs) if i not in skip]
        while len(inputs) > len(term.operands) and inputs[-1].is_empty():
            inputs.pop()
        return inputs

    def _match_all(self, terms: tuple[Term | None, ...], tensors: list[Tensor], found: Found) -> Iterator[Found]:
        if not terms:
            yield found
            return
        for first in self._match(terms[0], tensors[0], found):
            yield from self._match_all(terms[1:], tensors[1:], first)

    # ------------------------------------------------------------------------------------------------ sums, products

    def _match_chain(self, chain: Chain, node: Node, tensor: Tensor, found: Found) -> Iterator[Found]:
        if node.op not in chain.ops or node.domain:
            self._miss(found, tensor, f"wanted {shown(chain)}, found {node.op}")
            return
        neutral = 0 if chain.op == "Add" else 1
        for left, value, end in self._link(chain, node, chain.operands, neutral, found, len(chain.operands) + 1):
            if left:
                self._miss(end, tensor, f"no factor or summand is {shown(left[0])}")
            elif not self._is(value, chain.number, tensor):
                self._miss(end, tensor, _unlike(chain.number, value, tensor))
            else:
                yield end

    def _link(
        self, chain: Chain, node: Node, left: tuple[Term, ...], value: float, found: Found, depth: int
    ) -> Iterator[tuple[tuple[Term, ...], float, Found]]:
        """Cover the operands of `node` with terms of `left` and with numbers; what is left, and the numbers' total."""
        found = Found(found.values, (*found.nodes, node))
        first = node.inputs[0]
        if node.op == "Neg":
            yield from self._cover(chain, first, node, left, -value, found, depth)
        elif node.op in ("Sub", "Div"):
            second = self.number(node.inputs[1], beside=first)
            if second is None or (node.op == "Div" and not second):
                self._miss(found, node.outputs[0], f"{node.op} is not by a constant number")
                return
            value = value - second if node.op == "Sub" else value / second
            yield from self._cover(chain, first, node, left, value, found, depth)
        else:
            for rest, total, half in self._cover(chain, first, node, left, value, found, depth):
                yield from self._cover(chain, node.inputs[1], node, rest, total, half, depth)

    def _cover(
        self,
        chain: Chain,
        tensor: Tensor,
        reader: Node,
        left: tuple[Term, ...],
        value: float,
        found: Found,
        depth: int,
    ) -> Iterator[tuple[tuple[Term, ...], float, Found]]:
        tried: set[str] = set()
        for position, term in enumerate(left):
            if isinstance(term, Var):
                if term.name in tried:
                    continue
                tried.add(term.name)
            for end in self._match(term, tensor, found):
                yield left[:position] + left[position + 1 :], value, end
        other = reader.inputs[1] if tensor is reader.inputs[0] and len(reader.inputs) > 1 else reader.inputs[0]
        number = self.number(tensor, beside=other)
        if number is not None:
            yield left, value + number if chain.op == "Add" else value * number, found
        source, skipped = self.source(tensor)
        node = source.inputs[0] if len(source.inputs) == 1 else None
        if depth and node is not None and node.op in chain.ops and not node.domain:
            yield from self._link(chain, node, left, value, Found(found.values, found.nodes + skipped), depth - 1)

    # ------------------------------------------------------------------------------------------------ values

    def number(self, tensor: Tensor, beside: Tensor | None = None) -> float | None:
        """The one value of a constant; None if it has several, or if it would make the value `beside` it larger."""
        source, _ = self.source(tensor)
        if source not in self._numbers:
            self._numbers[source] = uniform(source)
        known = self._numbers[source]
        return known[0] if known is not None and adds_no_dims(known[1], beside) else None

    def source(self, tensor: Tensor) -> tuple[Tensor, tuple[Node, ...]]:
        """The value that `tensor` only hands on, and the nodes between."""
        skipped: tuple[Node, ...] = ()
        while len(tensor.inputs) == 1:
            node = tensor.inputs[0]
            passes = _SEEN_THROUGH.get(node.op) if not node.domain else None
            if passes is None or node.outputs[0] is not tensor or not passes(node, self.graph.opset):
                break
            skipped += (node,)
            tensor = node.inputs[0]
        return tensor, skipped

    def _is(self, value: float, wanted: float, tensor: Tensor) -> bool:
        """Whether the number `value`, found as `tensor`, is the one that a pattern wants."""
        if not self.exact:
            return _near(value, wanted, tensor)
        wanted = wanted if tensor.dtype is None else float(np.array(wanted, tensor.dtype))
        return value == wanted and math.copysign(1, value) == math.copysign(1, wanted)

    def _miss(self, found: Found, tensor: Tensor, reason: str) -> None:
        if self.misses is not None:
            maker = tensor.inputs[0].name if tensor.inputs else ""
            self.misses.append(Miss(len(set(found.nodes)), maker or tensor.name, reason))


def _same_type(node: Node, opset: int) -> bool:
    before = node.inputs[0].dtype
    return before is not None and helper.np_dtype_to_tensor_dtype(np.dtype(before)) == node.attrs.get("to")


def drops_nothing(node: Node, opset: int) -> bool:
    """Whether a Dropout is in inference mode, as `training_mode` (from opset 12) or `is_test` (up to 6) says."""
    if opset >= 12:
        mode = node.inputs[2] if len(node.inputs) > 2 else None
        if mode is None or mode.is_empty():
            return True
        value = schema.constant_of(mode)
        return value is not None and not value.any()
    return opset >= 7 or bool(node.attrs.get("is_test", 0))


_SEEN_THROUGH = {"Identity": lambda node, opset: True, "Cast": _same_type, "Dropout": drops_nothing}


def is_constant(tensor: Tensor) -> bool:
    """Whether the value of `tensor` is known, without reading it."""
    return isinstance(tensor, Constant) or bool(tensor.inputs and tensor.inputs[0].op == "Constant")


def uniform(tensor: Tensor) -> tuple[float, tuple[int, ...]] | None:
    """The one value that fills a constant, and its shape."""
    values = schema.constant_of(tensor) if is_constant(tensor) else None
    if values is None or not values.size or values.dtype == object:
        return None
    first = values.flat[0]
    if values.size > 1 and (values.flat[-1] != first or not (values == first).all()):
        return None
    if not first and values.dtype.kind not in "biu" and np.signbit(values).any() != np.signbit(values).all():
        return None  # zeros of both signs
    return int(first) if values.dtype.kind in "iu" else float(first), values.shape


def adds_no_dims(shape: tuple[int, ...], beside: Tensor | None) -> bool:
    """Whether a value of `shape` broadcasts to `beside` and not the other way round."""
    around = beside.shape if beside is not None else None
    if around is None:
        return len(shape) <= 1 and all(dim == 1 for dim in shape)
    return len(shape) <= len(around) and all(
        dim == 1 or dim == other for dim, other in zip(reversed(shape), reversed(around), strict=False)
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_TIGHT)
    return a == b or (isinstance(a, list | tuple) and isinstance(b, list | tuple) and list(a) == list(b))


def _near(value: float, wanted: float, tensor: Tensor) -> bool:
    tolerance = _TOLERANCE.get(str(tensor.dtype), _TIGHT)
    return math.isclose(value, wanted, rel_tol=tolerance, abs_tol=1e-30)


def _unlike(wanted: float, value: float | None, tensor: Tensor) -> str:
    """Why a number does not match."""
    nearly = value is not None and _near(value, wanted, tensor)
    found = f"{value!r}, and an exact pass takes no other" if nearly else _shown(tensor, value)
    return f"wanted the constant {wanted:g}, found {found}"


def _shown(tensor: Any, value: float | None) -> str:
    if value is not None:
        return f"{value:g}"
    if not isinstance(tensor, Tensor):
        return str(tensor)
    if tensor.inputs:
        return f"{tensor.inputs[0].op} '{tensor.inputs[0].name or tensor.name}'"
    return f"{'the constant' if isinstance(tensor, Constant) else 'the input'} '{tensor.name}'"
