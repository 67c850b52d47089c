"""Conditions that rules share: what is asked of a value before it may be rewritten."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from regraft.ir.editor import Editor
from regraft.ir.graph import Tensor
from regraft.ir.weights import is_float
from regraft.refusal import INFER_SHAPES, PassRef, Refusal, run_before


def float_dtype(tensor: Tensor) -> np.dtype[Any] | Refusal:
    """The float dtype of `tensor`; else why there is none."""
    if tensor.dtype is None:
        return run_before(INFER_SHAPES, f"the dtype of '{tensor.name}' is not known")
    dtype = np.dtype(tensor.dtype)
    return dtype if is_float(dtype) else Refusal(f"'{tensor.name}' is {dtype}, no float")


def size_along(tensor: Tensor, axes: Sequence[int] | None) -> int | Refusal:
    """How many elements of `tensor` lie along `axes`, by default all; else why that is not known."""
    if tensor.shape is None:
        return run_before(INFER_SHAPES, f"the shape of '{tensor.name}' is not known")
    sizes = tensor.shape if axes is None else [tensor.shape[axis] for axis in axes]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes):
        loose = ", ".join(str(size or "?") for size in sizes if not isinstance(size, int))
        return run_before(PassRef("set-shapes"), f"'{tensor.name}' has no fixed size there ({loose})")
    return math.prod(known)


def readers_up_to(limit: int, tensor: Tensor, edit: Editor) -> int:
    """How many nodes read `tensor`, counted up to `limit`."""
    return sum(1 for _ in itertools.islice(edit.users(tensor), limit))


def is_read_once(tensor: Tensor, edit: Editor) -> bool:
    """Whether one node reads `tensor`, in one place, and no graph gives it."""
    return tensor not in edit.graph_outputs and readers_up_to(2, tensor, edit) == 1
