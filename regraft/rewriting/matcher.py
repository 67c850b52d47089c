"""Finding a term in a graph.

Sums and products match whatever their order and their brackets, and division by a number as multiplication:
`0.5 * x * y`, `x * (y / 2)` and `(y * x) * 0.5` are one pattern. Identity, a Cast that changes nothing and a Dropout
that drops nothing are seen through. A number matches a constant of any float type, whether initializer or Constant
node, scalar or filled tensor. The work at a node is bounded by the pattern, so that a search is linear in the graph.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ir.schema import is_constant
from regraft.ops.traits import SYMMETRIC
from regraft.refusal import Refusal
from regraft.rewriting.pattern import Chain, Pattern, kind_of, shown
from regraft.rewriting.term import Apply, Either, Given, Number, Term, Var
from regraft.wording import count

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
    """Looks for patterns in `graph`. With `misses`, what stops a match is kept there.

    With `exact` a number matches itself alone, -0.0 no zero; else within a tolerance.
    """

    graph: AnyGraph
    misses: list[Miss] | None = None
    exact: bool = False
    _numbers: dict[Tensor, tuple[float, tuple[int, ...]] | None] = field(default_factory=dict)

    def match(self, pattern: Pattern, root: Node) -> Iterator[Found]:
        """The ways in which `pattern` matches with the first output of `root` as its result."""
        return _Search(self, pattern).run(root.outputs[0]) if root.outputs else iter(())

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
        while len(makers := tensor.inputs) == 1:
            node = makers[0]
            if node.op not in SEEN_THROUGH or node.outputs[0] is not tensor or not self.sees_through(node):
                break
            skipped += (node,)
            tensor = node.inputs[0]
        return tensor, skipped

    def sees_through(self, node: Node) -> bool:
        """Whether the first output of `node` is its first input, unchanged."""
        passes = SEEN_THROUGH.get(node.op) if not node.domain else None
        return passes is not None and passes(node, self.graph.opset)

    def is_number(self, value: float, wanted: float, tensor: Tensor) -> bool:
        """Whether the number `value`, found as `tensor`, is the one that a pattern wants."""
        if not self.exact:
            return _near(value, wanted, tensor)
        wanted = wanted if tensor.dtype is None else float(np.array(wanted, tensor.dtype))
        return value == wanted and math.copysign(1, value) == math.copysign(1, wanted)


Goals = tuple[Any, Any, Any] | None
"""What is still to be found: a term, or what is left of a chain; the value where it must be; and the goals after it."""

State = tuple[Goals, dict[str, Any], tuple[Node, ...]]
"""The goals that are left, what the variables are bound to, and the nodes found."""

_Ahead = tuple[Tensor, Node, int, Any] | None
"""What a chain's links read and is not looked at yet: a value, its reader, how many links may follow, and the rest."""

_Partial = tuple[Chain, tuple[Term, ...], float, _Ahead, Tensor]
"""A chain partly found: its operands that are left, what the numbers come to, what is ahead, and the chain's result.

A plain tuple, as these are made by the thousand. The place that goes with it says how to go on: None, with an operand;
_OTHERWISE, with a number or a link; a node and a number of links, into that link.
"""

_OTHERWISE = "otherwise"


class _Search:
    """A search for one pattern, depth first. What was left untried waits in `choices`, the next one last."""

    def __init__(self, matcher: Matcher, pattern: Pattern):
        self.matcher, self.pattern = matcher, pattern
        self.opset, self.misses = matcher.graph.opset, matcher.misses
        self.choices: list[State] = []

    def run(self, tensor: Tensor) -> Iterator[Found]:
        self.choices.append(((self.pattern.term, tensor, None), {}, ()))
        while self.choices:
            state: State | None = self.choices.pop()
            while state is not None:
                goals, values, nodes = state
                if goals is None:
                    yield Found(values, nodes)
                    break
                term, place, rest = goals
                state = _STEPS[type(term)](self, term, place, (rest, values, nodes))

    # ------------------------------------------------------------------------------------------------ a term

    # Each step meets one goal, and gives the state after it; None where there is none, or several to choose from.

    def left_out(self, term: None, tensor: Tensor, then: State) -> State | None:
        return then if tensor.is_empty() else None

    def given(self, term: Given, tensor: Tensor, then: State) -> None:
        """A pattern's own array is no value of the graph."""

    def either(self, term: Either, tensor: Tensor, then: State) -> None:
        rest, values, nodes = then
        for option in reversed(term.options):
            self.choices.append(((option, tensor, rest), values, nodes))

    def number(self, term: Number, tensor: Tensor, then: State) -> State | None:
        value = self.matcher.number(tensor)
        if value is not None and self.matcher.is_number(value, term.value, tensor):
            return then
        if self.misses is not None:
            self._miss(then, tensor, _unlike(term.value, value, tensor))
        return None

    def variable(self, var: Var, tensor: Tensor, then: State) -> State | None:
        rest, values, nodes = then
        source, _ = self.matcher.source(tensor)
        value: Any = source
        if var.kind == "number":
            value = self.matcher.number(tensor)
        elif var.kind == "constant" and not is_constant(source):
            value = None
        if value is not None and var.name not in values:
            return rest, {**values, var.name: value}, nodes
        if value is None:
            self._miss(then, tensor, f"'{var.name}' must be a constant {'number' * (var.kind == 'number')}".rstrip())
        elif is_same(values[var.name], value) and (values[var.name] == value or not self.matcher.exact):
            return then
        elif self.misses is not None:
            self._miss(then, tensor, f"'{var.name}' was {_shown(values[var.name], None)} elsewhere")
        return None

    def operator(self, term: Apply, tensor: Tensor, then: State) -> State | None:
        rest, values, nodes = then
        if term.op not in SEEN_THROUGH:
            tensor, skipped = self.matcher.source(tensor)
            nodes += skipped
        node = _maker(tensor)
        if node is None or schema.kind(node) != kind_of(term) or node.outputs[0] is not tensor:
            self._miss_operator(term, tensor, (rest, values, nodes))
            return None
        nodes += (node,)
        for name, wanted in term.attrs.items():
            value = schema.attribute(node, name, self.opset)
            if isinstance(wanted, Var) and wanted.name not in values:
                values = {**values, wanted.name: value}
            elif not is_same(values[wanted.name] if isinstance(wanted, Var) else wanted, value):
                self._miss((rest, values, nodes), tensor, f"{name} is {value}")
                return None
        inputs = _operands(term, node, self.opset)
        if len(inputs) != len(term.operands):
            reason = f"{node.op} has {count(len(inputs), 'input')}, wanted {len(term.operands)}"
            self._miss((rest, values, nodes), tensor, reason)
            return None
        if node.op in SYMMETRIC and len(inputs) == 2:
            self.choices.append((_all(term.operands, inputs[::-1], rest), values, nodes))
        return _all(term.operands, inputs, rest), values, nodes

    # ------------------------------------------------------------------------------------------------ sums, products

    def chain(self, chain: Chain, tensor: Tensor, then: State) -> State | None:
        rest, values, nodes = then
        tensor, skipped = self.matcher.source(tensor)
        then = rest, values, nodes + skipped
        node = _maker(tensor)
        if node is None or node.op not in chain.ops or node.domain:
            self._miss_operator(chain, tensor, then)
            return None
        start = chain, chain.operands, 0 if chain.op == "Add" else 1, None, tensor
        return self._link(start, node, len(chain.operands) + 1, then)

    def rest_of_chain(self, partial: _Partial, way: Any, then: State) -> State | None:
        if way is None:
            return self._end(partial, then) if partial[3] is None else self._operand(partial, then)
        if way is _OTHERWISE:
            return self._otherwise(partial, then)
        node, depth = way
        return self._link(partial, node, depth, then)

    def _operand(self, partial: _Partial, then: State) -> State | None:
        """Take the next value for one of the operands that are left, each in turn."""
        chain, left, number, ahead, result = partial
        if not left:
            return self._otherwise(partial, then)
        assert ahead is not None
        tensor, _, _, ahead = ahead
        rest, values, nodes = then
        self.choices.append(((partial, _OTHERWISE, rest), values, nodes))
        states: list[State] = []
        names: set[str] = set()
        for place, term in enumerate(left):
            if isinstance(term, Var):
                if term.name in names:
                    continue
                names.add(term.name)
            after = chain, left[:place] + left[place + 1 :], number, ahead, result
            states.append(((term, tensor, (after, None, rest)), values, nodes))
        self.choices += states[:0:-1]
        return states[0]

    def _otherwise(self, partial: _Partial, then: State) -> State | None:
        """Take the next value for a number, or else for the result of a link."""
        chain, left, number, ahead, result = partial
        assert ahead is not None
        tensor, reader, depth, ahead = ahead
        rest, values, nodes = then
        source, skipped = self.matcher.source(tensor)
        node = _maker(source)
        if depth and node is not None and node.op in chain.ops and not node.domain:
            after = chain, left, number, ahead, result
            self.choices.append(((after, (node, depth - 1), rest), values, nodes + skipped))
        other = reader.inputs[1] if tensor is reader.inputs[0] and len(reader.inputs) > 1 else reader.inputs[0]
        value = self.matcher.number(tensor, beside=other)
        if value is None:
            return None
        number = number + value if chain.op == "Add" else number * value
        return ((chain, left, number, ahead, result), None, rest), values, nodes

    def _link(self, partial: _Partial, node: Node, depth: int, then: State) -> State | None:
        """Look at what `node` reads next; a number that it subtracts or divides by is taken at once."""
        chain, left, number, ahead, result = partial
        rest, values, nodes = then
        nodes += (node,)
        first = node.inputs[0]
        if node.op == "Neg":
            number = -number
        elif node.op in ("Sub", "Div"):
            second = self.matcher.number(node.inputs[1], beside=first)
            if second is None or (node.op == "Div" and not second):
                self._miss((rest, values, nodes), node.outputs[0], f"{node.op} is not by a constant number")
                return None
            number = number - second if node.op == "Sub" else number / second
        else:
            ahead = node.inputs[1], node, depth, ahead
        return ((chain, left, number, (first, node, depth, ahead), result), None, rest), values, nodes

    def _end(self, partial: _Partial, then: State) -> State | None:
        chain, left, number, _, result = partial
        if not left and self.matcher.is_number(number, chain.number, result):
            return then
        if self.misses is not None:
            lacks = f"no factor or summand is {shown(left[0])}" if left else _unlike(chain.number, number, result)
            self._miss(then, result, lacks)
        return None

    # ------------------------------------------------------------------------------------------------ what stops it

    def _miss_operator(self, term: Apply | Chain, tensor: Tensor, state: State) -> None:
        if self.misses is not None:
            node = _maker(tensor)
            found = _shown(tensor, None) if node is None else node.op if isinstance(term, Chain) else schema.kind(node)
            self._miss(state, tensor, f"wanted {shown(term)}, found {found}")

    def _miss(self, state: State, tensor: Tensor, reason: str) -> None:
        if self.misses is not None:
            maker = tensor.inputs[0].name if tensor.inputs else ""
            self.misses.append(Miss(len(set(state[2])), maker or tensor.name, reason))


_STEPS: dict[type, Callable[[_Search, Any, Any, State], State | None]] = {
    type(None): _Search.left_out,
    Given: _Search.given,
    Either: _Search.either,
    Number: _Search.number,
    Var: _Search.variable,
    Apply: _Search.operator,
    Chain: _Search.chain,
    tuple: _Search.rest_of_chain,
}


def _maker(tensor: Tensor) -> Node | None:
    makers = tensor.inputs
    return makers[0] if len(makers) == 1 else None


def _all(terms: tuple[Term | None, ...], tensors: list[Tensor], goals: Goals) -> Goals:
    """Each term at its value, the first first, and then `goals`."""
    for place in range(len(terms) - 1, -1, -1):
        goals = terms[place], tensors[place], goals
    return goals


def _operands(term: Apply, node: Node, opset: int) -> list[Tensor]:
    """The inputs that are not attributes of the term, without those left out at the end."""
    inputs = list(node.inputs)
    if term.attrs:
        skip = _attribute_places(node.op, opset, node.domain, tuple(term.attrs))
        if skip:
            inputs = [t for i, t in enumerate(inputs) if i not in skip]
    while len(inputs) > len(term.operands) and inputs[-1].is_empty():
        inputs.pop()
    return inputs


@functools.cache
def _attribute_places(op: str, opset: int, domain: str | None, names: tuple[str, ...]) -> frozenset[int]:
    """The inputs that are attributes called `names` in other opsets."""
    inputs = [name for name in names if schema.is_input(op, name, opset, domain)]
    return frozenset(schema.input_place(op, name, opset, domain) for name in inputs)


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


SEEN_THROUGH: dict[str, Callable[[Node, int], bool]] = {
    "Identity": lambda node, opset: True,
    "Cast": _same_type,
    "Dropout": drops_nothing,
}


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
    if not shape:
        return True
    around = beside.shape if beside is not None else None
    if around is None:
        return len(shape) <= 1 and all(dim == 1 for dim in shape)
    return len(shape) <= len(around) and all(
        dim == 1 or dim == other for dim, other in zip(reversed(shape), reversed(around), strict=False)
    )


def is_same(a: Any, b: Any) -> bool:
    """Whether what a variable is bound to in two places is one thing: a value, a number, or an attribute."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_TIGHT)
    return a == b or (isinstance(a, list | tuple) and isinstance(b, list | tuple) and list(a) == list(b))


def _near(value: float, wanted: float, tensor: Tensor) -> bool:
    return math.isclose(value, wanted, rel_tol=_tolerance(tensor.dtype), abs_tol=1e-30)


@functools.cache
def _tolerance(dtype: Any) -> float:
    return _TOLERANCE.get(str(dtype), _TIGHT)


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
