"""A graph that grows node by node, with what is known of each value so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dim = int | str
Shape = tuple[Dim, ...]

FLOATS = ("float32", "float16", "float64")
INTEGERS = ("int64", "int32")
SMALL = ("int8", "uint8")
ANY = (*FLOATS, *INTEGERS, *SMALL, "bool")


class Unfit(Exception):
    """No value of the graph suits the operator; another one is tried."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph; dimensions that are text are known when it runs."""

    name: str
    dtype: str
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def static(self) -> bool:
        return all(isinstance(dim, int) for dim in self.shape)


class Graph:
    """A graph under construction, or the body of one that sees what is outside.

    Attributes:
        random: what the node in the making draws from; each node has its own.
    """

    def __init__(self, opset: int, outer: Graph | None = None):
        self.opset, self.outer = opset, outer
        self.random = outer.random if outer else np.random.default_rng(0)
        self.values: list[Value] = list(outer.values) if outer else []
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = outer.weights if outer else {}
        self.read: set[str] = outer.read if outer else set()
        self._names: list[int] = outer._names if outer else [0]

    # what there is

    def pick(self, *dtypes: str, fits: Callable[[Value], bool] = lambda value: True) -> Value:
        """A value of one of these dtypes that `fits`; later ones are likelier. Raises Unfit if there is none."""
        found = [value for value in self.values if value.dtype in dtypes and fits(value)]
        if not found:
            raise Unfit
        return found[min(int(self.random.triangular(0, len(found), len(found) + 1)), len(found) - 1)]

    def mate(self, value: Value, *, same: bool = False) -> Value:
        """Another operand for `value`: of the same shape, or broadcast to it; a constant if nothing else is there."""
        shapes = {value.shape} if same else {value.shape[k:] for k in range(value.rank + 1)}
        found = [v for v in self.values if v.dtype == value.dtype and v.shape in shapes and v is not value]
        if found and self.coin(0.6):
            return found[int(self.random.integers(len(found)))]
        if same and not value.static:
            return value
        return self.weight(self.tail(value), value.dtype)

    def tail(self, value: Value) -> tuple[int, ...]:
        """The dimensions at the end of `value` that are numbers, or none."""
        tail: tuple[int, ...] = ()
        for dim in reversed(value.shape):
            if not isinstance(dim, int) or self.coin(0.2):
                break
            tail = (dim, *tail)
        return tail

    def coin(self, odds: float = 0.5) -> bool:
        return bool(self.random.random() < odds)

    def among(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def axis(self, value: Value) -> int:
        """One of the axes of `value`, counted from either end."""
        if not value.rank:
            raise Unfit
        return int(self.random.integers(-value.rank, value.rank))

    # what is made

    def name(self, stem: str) -> str:
        self._names[0] += 1
        return f"{stem}_{self._names[0]}"

    def weight(self, shape: Sequence[int], dtype: str, *, shared: float = 0.3) -> Value:
        """An initializer of random numbers; now and then one that is there already, or a copy of it."""
        twins = [n for n, w in self.weights.items() if w.shape == tuple(shape) and w.dtype == dtype]
        if twins and self.coin(shared):
            return self.constant(self.weights[self.among(twins)], reuse=self.coin())
        if dtype == "bool":
            return self.constant(self.random.random(shape) < 0.5)
        if np.dtype(dtype).kind in "iu":
            return self.constant(self.random.integers(1, 6, shape).astype(dtype))
        return self.constant(np.round(self.random.standard_normal(shape) * 0.7, 3).astype(dtype))

    def constant(self, value: Any, dtype: Any = None, *, reuse: bool = True) -> Value:
        """A constant: an initializer, or a Constant node."""
        array = np.asarray(value, dtype)
        known = next((n for n, w in self.weights.items() if w is value or (reuse and _same(w, array))), None)
        if known is not None and reuse:
            return Value(known, str(array.dtype), array.shape)
        if array.size < 16 and self.coin(0.3):
            tensor = numpy_helper.from_array(array, "value")
            (made,) = self("Constant", [], [(str(array.dtype), array.shape)], value=tensor)
            return made
        name = self.name("w")
        self.weights[name] = array
        return Value(name, str(array.dtype), array.shape)

    def ints(self, *values: int) -> Value:
        return self.constant(np.int64(values))

    def __call__(
        self, op: str, inputs: Sequence[Value | None], outputs: Sequence[tuple[str, Shape]], **attributes: Any
    ) -> tuple[Value, ...]:
        """Append a node that gives values of these dtypes and shapes."""
        made = tuple(Value(self.name(op.lower()), dtype, tuple(shape)) for dtype, shape in outputs)
        domain = attributes.pop("domain", "")
        names = [value.name if value else "" for value in inputs]
        self.read.update(names)
        node = helper.make_node(op, names, [v.name for v in made], name=f"n_{made[0].name}", domain=domain)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items() if v is not None)
        self.nodes.append(node)
        return made

    def keep(self, *values: Value) -> None:
        """Let later nodes read these values."""
        self.values += values

    def body(self) -> Graph:
        """A graph inside this one."""
        return Graph(self.opset, self)

    def proto(self, name: str, inputs: Sequence[Value], outputs: Sequence[Value]) -> onnx.GraphProto:
        return helper.make_graph(self.nodes, name, [*map(info, inputs)], [*map(info, outputs)])


def info(value: Value) -> onnx.ValueInfoProto:
    """The value as a graph declares it."""
    code = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
    return helper.make_tensor_value_info(value.name, code, list(value.shape))


def code(dtype: str) -> TensorProto.DataType:
    """ONNX's number of a dtype."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
