"""The graph that passes edit: graphsurgeon's classes, with what it drops and with identity.

graphsurgeon compares nodes by content and tensors by name, so looking one up is slow and none can be in a set. Here
equality is identity, everything is hashable, and nodes, values and functions keep the fields that graphsurgeon's import
loses. Nodes and tensors that a user makes with `gs.Node` and `gs.Variable` are taken over by `adopt`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from regraft.ir.weights import Absent, Array, Sparse, Value, code_of

Dim = int | str | None


class Node(gs.Node):
    """An operation. `metadata` is its `metadata_props`; `extra` holds the message's fields that have no place here."""

    doc_string: str = ""
    overload: str = ""
    extra: onnx.NodeProto | None = None

    def __init__(
        self,
        op: str,
        name: str = "",
        attrs: dict[str, Any] | None = None,
        inputs: Iterable[Variable | Constant] = (),
        outputs: Iterable[Variable | Constant] = (),
        domain: str | None = None,
    ):
        super().__init__(op, name, dict(attrs or {}), list(inputs), list(outputs), domain)
        self.metadata: dict[str, str] = {}

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Variable(gs.Variable):
    """A value known when the model runs.

    `info` is the message it was read from: its type where it is no tensor, its doc string and metadata. `default` is
    the value of a graph input that the caller may leave out (an initializer that is an input too). `promised` is the
    shape that the model declares of an output: it is written where nothing more is known, and not believed.
    """

    info: onnx.ValueInfoProto | None = None
    default: Constant | None = None
    promised: list[Dim] | None = None
    type: str | None = "tensor_type"  # for a constant that graphsurgeon turned into a variable

    def copy(self) -> Variable:
        """One of the same name and type, which nothing makes and nothing reads."""
        alone = Variable(self.name, self.dtype, None if self.shape is None else list(self.shape), self.type)
        alone.info, alone.default, alone.promised = self.info, self.default, self.promised
        return alone

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Constant(gs.Constant):
    """A value known now. `values` is read-only, and read from its file each time; assign to change it."""

    order: int | None = None  # place among the initializers of the file

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def values(self) -> Array:
        held: Array | Value | Sparse = self._values
        return held if isinstance(held, np.ndarray) else held.load()

    @values.setter
    def values(self, values: Array | Value) -> None:
        self._values = values

    @property
    def lazy(self) -> Array | Value | Sparse:
        """What it holds, without reading it."""
        held: Array | Value | Sparse = self._values
        return held

    @property
    def is_known(self) -> bool:
        """Whether its value can be read: its file is there."""
        return not isinstance(self._values, Absent)

    @property
    def nbytes(self) -> int:
        """Bytes in a file."""
        return int(self._values.nbytes)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


class TypedList(list[Any]):
    """An attribute that is an empty list, and would forget of what: its ONNX attribute `type`."""

    def __init__(self, type: onnx.AttributeProto.AttributeType):
        super().__init__()
        self.type = type


class Graph(gs.Graph):
    """A graph, or the body of an If, a Loop or a Scan.

    `unused` are the initializers that nothing reads; `extra` the fields of the message that have no place here.
    """

    extra: onnx.GraphProto | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.unused: list[Constant] = []

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Function(gs.Function):
    """A local function of the model."""

    extra: onnx.FunctionProto | None = None
    overload: str = ""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.unused: list[Constant] = []

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def unique_id(self) -> tuple[str, ...]:
        return (self.domain, self.name, self.overload) if self.overload else (self.domain, self.name)


AnyGraph = Graph | Function
Tensor = Variable | Constant


def subgraphs(node: Node) -> Sequence[Graph]:
    """The graphs that are attributes of `node`, not those inside them."""
    found: list[Graph] = []
    for value in node.attrs.values():
        if isinstance(value, gs.Graph):
            found.append(value)
        elif isinstance(value, list) and value and isinstance(value[0], gs.Graph):
            found += value
    return found


def walk(graph: AnyGraph) -> Iterator[AnyGraph]:
    """`graph` and every graph inside it, outer before inner."""
    stack = [graph]
    while stack:
        current = stack.pop()
        yield current
        stack += [inner for node in current.nodes if node.attrs for inner in subgraphs(node)][::-1]


def adopt(graph: AnyGraph) -> None:
    """Make the plain graphsurgeon nodes, tensors and bodies in `graph` ours; what is inside the bodies stays.

    An attribute that is a dtype, as graphsurgeon takes one, becomes ONNX's number of it.
    """
    for node in graph.nodes:
        if type(node) is gs.Node:
            node.__class__ = Node
            node.metadata = vars(node).get("metadata", {})
        for tensor in itertools.chain(node.inputs, node.outputs):
            if type(tensor) in _PLAIN:
                tensor.__class__ = _PLAIN[type(tensor)]
        if node.attrs:
            _adopt_attributes(node)
    for tensor in (*graph.inputs, *graph.outputs):
        if type(tensor) in _PLAIN:
            tensor.__class__ = _PLAIN[type(tensor)]


def _adopt_attributes(node: Node) -> None:
    for name, value in node.attrs.items():
        if isinstance(value, type | np.dtype):
            node.attrs[name] = code_of(value)
    for inner in subgraphs(node):
        if type(inner) is gs.Graph:
            inner.__class__ = Graph
            inner.unused = []


_PLAIN: dict[type, type] = {gs.Variable: Variable, gs.Constant: Constant}
