"""Wrong rules and right ones of operators that lay out, cut, join and look up."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.rewriting.facts import Operand
from regraft.rewriting.term import op

Row = tuple[str, Any, Any, dict[str, Any]]

HIDDEN = {"x": Operand("b s 768"), "w": Operand("768 768"), "v": Operand("768")}
PARTS = {"x": Operand("b 7"), "y": Operand("b 5"), "u": Operand("b 3"), "w": Operand("7 n"), "v": Operand("5 n")}
OPEN = {"x": Operand("b s"), "y": Operand("b t"), "u": Operand("b s"), "z": Operand("b")}
PICTURE = {"x": Operand("b 8 6 4"), "y": Operand("b s 6 4")}
LOOKUP = {"t": Operand("9 d"), "i": Operand("b s", "integer"), "w": Operand("d n"), "z": Operand("s t")}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def heads(x: Any, number: int = 12, size: int = 64, perm: Any = (0, 2, 1, 3)) -> Any:
    return op.Transpose(op.Reshape(x, shape=[0, 0, number, size]), perm=list(perm))


def merged(x: Any, perm: Any = (0, 2, 1, 3)) -> Any:
    return op.Reshape(op.Transpose(x, perm=list(perm)), shape=[0, 0, -1])


def cut(x: Any, start: int, end: int, axis: int = -1, step: int = 1) -> Any:
    return op.Slice(x, starts=[start], ends=[end], axes=[axis], steps=[step])


def joined(*parts: Any, axis: int = -1) -> Any:
    return op.Concat(*parts, axis=axis)


FAR = 2**63 - 1

RIGHT: list[Row] = [
    ("heads apart and together", lambda x: merged(heads(x)), lambda x: x * 1.0, HIDDEN),
    ("heads in two steps", lambda x: heads(x), lambda x: heads(op.Reshape(x, shape=[0, 0, 3, 256]), 12), HIDDEN),
    (
        "reshapes at once",
        lambda x: op.Reshape(op.Reshape(x, shape=[-1, 4]), shape=[0, 2, 2]),
        lambda x: op.Reshape(x, shape=[-1, 2, 2]),
        HIDDEN,
    ),
    (
        "other digits",
        lambda x: op.Reshape(op.Reshape(x, shape=[0, 0, 12, 64]), shape=[0, 0, 32, 24]),
        lambda x: op.Reshape(x, shape=[0, 0, 32, 24]),
        HIDDEN,
    ),
    (
        "a sum over both digits",
        lambda x: op.ReduceSum(op.Reshape(x, shape=[0, 0, 12, 64]), axes=[2, 3], keepdims=0),
        lambda x: op.ReduceSum(x, axes=[2], keepdims=0),
        HIDDEN,
    ),
    (
        "a maximum over both digits",
        lambda x: op.ReduceMax(op.Reshape(x, shape=[0, 0, 12, 64]), axes=[2, 3], keepdims=0),
        lambda x: op.ReduceMax(x, axes=[2], keepdims=0),
        HIDDEN,
    ),
    (
        "a product over heads",
        lambda x, w: op.ReduceSum(
            op.Reshape(x, shape=[0, 0, 12, 64, 1]) * op.Reshape(w, shape=[12, 64, 768]), axes=[2, 3], keepdims=0
        ),
        lambda x, w: x @ w,
        HIDDEN,
    ),
    ("a product over merged heads", lambda x, w: merged(heads(x)) @ w, lambda x, w: x @ w, HIDDEN),
    (
        "a product of rows in a row",
        lambda x, w: op.Reshape(op.Reshape(x, shape=[-1, 768]) @ w, shape=[-1, 768]),
        lambda x, w: op.Reshape(x @ w, shape=[-1, 768]),
        HIDDEN,
    ),
    ("a scale per head", lambda x, v: merged(heads(x) * op.Reshape(v, shape=[12, 1, 64])), lambda x, v: x * v, HIDDEN),
    ("flatten", lambda x: op.Flatten(x, axis=2), lambda x: op.Reshape(x, shape=[-1, 768]), HIDDEN),
    (
        "transposes with a merge",
        lambda x: op.Reshape(op.Transpose(op.Reshape(x, shape=[0, 0, 12, 64]), perm=[0, 1, 3, 2]), shape=[0, 0, 8, 96]),
        lambda x: op.Reshape(
            op.Transpose(op.Reshape(x, shape=[0, 0, 12, 8, 8]), perm=[0, 1, 3, 4, 2]), shape=[0, 0, 8, 96]
        ),
        HIDDEN,
    ),
    (
        "depth to space",
        lambda x: op.DepthToSpace(x, blocksize=2),
        lambda x: op.Reshape(
            op.Transpose(op.Reshape(x, shape=[0, 2, 2, 2, 6, 4]), perm=[0, 3, 4, 1, 5, 2]), shape=[0, 2, 12, 8]
        ),
        PICTURE,
    ),
    (
        "depth to space and back",
        lambda x: op.SpaceToDepth(op.DepthToSpace(x, blocksize=2), blocksize=2),
        lambda x: x * 1.0,
        PICTURE,
    ),
    (
        "of an open axis",
        lambda y: op.Reshape(op.Reshape(y, shape=[0, -1, 4]), shape=[0, -1, 6, 4]),
        lambda y: y * 1.0,
        PICTURE,
    ),
    ("the parts of a whole", lambda x: joined(cut(x, 0, 3), cut(x, 3, 7)), lambda x: x * 1.0, PARTS),
    ("a part of a join", lambda x, y: cut(joined(x, y), 7, 12), lambda x, y: y * 1.0, PARTS),
    ("over the seam", lambda x, y: cut(joined(x, y), 5, 9), lambda x, y: joined(cut(x, 5, FAR), cut(y, 0, 2)), PARTS),
    ("slices at once", lambda x: cut(cut(x, 1, 7), 2, 5), lambda x: cut(x, 3, 6), PARTS),
    (
        "each second, backwards",
        lambda x: cut(x, 6, -100, step=-2),
        lambda x: cut(cut(x, -1, -FAR, step=-1), 0, 7, step=2),
        PARTS,
    ),
    ("turned twice", lambda x: cut(cut(x, -1, -FAR, step=-1), -1, -FAR, step=-1), lambda x: x * 1.0, PARTS),
    ("joined one by one", lambda x, y, u: joined(joined(x, y), u), lambda x, y, u: joined(x, joined(y, u)), PARTS),
    (
        "a product with a join",
        lambda x, y, w, v: joined(x, y) @ joined(w, v, axis=0),
        lambda x, y, w, v: x @ w + y @ v,
        PARTS,
    ),
    (
        "a sum of a join",
        lambda x, y: op.ReduceSum(joined(x, y), axes=[-1], keepdims=0),
        lambda x, y: op.ReduceSum(x, axes=[-1], keepdims=0) + op.ReduceSum(y, axes=[-1], keepdims=0),
        PARTS,
    ),
    (
        "element by element on a join",
        lambda x, y: op.Exp(joined(x, y)),
        lambda x, y: joined(op.Exp(x), op.Exp(y)),
        PARTS,
    ),
    ("padded and cut", lambda x: cut(op.Pad(x, pads=[0, 2, 0, 1]), 2, 9), lambda x: x * 1.0, PARTS),
    (
        "padded by zeros that are joined",
        lambda x: op.Pad(x, pads=[0, 0, 0, 5]),
        lambda x: joined(x, op.Expand(np.array(0.0), shape=[1, 5]) * cut(x, 0, 1)),
        PARTS,
    ),
    ("open parts", lambda x, y: joined(op.Neg(x), op.Neg(y)), lambda x, y: op.Neg(joined(x, y)), OPEN),
    ("a cut of an open join", lambda x, u: cut(joined(cut(x, 0, 1), u), 1, FAR), lambda x, u: u * 1.0, OPEN),
    (
        "a sum over an open join",
        lambda x, y: op.ReduceSum(joined(x, y), axes=[-1], keepdims=1),
        lambda x, y: op.ReduceSum(y, axes=[-1], keepdims=1) + op.ReduceSum(x, axes=[-1], keepdims=1),
        OPEN,
    ),
    (
        "expanded and summed",
        lambda z: op.ReduceMean(op.Expand(op.Unsqueeze(z, axes=[1]), shape=[1, 8]), axes=[1], keepdims=0),
        lambda z: z * 1.0,
        OPEN,
    ),
    ("tiled", lambda x: op.Tile(x, repeats=[1, 2]), lambda x: joined(x, x), PARTS),
    (
        "rows that are looked up",
        lambda t, i, w: op.Gather(t, i, axis=0) @ w,
        lambda t, i, w: op.Gather(t @ w, i, axis=0),
        LOOKUP,
    ),
    ("one row", lambda x: op.Gather(x, np.array(2), axis=1), lambda x: op.Squeeze(cut(x, 2, 3), axes=[1]), PARTS),
    (
        "rows in an order",
        lambda x: op.Gather(x, ints(2, 0, 1), axis=1),
        lambda x: joined(cut(x, 2, 3), cut(x, 0, 1), cut(x, 1, 2)),
        PARTS,
    ),
    (
        "the rows again",
        lambda x: op.Gather(op.Gather(x, ints(6, 5, 4, 3, 2, 1, 0), axis=1), ints(6, 5, 4, 3, 2, 1, 0), axis=1),
        lambda x: x * 1.0,
        PARTS,
    ),
    (
        "one hot",
        lambda t, i: op.OneHot(i, np.array(9), np.array([0.0, 1.0]), axis=-1) * 2.0,
        lambda t, i: op.OneHot(i, np.array(9), np.array([0.0, 2.0]), axis=-1),
        LOOKUP,
    ),
    ("shape and reshape", lambda x: op.Reshape(op.Flatten(x, axis=1), op.Shape(x)), lambda x: x * 1.0, HIDDEN),
    (
        "written twice",
        lambda x: op.Resize(x, None, np.array([1.0, 1.0, 2.0, 2.0])),
        lambda x: op.Reshape(
            op.Expand(op.Unsqueeze(x, axes=[3, 5]), shape=[1, 1, 1, 2, 1, 2]),
            shape=[0, 8, 12, 8],
        ),
        PICTURE,
    ),
    (
        "a shape in parts",
        lambda x: op.Reshape(
            op.Flatten(x, axis=2), op.Concat(op.Slice(op.Shape(x), starts=[0], ends=[2]), ints(768), axis=0)
        ),
        lambda x: x * 1.0,
        HIDDEN,
    ),
    ("a full tensor", lambda x: x + op.Expand(np.array(2.0), op.Shape(x)), lambda x: x + 2.0, HIDDEN),
]

WRONG: list[Row] = [
    (
        "heads put back in another order",
        lambda x: op.Reshape(heads(x, 2, 3), shape=[0, 0, 6]),
        lambda x: x * 1.0,
        {"x": Operand("b 2 6")},
    ),
    (
        "heads and their size swapped",
        lambda x: heads(x, 2, 3),
        lambda x: op.Transpose(op.Reshape(x, shape=[0, 0, 3, 2]), perm=[0, 3, 1, 2]),
        {"x": Operand("b s 6")},
    ),
    (
        "columns first",
        lambda x: op.Reshape(x, shape=[-1]),
        lambda x: op.Reshape(op.Transpose(x, perm=[1, 0]), shape=[-1]),
        {"x": Operand("2 2")},
    ),
    (
        "digits in another order",
        lambda x: op.DepthToSpace(x, blocksize=2, mode="CRD"),
        lambda x: op.DepthToSpace(x, blocksize=2),
        {"x": Operand("b 8 2 2")},
    ),
    (
        "depth last",
        lambda x: op.SpaceToDepth(op.DepthToSpace(x, blocksize=2, mode="CRD"), blocksize=2),
        lambda x: x * 1.0,
        {"x": Operand("b 8 2 2")},
    ),
    (
        "a sum over one digit",
        lambda x: op.ReduceSum(op.Reshape(x, shape=[0, 2, 3]), axes=[2], keepdims=0),
        lambda x: op.ReduceSum(op.Reshape(x, shape=[0, 3, 2]), axes=[1], keepdims=0),
        {"x": Operand("b 6")},
    ),
    ("one too early", lambda x, y: cut(joined(x, y), 7, 12), lambda x, y: cut(joined(x, y), 6, 11), PARTS),
    ("the seam is off by one", lambda x, y: cut(joined(x, y), 6, 12), lambda x, y: joined(cut(x, 5, 6), y), PARTS),
    ("the other order", lambda x, y: joined(x, y), lambda x, y: joined(y, x), PARTS),
    (
        "the weights not cut",
        lambda x, y, w, v: joined(x, y) @ joined(v, w, axis=0),
        lambda x, y, w, v: x @ w + y @ v,
        PARTS,
    ),
    ("a step in the wrong direction", lambda x: cut(x, -1, -FAR, step=-1), lambda x: x * 1.0, PARTS),
    ("slices that do not add up", lambda x: cut(cut(x, 1, 7), 2, 5), lambda x: cut(x, 2, 5), PARTS),
    ("padded on the other side", lambda x: op.Pad(x, pads=[0, 1, 0, 0]), lambda x: op.Pad(x, pads=[0, 0, 0, 1]), PARTS),
    (
        "tiled for written twice",
        lambda x: op.Resize(x, None, np.array([1.0, 1.0, 2.0, 1.0])),
        lambda x: op.Tile(x, repeats=[1, 1, 2, 1]),
        {"x": Operand("1 2 3 2")},
    ),
    (
        "tiled along",
        lambda x: op.Tile(x, repeats=[1, 2]),
        lambda x: op.Reshape(op.Expand(op.Unsqueeze(x, axes=[2]), shape=[1, 7, 2]), shape=[0, 14]),
        PARTS,
    ),
    ("another row", lambda x: op.Gather(x, np.array(2), axis=1), lambda x: op.Squeeze(cut(x, 3, 4), axes=[1]), PARTS),
    ("rows turned once", lambda x: op.Gather(x, ints(6, 5, 4, 3, 2, 1, 0), axis=1), lambda x: x * 1.0, PARTS),
    (
        "along the other axis",
        lambda x: op.Gather(x, ints(1, 0), axis=0),
        lambda x: op.Gather(x, ints(1, 0), axis=1),
        {"x": Operand("2 2")},
    ),
    ("an open join turned", lambda x, y: joined(x, y), lambda x, y: joined(y, x), OPEN),
]
