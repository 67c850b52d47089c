"""The values of a graph: what is known when the model runs, and what is known now.

A value knows the nodes at both of its ends, and a node the values at its own: what changes at one end changes at the
other. Equality is identity, and everything can be in a set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import onnx

from regraft.ir.weights import Absent, Array, Value

if TYPE_CHECKING:
    from regraft.ir.node import Node

Dim = int | str | None

_HELD = (np.ndarray, Value)
_new, _append = list.__new__, list.append


class Links(list[Any]):
    """The values at a node, or the nodes at a value; a change of it changes the other end of each link.

    `list.append(links, item)` and the like change this end alone.
    """

    __slots__ = ("owner",)

    owner: Any

    far: Callable[[Any], list[Any]]
    """Gives the list at the other end of a link to an item."""

    def _link(self, items: Iterable[Any]) -> None:
        for item in items:
            list.append(self.far(item), self.owner)
        self.owner.relinked(self, items)

    def _unlink(self, items: Iterable[Any]) -> None:
        for item in items:
            list.remove(self.far(item), self.owner)
        self.owner.relinked(self, items)

    def append(self, item: Any) -> None:
        super().append(item)
        self._link((item,))

    def extend(self, items: Iterable[Any]) -> None:
        added = list(items)
        super().extend(added)
        self._link(added)

    def insert(self, place: SupportsIndex, item: Any) -> None:
        super().insert(place, item)
        self._link([item])

    def remove(self, item: Any) -> None:
        super().remove(item)
        self._unlink([item])

    def pop(self, place: SupportsIndex = -1) -> Any:
        item = super().pop(place)
        self._unlink([item])
        return item

    def clear(self) -> None:
        self._unlink(self)
        super().clear()

    def __setitem__(self, place: Any, item: Any) -> None:
        old = self[place]
        if isinstance(place, slice):
            item = list(item)
        super().__setitem__(place, item)
        self._unlink(old if isinstance(place, slice) else [old])
        self._link(item if isinstance(place, slice) else [item])

    def __delitem__(self, place: Any) -> None:
        old = self[place]
        super().__delitem__(place)
        self._unlink(old if isinstance(place, slice) else [old])

    def __iadd__(self, items: Iterable[Any]) -> Links:  # type: ignore[misc]
        self.extend(items)
        return self

    def redirect(self, place: int, item: Any) -> None:
        """Put `item` at `place`. What stood there names the owner until it is settled.

        To take a name out of a list takes as long as the list is; `settle` takes out all of them at once.
        """
        old = self[place]
        super().__setitem__(place, item)
        list.append(self.far(item), self.owner)
        self.owner.relinked(self, (old,))

    def reset(self, items: Iterable[Any]) -> None:
        """`redirect` all of it: let `items` be what is linked to."""
        old, new = list(self), list(items)
        super().__setitem__(slice(None), new)
        for item in new:
            list.append(self.far(item), self.owner)
        self.owner.relinked(self, old)

    def settle(self) -> None:
        """Leave in the list what links to the owner, as often as it does."""
        near = self.far
        owner = self.owner
        linked = (one for one in dict.fromkeys(self) for back in near(one) if back is owner)
        super().__setitem__(slice(None), list(linked))


class Inputs(Links):
    """What a node reads, or the makers of a value."""

    __slots__ = ()

    far = staticmethod(attrgetter("outputs"))


class Outputs(Links):
    """What a node makes, or the readers of a value."""

    __slots__ = ()

    far = staticmethod(attrgetter("inputs"))


class Linked:
    """A node or a value, with links at both ends."""

    __slots__ = ("inputs", "outputs")

    inputs: Links
    """Of a node the values that it reads, of a value the nodes that make it."""
    outputs: Links
    """Of a node the values that it makes, of a value the nodes that read it."""

    def __setattr__(self, field: str, value: Any) -> None:
        """Set a field; what is assigned to links becomes what they hold."""
        if field == "inputs" or field == "outputs":
            links = getattr(self, field)
            if value is not links:
                links[:] = value
        else:
            object.__setattr__(self, field, value)

    def _connect(self) -> None:
        read, made = _new(Inputs), _new(Outputs)
        read.owner = made.owner = self
        _put_inputs(self, read)
        _put_outputs(self, made)

    def relinked(self, links: list[Any], items: Iterable[Any]) -> None:
        """Tell whoever follows the graph that `items` came into `links`, one of the two lists here, or went."""
        raise NotImplementedError


_put_inputs, _put_outputs = (getattr(Linked, field).__set__ for field in Linked.__slots__)


class _Tensor(Linked):
    """A value. Both kinds have the same fields, so that one can become the other."""

    __slots__ = ("_values", "default", "dtype", "info", "name", "order", "promised", "shape", "type")

    name: str
    dtype: Any
    shape: Any

    def __setattr__(self, field: str, value: Any) -> None:
        """Set a field, and tell of another name."""
        if field == "name":
            for node in (*self.inputs, *self.outputs):
                graph = getattr(node, "graph", None)
                if graph is not None and graph.edits is not None:
                    graph.edits.renamed.setdefault(self, self.name)
                    break
        Linked.__setattr__(self, field, value)

    @property
    def producer(self) -> Node | None:
        """The node that makes it; None where none does."""
        return self.inputs[0] if self.inputs else None

    @property
    def users(self) -> Links:
        """The nodes that read it, in any graph; one that reads it twice comes twice."""
        return self.outputs

    def relinked(self, links: list[Any], items: Iterable[Any]) -> None:
        lost = (self,) if links is self.inputs else ()
        for node in items:
            graph = getattr(node, "graph", None)  # graphsurgeon's nodes have none
            if graph is not None and graph.edits is not None:
                graph.edits.edited(node, lost)

    def is_empty(self) -> bool:
        """Whether it stands for an optional input or output that is left out."""
        return not self.name

    def to_constant(self, values: Array | Value) -> Constant:
        """The same value, known now: to those who make it and read it, it stays the one it was."""
        same: Any = self
        same.__class__ = Constant
        same.order, same.values = None, values
        constant: Constant = same
        return constant

    def to_variable(self, dtype: Any = None, shape: Sequence[Dim] | None = None) -> Variable:
        """The same value, known when the model runs."""
        same: Any = self
        same.__class__ = Variable
        same.dtype, same.shape, same.type = self.dtype if dtype is None else dtype, shape, "tensor_type"
        same.info = same.default = same.promised = None
        variable: Variable = same
        return variable

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}', {self.dtype}{self.shape}>"


_put_values, _put_default, put_dtype, _put_info, _put_name, _put_order, _put_promised, put_shape, _put_type = (
    getattr(_Tensor, field).__set__
    for field in _Tensor.__slots__  # past `__setattr__`: it takes ten times as long
)


class Variable(_Tensor):
    """A value known when the model runs.

    Attributes:
        dtype: numpy's, or ml_dtypes'; None: unknown.
        shape: sizes, names of sizes, None for each that is unknown; None: not even their number is known.
        info: the message it was read from: its type where it is no tensor, its doc string and metadata.
        default: the value of a graph input that the caller may leave out (an initializer that is an input too).
        promised: the shape that the model declares of an output: it is written where nothing more is known, and not
            believed.
        inputs: the node that makes it.
        outputs: the nodes that read it.
    """

    __slots__ = ()

    type: str | None
    info: onnx.ValueInfoProto | None
    default: Constant | None
    promised: list[Dim] | None

    def __init__(
        self, name: str, dtype: Any = None, shape: Sequence[Dim] | None = None, type: str | None = "tensor_type"
    ):
        self._connect()
        _put_name(self, name)
        put_dtype(self, dtype)
        put_shape(self, shape)
        _put_type(self, type)
        _put_info(self, None)
        _put_default(self, None)
        _put_promised(self, None)

    @staticmethod
    def empty() -> Variable:
        """What stands for an optional input or output that is left out."""
        return Variable("")

    def copy(self) -> Variable:
        """One of the same name and type, which nothing makes and nothing reads."""
        alone = Variable(self.name, self.dtype, None if self.shape is None else list(self.shape), self.type)
        alone.info, alone.default, alone.promised = self.info, self.default, self.promised
        return alone


class Constant(_Tensor):
    """A value known now. `values` is read-only, and read from its file each time; assign to change it.

    Attributes:
        dtype, shape: of `values`.
        order: place among the initializers of the file.
    """

    __slots__ = ()

    order: int | None
    _values: Array | Value

    def __init__(self, name: str, values: Array | Value):
        self._connect()
        _put_name(self, name)
        _put_order(self, None)
        self._hold(values)

    @property
    def values(self) -> Array:
        held = self._values
        return held if isinstance(held, np.ndarray) else held.load()

    @values.setter
    def values(self, values: Array | Value) -> None:
        self._hold(values)
        for node in self.outputs:
            graph = getattr(node, "graph", None)
            if graph is not None and graph.edits is not None:
                graph.edits.values.add(self)
                break

    def _hold(self, values: Array | Value) -> None:
        if not isinstance(values, _HELD):
            raise TypeError(f"constant '{self.name}' takes an array, not {type(values).__name__}")
        _put_values(self, values)
        put_dtype(self, values.dtype)
        put_shape(self, values.shape)

    @property
    def lazy(self) -> Array | Value:
        """What it holds, without reading it."""
        return self._values

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
        return math.prod(map(int, self.shape))


Tensor = Variable | Constant
