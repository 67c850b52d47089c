"""A node of MXNet as its converter sees it: operands with their shapes, and attributes with their types."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from regraft.ir.graph import Tensor
from regraft.ir.weights import code_of
from regraft.pipelines.frontend import FrontendError
from regraft.rewriting.term import Given, Term, op
from regraft.shapes.dims import Dim
from regraft.shapes.facts import Facts
from regraft.wording import count

from .symbol import Node

REQUIRED: Any = object()
"""As a default: the attribute is required."""

_DTYPES = ("float32", "float64", "float16", "bfloat16", "uint8", "int8", "int32", "int64", "bool")


class Call:
    """A node, its operands as terms (`call[0]`), and its attributes.

    Attributes:
        opset: the opset of the result.
    """

    def __init__(self, node: Node, operands: Sequence[Tensor], facts: Facts, opset: int):
        self.node, self.opset = node, opset
        self._tensors, self._facts = operands, facts

    def __getitem__(self, index: int) -> Term:
        return Given(self._tensor(index))

    def __len__(self) -> int:
        return len(self._tensors)

    def dims(self, index: int, rank: int | None = None) -> tuple[Dim, ...]:
        """The shape of an operand, which must be of `rank` where that is given."""
        tensor = self._tensor(index)
        known = self._facts[tensor].dims
        if known is None:
            raise self.error(f"the rank of '{tensor.name}' is not known")
        if rank not in (None, len(known)):
            raise self.error(f"'{tensor.name}' has {count(len(known), 'dimension')}, not {rank}")
        return known

    def dtype(self, index: int = 0) -> np.dtype[Any]:
        """The dtype of an operand; float32 where there is none."""
        return np.dtype(self._tensors[index].dtype if index < len(self._tensors) else np.float32)

    def _tensor(self, index: int) -> Tensor:
        if index >= len(self._tensors):
            raise self.error(f"has {count(len(self._tensors), 'operand')}, and {index + 1} are needed")
        return self._tensors[index]

    def axis(self, name: str, default: int, rank: int) -> int:
        """An axis, counted from the front."""
        return self._from_front(name, self.int(name, default), rank)

    def axes(self, name: str, default: Any, rank: int) -> Any:
        """Axes, counted from the front, or the default."""
        axes = self.ints(name, default)
        return axes if axes is default else [self._from_front(name, axis, rank) for axis in axes]

    def _from_front(self, name: str, axis: int | None, rank: int) -> int:
        if axis is None or not -rank <= axis < rank:
            raise self.error(f"attribute {name}={axis} is none of {count(rank, 'axis')}")
        return axis % rank

    def cast(self, term: Term, index: int, to: Any) -> Term:
        """`term`, which has the dtype of an operand, in another dtype."""
        return term if np.dtype(to) == self.dtype(index) else op.Cast(term, to=code_of(to))

    def error(self, problem: str) -> FrontendError:
        """The error to raise about this node."""
        return FrontendError(f"{self.node}: {problem}")

    # ------------------------------------------------------------------------------------------------ attributes

    def int(self, name: str, default: Any = REQUIRED) -> Any:
        """A whole number, or the default."""
        value = self._literal(name, default)
        if value is not default and not isinstance(value, int):
            raise self._bad(name, "a whole number")
        return value

    def float(self, name: str, default: Any = REQUIRED) -> Any:
        """A number, or the default."""
        value = self._literal(name, default)
        if value is not default and not isinstance(value, int | float):
            raise self._bad(name, "a number")
        return value

    def ints(self, name: str, default: Any = REQUIRED) -> Any:
        """Whole numbers, some of which may be None; a single one is a tuple of one."""
        value = self._literal(name, default)
        if value is default:
            return value
        many = tuple(value) if isinstance(value, tuple | list) else (value,)
        if not all(entry is None or isinstance(entry, int) for entry in many):
            raise self._bad(name, "a list of whole numbers")
        return many

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false, which may also be written as 1 and 0."""
        value = self._literal(name, default)
        if value not in (True, False):
            raise self._bad(name, "true or false")
        return bool(value)

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """A text, or the default."""
        return self._literal(name, default, parse=str)

    def dtype_named(self, name: str = "dtype", default: str = "float32") -> np.dtype[Any]:
        """The dtype that an attribute names."""
        text = self.text(name, default)
        if text not in _DTYPES:
            raise self._bad(name, f"one of {', '.join(_DTYPES)}")
        return np.dtype(getattr(ml_dtypes, text, text))

    def _literal(self, name: str, default: Any, parse: Any = None) -> Any:
        written = self.node.attrs.get(name)
        if written is None or written == "None":
            if default is REQUIRED:
                raise self.error(f"attribute {name} is missing")
            return default
        if parse is not None:
            return parse(written)
        try:
            return ast.literal_eval(written.strip().replace("true", "True").replace("false", "False"))
        except (ValueError, SyntaxError, AttributeError) as error:
            raise self._bad(name, "a number, a list, True, False or None") from error

    def _bad(self, name: str, wanted: str) -> FrontendError:
        return self.error(f"attribute {name}='{self.node.attrs.get(name)}' is not {wanted}")
