"""A node on its way from one opset to another: what an adapter reads and writes.

Nothing here touches the graph. An adapter changes the site's node, a copy, and adds others beside it; the model is
changed when every node has found its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from onnx import helper

from regraft.errors import PassError
from regraft.ir.graph import AttributeRef, Constant, Tensor, Variable
from regraft.ir.weights import Array
from regraft.opset import history
from regraft.opset.types import Types
from regraft.refusal import INFER_SHAPES, PassRef, Refusal


class Inexpressible(PassError):
    """A node that has no form in the opset that is asked for."""


@dataclass(eq=False)
class Draft:
    """A node as it will be in opset `version`; `born` is the operator that it was at first."""

    op: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    attrs: dict[str, Any]
    version: int
    domain: str | None = None
    born: str = ""

    def __post_init__(self) -> None:
        self.born = self.born or self.op


@dataclass
class Place:
    """The graph that sites lie in: what is known there, its outputs, and the constants that were made for it."""

    types: Types
    notes: list[str]
    ends: set[Tensor]
    constants: dict[Any, Constant] = field(default_factory=dict)

    def constant(self, values: Any, hint: str) -> Constant:
        """A constant of the graph; the same one for the same value."""
        array = np.asarray(values)
        key = (hint, array.dtype, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = Constant(hint, array)
        return self.constants[key]


class Site:
    """One node at one change of its operator.

    Attributes:
        node: the node; changed in place.
        version: the opset that it, and every node added, has after the change.
        added: the nodes that an adapter put beside it.
        kept: whether the node itself stays.
    """

    def __init__(self, node: Draft, version: int, label: str, place: Place):
        self.node, self.label, self.place = node, label, place
        self.source, self.version = node.version, version
        self.added: list[Draft] = []
        self.kept = True
        node.version = version

    @property
    def types(self) -> Types:
        """What is known of values."""
        return self.place.types

    # ------------------------------------------------------------------------------------------------ questions

    def attr(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, else the default that it had in the source opset."""
        value = self.node.attrs.get(name)
        if isinstance(value, AttributeRef):
            self.refuse(f"{name} is an attribute of the function around it")
        if value is None:
            value = history.defaults(self.node.op, self.source).get(name, default)
        return value

    def input(self, index: int) -> Tensor | None:
        """An input; None where it is left out."""
        tensor = self.node.inputs[index] if index < len(self.node.inputs) else None
        return None if tensor is None or tensor.is_empty() else tensor

    def is_read(self, tensor: Tensor) -> bool:
        """Whether anything needs a value; what an adapter made, it made for a node that it added."""
        return not tensor.is_empty() and (bool(tensor.outputs) or tensor in self.place.ends or not tensor.inputs)

    def value(self, tensor: Tensor | None) -> Array | None:
        """The value of a constant."""
        return None if tensor is None else self.types.value(tensor)

    def dtype(self, tensor: Tensor) -> np.dtype[Any]:
        """The dtype of a value that must be known."""
        dtype = self.types.dtype(tensor)
        if dtype is None:
            self._refuse_unknown("dtype", tensor)
        return dtype

    def rank(self, tensor: Tensor) -> int:
        """The rank of a value that must be known."""
        rank = self.types.rank(tensor)
        if rank is None:
            self._refuse_unknown("rank", tensor)
        return rank

    @staticmethod
    def code(dtype: np.dtype[Any]) -> int:
        """ONNX's number of a dtype."""
        return int(helper.np_dtype_to_tensor_dtype(dtype))

    def _refuse_unknown(self, what: str, tensor: Tensor) -> NoReturn:
        unknown = f"the {what} of '{tensor.name}' is not known"
        self.refuse(f"{unknown}; annotate it or run {INFER_SHAPES} before", INFER_SHAPES)

    # ------------------------------------------------------------------------------------------------ changes

    def note(self, text: str) -> None:
        """Tell the user something."""
        self.place.notes.append(f"{self.label} {text}")

    def refuse(self, why: str, *needs: PassRef) -> NoReturn:
        """Say that the node cannot be written in the other opset, and which passes would help."""
        part = "" if f"({self.node.op})" in self.label else f"as {self.node.op}, "
        raise Inexpressible(Refusal(f"{self.label}: opset {self.version} cannot express it: {part}{why}", needs=needs))

    def drop_input(self, index: int) -> None:
        """Leave an input out."""
        if index < len(self.node.inputs):
            self.node.inputs[index] = Variable("")
        while self.node.inputs and self.node.inputs[-1].is_empty():
            self.node.inputs.pop()

    def put_input(self, index: int, tensor: Tensor) -> None:
        """Give an input."""
        while len(self.node.inputs) <= index:
            self.node.inputs.append(Variable(""))
        self.node.inputs[index] = tensor

    def constant(self, values: Any, hint: str, dtype: Any = None) -> Constant:
        """A constant of the graph."""
        return self.place.constant(np.asarray(values, dtype), hint)

    def ints(self, values: Sequence[int] | int, hint: str) -> Constant:
        """A constant of int64."""
        return self.constant(values, hint, np.int64)

    def value_like(self, tensor: Tensor, hint: str) -> Variable:
        """A new value of the dtype and shape of `tensor`."""
        return Variable(hint, self.types.dtype(tensor), self.types.shape(tensor))

    def add(
        self,
        op: str,
        inputs: Sequence[Tensor],
        attrs: dict[str, Any] | None = None,
        to: Tensor | None = None,
        like: Tensor | None = None,
        dtype: Any = None,
        shape: Sequence[int | str | None] | None = None,
    ) -> Tensor:
        """A new node of one output, `to` or a new value whose type is given by `like`, or by `dtype` and `shape`."""
        if to is None:
            to = self.value_like(like, op) if like is not None else Variable(op, None, shape)
            to.dtype = np.dtype(dtype) if dtype is not None else to.dtype
        self.added.append(Draft(op, list(inputs), [to], attrs or {}, self.version))
        return to

    def becomes(self, op: str, inputs: Sequence[Tensor], attrs: dict[str, Any] | None = None) -> None:
        """Make the node one of another operator, with its first output only."""
        self.node.op, self.node.inputs, self.node.attrs = op, list(inputs), attrs or {}
        del self.node.outputs[1:]
