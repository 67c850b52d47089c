"""OneHot as a lookup, or as comparisons, for targets that lack it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from regraft.folding.identities import maker
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array, code_of
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.matcher import is_constant
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op, term
from regraft.verification.contract import exact

SMALL = 2**20
"""Bytes of the largest table that is written anew, with a row of zeros."""

NUMBERS = 2**28
"""So many numbers are written into a model at most."""

HAS_RANGE = COUNTS_AXES_BACK = 11
CLIPS_INTEGERS = 12
"""The opsets that these came with."""


class LowerOneHot(NodePass):
    """Write OneHot as a lookup where it chooses rows of a table, else as comparisons.

    MatMul(OneHot(i, depth, [0, 1]), t)  →  Gather(t | 0 | t, Clip(i, -depth - 1, depth))
    OneHot(i, depth, [0, 1])             →  Cast(Equal(i, n)) + Cast(Equal(i, n - depth))    n = 0, 1, ...
    OneHot(i, depth, [off, on])          →  Where(Or(Equal(i, n), Equal(i, n - depth)), on, off)

    So Google's BERT looks its token types up. A negative index counts from the end, and one that is out of range gives
    zeros, which is why the table gets a row of them: it must be a constant of finite numbers, and small. onnx2torch and
    PopRT have no OneHot, and TVM's frontend makes something else of negative indices.
    """

    name = "lower-one-hot"
    contract = exact
    operators = frozenset({"MatMul", "OneHot"})
    introduces = frozenset(
        {"Add", "Cast", "Clip", "Equal", "Gather", "Not", "Or", "Range", "Reshape", "Sub", "Unsqueeze", "Where"}
    )

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal | None:
        if node.op == "MatMul":
            return looked_up(node, opset)
        output = node.outputs[0]
        readers = [product for reader in edit.users(output) for product in _behind_cast(reader, edit)]
        if readers and output not in edit.graph_outputs and all(looked_up(one, opset) is not None for one in readers):
            return None  # it goes with them
        return compared(node, opset)


def _behind_cast(reader: Node, edit: Editor) -> list[Node]:
    """`reader`; the nodes that read it where it is a Cast, unless its value is an output too."""
    is_cast = reader.op == "Cast" and not reader.domain and reader.outputs[0] not in edit.graph_outputs
    return [*edit.users(reader.outputs[0])] if is_cast else [reader]


def looked_up(node: Node, opset: int) -> Term | None:
    """The rows that `node` chooses, if it is the product of a OneHot and a small table of constants."""
    if node.op != "MatMul" or node.domain or opset < CLIPS_INTEGERS:
        return None
    cast = maker(node.inputs[0], "Cast")
    hot = maker(node.inputs[0] if cast is None else cast.inputs[0], "OneHot")
    if hot is None or not _are_zero_and_one(_values(hot)) or _axis(hot, opset) != -1 or not _fits(hot.inputs[0]):
        return None
    index, table = hot.inputs[0], node.inputs[1]
    depth, shape = _depth(hot), table.shape
    if not is_constant(table) or shape is None or len(shape) > 2 or not depth or shape[0] != depth:
        return None
    rows = constant_of(table) if math.prod(shape) * np.dtype(table.dtype).itemsize <= SMALL else None
    if rows is None or not np.isfinite(rows).all():
        return None
    none = np.zeros((1, *rows.shape[1:]), rows.dtype)
    return op.Gather(np.concatenate([rows + none, none, rows + none]), _clipped(index, depth), axis=0)


def _clipped(index: Tensor, depth: int) -> Term:
    """`index`, with one number for all that are out of range: it counts to the row of zeros from either end."""
    i, dtype = _whole(index)
    return op.Clip(i, np.array(-depth - 1, dtype), np.array(depth, dtype))


def compared(node: Node, opset: int) -> Term | Refusal:
    """OneHot as comparisons of its indices with all that they can be."""
    index = node.inputs[0]
    if index.dtype is None or node.inputs[2].dtype is None:
        return run_before(INFER_SHAPES, "its types are not known")
    axis = _axis(node, opset)
    depth = _depth(node)
    if axis is None or (opset < COUNTS_AXES_BACK and index.shape is None):
        return run_before(INFER_SHAPES, f"the rank of '{index.name}' is not known")
    if depth is None and opset < HAS_RANGE:
        return Refusal("its depth is computed, and opset 11 is the first that has Range")
    if depth is not None and not 0 < depth <= NUMBERS:
        return Refusal(f"there is nothing to compare with for a depth of {depth}")
    whole, kind = _whole(index)
    numbers, below = _numbers(node, depth, kind, axis)
    i = op.Unsqueeze(whole, axes=[axis if opset >= COUNTS_AXES_BACK else axis + len(index.shape) + 1])
    hits = [op.Equal(i, numbers)]
    if np.dtype(index.dtype).kind != "u":
        hits.append(op.Equal(i, below))
    return _chosen(node, hits)


def _chosen(node: Node, hits: list[Any]) -> Term:
    """`on` where one of `hits` is true, else `off`. No two are true at once."""
    values, dtype = _values(node), np.dtype(node.inputs[2].dtype)
    if _are_zero_and_one(values) and dtype.kind not in "bO":
        terms: list[Term] = [op.Cast(hit, to=code_of(dtype)) for hit in hits]
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]
    hit = hits[0] if len(hits) == 1 else op.Or(*hits)
    if values is not None and dtype.kind == "b" and bool(values[0]) != bool(values[1]):
        return hit if values[1] else op.Not(hit)
    off: Term
    on: Term
    if values is None:
        off, on = (op.Gather(Given(node.inputs[2]), np.array([index])) for index in (0, 1))
    else:
        off, on = Given(values[:1]), Given(values[1:])
    return op.Where(hit, on, off)


def _numbers(node: Node, depth: int | None, kind: np.dtype[Any], axis: int) -> tuple[Term, Term]:
    """0, 1, ... along the axis, and the same numbers counted from the end."""
    shape = [-1, *(1 for _ in range(-axis - 1))]
    if depth is not None:
        counted = np.arange(depth).reshape(depth, *shape[1:])
        return term(counted.astype(kind)), term((counted - depth).astype(kind))
    end = op.Reshape(op.Cast(Given(node.inputs[1]), to=code_of(np.int64)), np.array([], np.int64))
    line: Term = op.Range(np.array(0), end, np.array(1))

    def placed(numbers: Term) -> Term:
        upright = op.Reshape(numbers, np.array(shape, np.int64)) if len(shape) > 1 else numbers
        return upright if kind == np.int64 else op.Cast(upright, to=code_of(kind))

    return placed(line), placed(op.Sub(line, end))


def _axis(node: Node, opset: int) -> int | None:
    """The axis of the output along which one place is hot, counted from the end; None where that is not known."""
    axis, shape = schema.attribute(node, "axis", opset), node.inputs[0].shape
    if axis < 0:
        return int(axis)
    return None if shape is None else int(axis) - len(shape) - 1


def _depth(node: Node) -> int | None:
    values = constant_of(node.inputs[1])
    return None if values is None or values.size != 1 else int(values.item())


def _values(node: Node) -> Array | None:
    """What is off and what is on; None where that is computed."""
    values = constant_of(node.inputs[2])
    return None if values is None or values.shape != (2,) else values


def _are_zero_and_one(values: Array | None) -> bool:
    return (
        values is not None and values.dtype.kind != "O" and values.tobytes() == np.array([0, 1], values.dtype).tobytes()
    )


def _fits(index: Tensor) -> bool:
    """Whether the indices can be cast to int64: those of uint64 would turn negative."""
    return index.dtype is not None and np.dtype(index.dtype) != np.uint64


def _whole(index: Tensor) -> tuple[Term, np.dtype[Any]]:
    """The indices as whole numbers, of a type that Equal takes; ONNX casts floats to int64 too."""
    dtype = np.dtype(index.dtype)
    if dtype in (np.int32, np.int64):
        return Given(index), dtype
    return op.Cast(Given(index), to=code_of(np.int64)), np.dtype(np.int64)
