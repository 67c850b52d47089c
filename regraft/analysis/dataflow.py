"""What every analysis of values has in common: a table of transfer functions by operator, and what an edit reaches.

An analysis is asked for with `model.facts(ValueRanges)[value]`. It finds a fact when it is asked for one, keeps it, and
forgets it when an edit reaches the value. What the table does not know says nothing: it is no reason to believe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import numpy as np

from regraft.analysis.passages import Passage, Passages
from regraft.analysis.solver import Round, Solver, Step
from regraft.ir import schema
from regraft.ir.changes import Changes
from regraft.ir.graph import AttributeRef, Node, Tensor, subgraphs
from regraft.ir.model import Model
from regraft.ir.weights import Array, dtype_from_onnx
from regraft.shapes import facts as types
from regraft.shapes.analysis import InferredTypes
from regraft.shapes.dims import Dim

Fact = TypeVar("Fact")


class Transfer(NamedTuple):
    """How the fact of what an operator makes follows.

    Attributes:
        of: takes the node and the facts of `operands`.
        operands: the inputs that matter, in their order; those that are left out are none.
        every: whether it holds of every output, not of the first alone.
    """

    of: Callable[..., Any]
    operands: Callable[[Node], Sequence[Tensor]]
    every: bool = False


def first(count: int | None) -> Callable[[Node], list[Tensor]]:
    """The first `count` inputs, None: all; of these the ones that are there."""
    return lambda node: [tensor for tensor in node.inputs[:count] if tensor.name]


def at(*places: int) -> Callable[[Node], list[Tensor]]:
    """The inputs at these places, if they are there."""
    return lambda node: [node.inputs[p] for p in places if p < len(node.inputs) and node.inputs[p].name]


def refers(node: Node) -> bool:
    """Whether an attribute of `node` is that of the call of the function around it."""
    return bool(node.attrs) and any(type(value) is AttributeRef for value in node.attrs.values())


def rows(of: Callable[..., Any], operands: Callable[[Node], Sequence[Tensor]], *names: str) -> dict[str, Transfer]:
    """Rows of a table: operators with one transfer function."""
    return dict.fromkeys(names, Transfer(of, operands))


class Consulted(Generic[Fact]):
    """Facts of another analysis, and those among them that were read."""

    def __init__(self, facts: Any):
        self.facts = facts
        self._read: dict[Tensor, Fact] = {}

    def __getitem__(self, tensor: Tensor) -> Fact:
        fact: Fact = self.facts[tensor]
        self._read[tensor] = fact
        return fact

    def other(self) -> list[Tensor]:
        """The values whose facts are not those that were read; they count as read no longer."""
        known = self.facts
        found = [tensor for tensor, fact in self._read.items() if known.get(tensor) is not fact]
        for tensor in found:
            del self._read[tensor]
        return found


class TypedNode:
    """A node, with what is known of the types of the values at it."""

    __slots__ = ("_types", "node", "opset")

    def __init__(self, node: Node, opset: int, types: Consulted[types.Fact]):
        self.node, self.opset, self._types = node, opset, types

    @property
    def attrs(self) -> Mapping[str, Any]:
        return self.node.attrs

    def dtype(self, tensor: Tensor) -> np.dtype[Any] | None:
        """The dtype of a value; None where it is not known."""
        code = self._types[tensor].code
        return dtype_from_onnx(code) if code else None

    def dims(self, tensor: Tensor) -> tuple[Dim, ...] | None:
        """The shape of a value; None where its rank is not known."""
        return self._types[tensor].dims

    def shape(self, position: int) -> tuple[Dim, ...]:
        """The shape of an input; () where it is not known."""
        return self.dims(self.node.inputs[position]) or ()

    @property
    def result(self) -> tuple[Dim, ...]:
        """The shape of the first output; () where it is not known."""
        return self.dims(self.node.outputs[0]) or ()

    def value(self, tensor: Tensor) -> Array | None:
        """The elements of a value, numbers and expressions, where they are few and known."""
        return self._types[tensor].value

    @property
    def out(self) -> np.dtype[Any] | None:
        """The dtype of the first output."""
        return self.dtype(self.node.outputs[0])


class Dataflow(Solver[Fact]):
    """An analysis of a model: what is known of each value.

    A subclass has a `table`, and says what is known of constants, of what the caller gives, and of a value that is one
    of several. Nodes in functions whose attributes are those of the call say nothing.
    """

    table: ClassVar[Mapping[str, Transfer]] = {}
    relates: ClassVar[bool] = False
    """Whether a fact speaks of other values too: what holds so in each call of a function holds not outside of it."""

    def __init__(self, model: Model):
        super().__init__()
        self.opset = model.opset
        self.types: Consulted[types.Fact] = Consulted(model.facts(InferredTypes))
        self.passages = Passages(model)

    # ------------------------------------------------------------------------------------- what a subclass says

    def at_once(self, tensor: Tensor) -> Step | None:
        """How the fact follows of a value that need not be followed back by what makes it; None of others."""
        return None

    def given(self, tensor: Tensor) -> Fact:
        """The fact of what the caller of the model gives."""
        return self.unknown(tensor)

    def one_of(self, tensor: Tensor, facts: Sequence[Fact]) -> Fact:
        """The fact of a value that is one of several, or carried by a loop, by theirs: what all of them say."""
        return facts[0] if all(fact == facts[0] for fact in facts) else self.unknown(tensor)

    def stacked(self, tensor: Tensor, axis: int, fact: Fact) -> Fact:
        """The fact of what the rounds of a loop make, one behind the other along `axis`."""
        return self.unknown(tensor)

    def sliced(self, tensor: Tensor, axis: int, fact: Fact) -> Fact:
        """The fact of one place along `axis` of a value."""
        return self.unknown(tensor)

    def counted(self, tensor: Tensor, rounds: Fact) -> Fact:
        """The fact of the number of a round, from that of the number of rounds."""
        return self.unknown(tensor)

    def transfer(self, node: Node, tensor: Tensor) -> Transfer | None:
        """The transfer function for an output of `node`."""
        found = self.table.get(schema.kind(node))
        return found if found is not None and (found.every or tensor is node.outputs[0]) else None

    def carried(self, tensor: Tensor, tried: Fact, first: Fact, again: Fact) -> Fact:
        return self.one_of(tensor, [tried, first, again])

    # ---------------------------------------------------------------------------------------------- the solver

    def get(self, tensor: Tensor) -> Fact | None:
        """The fact of a value, where it was found already."""
        return self.known.get(tensor)

    def step(self, tensor: Tensor) -> Step | Round:
        found = self.at_once(tensor)
        if found is not None:
            return found
        if len(tensor.inputs) == 1:
            return self._of_output(tensor, tensor.inputs[0])
        if not tensor.inputs:
            if tensor in self.passages.given:
                return Step((), partial(self.given, tensor))
            if (passage := self.passages.into.get(tensor)) is not None:
                return self._of_passage(tensor, passage)
        return Step((), partial(self.unknown, tensor))

    def _of_output(self, tensor: Tensor, node: Node) -> Step | Round:
        calls = self.passages.function_of(node) is not None
        if refers(node) or (calls and self.relates):
            return Step((), partial(self.unknown, tensor))
        found = None if calls and node.domain != schema.STAND_IN else self.transfer(node, tensor)
        if found is not None:
            return Step(found.operands(node), partial(found.of, self.typed(node)))
        passage = self.passages.out_of(node, node.place_of(tensor))
        return Step((), partial(self.unknown, tensor)) if passage is None else self._of_passage(tensor, passage)

    def _of_passage(self, tensor: Tensor, passage: Passage) -> Step | Round:
        kind, values, axis = passage
        if kind == "carried":
            return Round(cast(tuple[Tensor, Tensor], values))
        if kind == "one":
            return Step(values, lambda *facts: self.one_of(tensor, facts))
        if kind == "counted":
            return Step(values, partial(self.counted, tensor))
        return Step(values, partial(self.stacked if kind == "stacked" else self.sliced, tensor, axis))

    def typed(self, node: Node) -> TypedNode:
        """`node` with the types at it."""
        return TypedNode(node, self.opset if node.graph is None else node.graph.opset, self.types)

    # ------------------------------------------------------------------------------------------------ in step

    def follow(self, model: Model, changes: Changes) -> None:
        """Forget what an edit reaches."""
        self.types.facts = model.facts(InferredTypes)
        if not changes:
            return
        self.opset, self.passages = model.opset, Passages(model)
        if changes.all or model.functions:
            self.forget(list(self.known))
            return
        edited = (tensor for node in changes.nodes for tensor in (*node.outputs, *_body_inputs(node)))
        self.forget(self._reached([*changes.values, *edited, *self.stale()]))

    def stale(self) -> list[Tensor]:
        """The values of which another analysis says something else than when it was consulted."""
        return self.types.other()

    def forget(self, tensors: Iterable[Tensor]) -> None:
        """Know no longer what is known of `tensors`."""
        for tensor in tensors:
            self.known.pop(tensor, None)

    def _reached(self, edited: Iterable[Tensor]) -> set[Tensor]:
        """The values that follow from `edited`, as far as facts of them follow."""
        first = set(edited)
        found, pending = set[Tensor](), list(first)
        while pending:
            tensor = pending.pop()
            if tensor in found:
                continue
            found.add(tensor)
            if tensor in self.known or tensor in first:
                for node in (*tensor.outputs, *self.passages.ends.get(tensor, ())):
                    pending += node.outputs
                    pending += _body_inputs(node)
        return found


def _body_inputs(node: Node) -> list[Tensor]:
    return [tensor for body in subgraphs(node) for tensor in body.inputs] if node.attrs else []
