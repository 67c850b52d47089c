"""The signature of a model: the name, dtype and shape of each input and output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from regraft.ir.dimensions import stated
from regraft.ir.graph import Tensor
from regraft.ir.weights import dtype_from_onnx

Shape = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        kind: "tensor", "seq", "optional", "map" or "sparse_tensor".
        inner: the type inside a sequence, an optional or a map; None for a tensor.
        dtype: of the elements (numpy's or ml_dtypes'; object for strings); None where it is no tensor, or unknown.
        shape: ints, names, or None for a dimension without a name; None as a whole where the rank is unknown.
        key: the dtype of a map's keys; None for other kinds.
    """

    name: str
    kind: str = "tensor"
    dtype: np.dtype[Any] | None = None
    shape: Shape | None = None
    inner: Port | None = None
    key: np.dtype[Any] | None = None

    @classmethod
    def of(cls, info: onnx.ValueInfoProto) -> Port:
        """The port that a graph's input or output describes."""
        return cls._of_type(info.name, info.type)

    @classmethod
    def _of_type(cls, name: str, proto: onnx.TypeProto) -> Port:
        field = proto.WhichOneof("value") or "tensor_type"
        kind = field.removesuffix("_type").replace("sequence", "seq")
        if kind in ("tensor", "sparse_tensor"):
            tensor = getattr(proto, field)
            dtype = _dtype(tensor.elem_type) if tensor.elem_type else None
            return cls(name, kind, dtype, _shape(tensor.shape) if tensor.HasField("shape") else None)
        nested = getattr(proto, field)
        inner = getattr(nested, "value_type" if kind == "map" else "elem_type", onnx.TypeProto())
        key = _dtype(nested.key_type) if kind == "map" else None
        return cls(name, kind, inner=cls._of_type(name, inner), key=key)

    @classmethod
    def of_variable(cls, variable: Tensor) -> Port:
        """The port of a graph's input or output, which may be a Constant."""
        info = getattr(variable, "info", None)
        if info is not None and info.type.WhichOneof("value") not in (None, "tensor_type"):
            return cls.of(info)
        dtype = np.dtype(variable.dtype) if variable.dtype is not None else None
        return cls(variable.name, "tensor", dtype, None if variable.shape is None else tuple(variable.shape))

    @classmethod
    def of_runtime(cls, name: str, text: str, shape: Iterable[int | str | None]) -> Port:
        """The port that ONNX Runtime describes as `text`, such as `seq(map(string,tensor(float)))`."""
        kind, _, rest = text.partition("(")
        rest = rest.removesuffix(")")
        if kind in ("tensor", "sparse_tensor"):
            return cls(name, kind, _dtype_of_name(rest), tuple(map(stated, shape)) or None)
        key, _, value = rest.partition(",") if kind == "map" else ("", "", rest)
        return cls(name, kind, inner=cls.of_runtime(name, value, shape), key=_dtype_of_name(key) if key else None)

    @property
    def tensor(self) -> Port:
        """The tensor type at the bottom of sequences and optionals."""
        return self.inner.tensor if self.inner else self

    @property
    def exotic(self) -> bool:
        """Whether the dtype is none of numpy's own, but one of ml_dtypes."""
        dtype = self.tensor.dtype
        return dtype is not None and dtype.isbuiltin == 2

    def __str__(self) -> str:
        if self.inner:
            key = "" if self.key is None else f"{'string' if self.key == np.object_ else self.key}, "
            return f"{self.kind}({key}{self.inner})"
        dims = ", ".join("?" if d is None else str(d) for d in self.shape) if self.shape is not None else "..."
        dtype = "string" if self.dtype == np.object_ else self.dtype
        return f"{dtype}[{dims}]"


def _dtype(code: int) -> np.dtype[Any]:
    return np.dtype(object) if code == onnx.TensorProto.STRING else dtype_from_onnx(code)


def _dtype_of_name(name: str) -> np.dtype[Any]:
    return _dtype(onnx.TensorProto.DataType.Value(name.upper()))


def _shape(shape: onnx.TensorShapeProto) -> Shape:
    return tuple(stated(d.dim_value if d.HasField("dim_value") else d.dim_param) for d in shape.dim)


@dataclass(frozen=True)
class Correspondence:
    """The pairing of the inputs, or the outputs, of two models.

    Attributes:
        pairs: name before to name after.
        removed, added: names that only one model has.
    """

    pairs: dict[str, str]
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def correspond(before: Iterable[Port], after: Iterable[Port], names: Mapping[str, str]) -> Correspondence:
    """Pair ports as `names` says, else by name, else where only one on each side has that kind, dtype and rank."""
    old, new = {port.name: port for port in before}, {port.name: port for port in after}
    pairs = {name: names.get(name, name) for name in old if names.get(name, name) in new}
    taken = set(pairs.values())
    for looks, (name, *others) in _by_looks(port for port in old.values() if port.name not in pairs).items():
        match _by_looks(port for port in new.values() if port.name not in taken).get(looks):
            case [only] if not others:
                pairs[name] = only
    taken = set(pairs.values())
    return Correspondence(
        {name: pairs[name] for name in old if name in pairs},
        tuple(name for name in old if name not in pairs),
        tuple(name for name in new if name not in taken),
    )


def _by_looks(ports: Iterable[Port]) -> dict[tuple[Any, ...], list[str]]:
    groups: dict[tuple[Any, ...], list[str]] = {}
    for port in ports:
        rank = None if port.shape is None else len(port.shape)
        groups.setdefault((port.kind, port.tensor.dtype, rank), []).append(port.name)
    return groups
