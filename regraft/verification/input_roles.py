"""What each input of a model means, by its use in the graph, or by its name where the graph does not decide."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from onnx import defs

from regraft.ir.graph import Constant, Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.ir.schema import output_dtype
from regraft.ops.traits import BROADCASTS, COMPARISONS, ELEMENTWISE, MOVES, ORDERINGS, RECURRENT, SOFTMAXES, VIEWS
from regraft.verification.signature import Port

Kind = Literal[
    "index", "segment", "position", "mask", "bias", "length", "choice", "integer", "boolean", "float", "string"
]

_CARRIED = {  # ops whose output holds the values of these inputs
    **dict.fromkeys((*MOVES, "Abs", "Cast", "Clip", "Dropout", "Neg", "Pad"), (0,)),
    "Where": (1, 2),
    "Concat": range(1000),
    "Max": range(1000),
    "Min": range(1000),
}
_SAME_SHAPE = ("Identity", "Cast", "Dropout", "DequantizeLinear")
_ALIKE = (ELEMENTWISE - BROADCASTS) | SOFTMAXES | {"Dropout"}  # ops whose output has the shape of the first input
_SAME_VALUES = VIEWS | {"Cast"}
TABLES = {  # (op, place of the index) -> place of the table
    ("Gather", 1): 0,
    ("GatherElements", 1): 0,
    ("GatherND", 1): 0,
    ("EmbedLayerNormalization", 0): 2,
    ("EmbedLayerNormalization", 1): 4,
}
_MASKING = {("Where", 0), ("Sub", 1), ("And", 0), ("And", 1), ("Or", 0), ("Or", 1), ("Not", 0)}
_MASKING |= {(op, place) for op in (COMPARISONS - {"LessOrEqual"}) | {"Mul"} for place in (0, 1)}
_SIZING = {  # places of operands that say how large a result is, or where in a tensor to look
    **dict.fromkeys(("Reshape", "Expand", "Tile", "TopK", "Split", "Unsqueeze", "Squeeze", "CenterCropPad"), (1,)),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "ScatterND", "ScatterElements", "Scatter", "Trilu"), (1,)),
    **dict.fromkeys(("Pad", "ReverseSequence", "SplitToSequence", "SequenceAt", "Upsample"), (1,)),
    **dict.fromkeys(("BlackmanWindow", "ConstantOfShape", "HannWindow", "HammingWindow"), (0,)),
    "SequenceInsert": (2,),
    "Range": (0, 1, 2),
    "Slice": (1, 2, 3, 4),
    "Resize": (1, 2, 3),
    "OneHot": (0, 1),
    "Loop": (0, 1),
    "NonMaxSuppression": (2,),
    "MaxUnpool": (1, 2),
    "Col2Im": (1, 2),
    "DFT": (1, 2),
    "STFT": (1, 3),
    "MelWeightMatrix": (0, 1, 2),
}
_CHOICES = {  # attributes that list what an input may be
    "CategoryMapper": ("cats_int64s", "cats_strings"),
    "LabelEncoder": ("keys_int64s", "keys_strings", "keys_floats"),
    "OneHotEncoder": ("cats_int64s", "cats_strings"),
}
_FAR = 32  # steps back from a node: without a limit, long chains would take quadratic time
_MANY = 32  # numbers at which a model decides something
_ORDERING = ORDERINGS | {"Max", "Min", "Mod"}
_SEGMENTS = 16  # tables with fewer rows hold token types

_NAMES: tuple[tuple[str, Kind], ...] = (
    (r"mask", "mask"),
    (r"label", "integer"),
    (r"token_?type|segment", "segment"),
    (r"position|pos_?ids", "position"),
    (r"ids|tokens?\b", "index"),
    (r"len(gth)?s?$", "length"),
)


@dataclass(frozen=True)
class InputRole:
    """What an input means. `rows` is the bound of an index, a segment or a position, which are less, and of a length.

    Attributes:
        dim: the dimension that is the bound in place of `rows`.
        sizes: whether a size, or an index into something, is computed from the input.
        choices: the valid values of labels and categories.
        asked: numbers that the model compares the input with, and their neighbours.
    """

    kind: Kind
    rows: int | None = None
    dim: str = ""
    sizes: bool = False
    choices: tuple[Any, ...] = ()
    asked: tuple[float, ...] = ()


def input_role(variable: Variable, port: Port, sizes: bool = False) -> InputRole:
    """What the graph input `variable`, described by `port` (a tensor), means; `sizes`: it is of `sizing_values`."""
    uses = list(_uses(variable))
    what = _role(uses, port, sizes)
    if what.kind not in ("float", "integer", "index", "segment", "choice"):
        return what
    whole = port.dtype is not None and port.dtype.kind in "iu"
    return replace(what, asked=tuple(sorted({number for use in uses for number in _asked(*use, whole)})))


def _role(uses: list[tuple[Node, int]], port: Port, sizes: bool) -> InputRole:
    dtype = port.dtype
    named = next((kind for pattern, kind in _NAMES if re.search(pattern, port.name.lower())), None)
    rank = len(port.shape) if port.shape is not None else 2
    is_float = dtype is None or dtype.kind not in "biuO"
    choices = [choice for node, _ in uses for name in _CHOICES.get(node.op, ()) for choice in node.attrs.get(name, ())]
    if choices:
        return InputRole("choice", choices=tuple(c for c in choices if isinstance(c, str) == (dtype == np.object_)))
    if is_float and named == "mask" and rank >= 2:
        return InputRole("bias" if any(node.op in ("Add", "Sum") for node, _ in uses) else "mask")
    if dtype == np.object_:
        return InputRole("string")
    rows = [r for r in (_rows(node, place) for node, place in uses) if r]  # of floats too: MXNet's ids are floats
    if rows:
        bound = min((r for r in rows if isinstance(r, int)), default=None)
        guess: Kind = "segment" if bound is not None and bound <= _SEGMENTS else "index"
        kind = named if named in ("position", "segment") else guess
        return InputRole(kind, bound) if bound is not None else InputRole(kind, dim=str(rows[0]))
    steps = [_shape(node.inputs[0]) for node, place in uses if node.op in RECURRENT and place == 4]
    if steps:
        step = steps[0][0] if steps[0] else None
        return InputRole("length", dim=step) if isinstance(step, str) else InputRole("length", step or 1)
    counted = [_shape(node.inputs[0]) for node, place in uses if node.op == "Less" and place == 1]
    if rank == 1 and counted and named in (None, "length"):
        bounds = [dim for shape in counted for dim in shape or () if isinstance(dim, int)]
        return InputRole("length", max(bounds, default=None))
    if is_float or dtype is None:
        return InputRole("float", sizes=sizes)
    if not sizes and rank == 0 and (asked := sorted(_equal(uses))):
        return InputRole("choice", choices=(*asked, max(asked) + 1))
    masks = named == "mask" or (named is None and any(_is_masking(node, place) for node, place in uses))
    if rank >= 2 and masks:
        return InputRole("mask")
    if dtype.kind == "b":
        return InputRole("boolean")
    return InputRole(named if named not in (None, "mask") else "integer", sizes=sizes)


def _is_masking(node: Node, place: int) -> bool:
    """Whether `node` uses an operand as a mask; a factor that is one number makes none."""
    if (node.op, place) not in _MASKING:
        return False
    if node.op in COMPARISONS:  # masks are compared with 0 or 1
        return not any(number not in (0, 0.5, 1) for tensor in node.inputs for number in _numbers(tensor))
    others = (_constant(tensor) for tensor in node.inputs if tensor is not node.inputs[place])
    return node.op != "Mul" or not any(other is not None and other.size == 1 for other in others)


def _equal(uses: Iterable[tuple[Node, int]]) -> set[int]:
    """The numbers that an input is compared with for equality: one may choose a branch, such as 16,000 samples a
    second."""
    return {int(number) for node, place in uses if node.op == "Equal" for number in _numbers(node.inputs[1 - place])}


def _asked(node: Node, place: int, whole: bool) -> Iterator[float]:
    """Numbers that `node` compares the operand at `place` with, and their neighbours."""
    if node.op == "Equal":
        yield from _numbers(node.inputs[1 - place])
        return
    found: list[float] = []
    if node.op in _ORDERING and len(node.inputs) == 2:
        found += _numbers(node.inputs[1 - place])
    elif node.op == "Clip" and place == 0:
        found += [number for bound in node.inputs[1:] for number in _numbers(bound)]
        found += [node.attrs[name] for name in ("min", "max") if name in node.attrs]
    elif node.op.startswith("TreeEnsemble"):
        found += list(node.attrs.get("nodes_values", ()))[:_MANY]
    for number in found:
        if whole:
            yield from (number - 1, number, number + 1)
        else:
            near = np.float32(number)
            yield from map(float, (near, np.nextafter(near, -np.inf), np.nextafter(near, np.inf)))
            yield from (number * 0.99, number * 1.01) if number else (-0.01, 0.01)


def _numbers(tensor: Tensor) -> list[float]:
    """The numbers of a small constant; empty for anything else."""
    constant = _constant(tensor)
    if constant is None or constant.size > _MANY or np.dtype(constant.dtype).kind not in "fiu":
        return []
    return [float(number) for number in constant.values.reshape(-1) if np.isfinite(number) and abs(number) < 2**53]


def sizing_values(model: Model) -> set[Tensor]:
    """The values from which a size, or an index into a tensor, is computed; linear in the model."""
    nodes = [node for side in model.sides for node in side.nodes()]
    owners = {tensor: node for node in nodes for body in subgraphs(node) for tensor in body.inputs}
    wanted = [node.inputs[i] for node in nodes for i in _SIZING.get(node.op, ()) if i < len(node.inputs)]
    found: set[Tensor] = set()
    while wanted:
        tensor = wanted.pop()
        if tensor in found:
            continue
        found.add(tensor)
        node = tensor.inputs[0] if tensor.inputs else owners.get(tensor)
        if node is not None and node.op not in ("Shape", "Size") and not _is_bounded(node):
            wanted += node.inputs
            wanted += [out for body in subgraphs(node) for out in body.outputs]
    return found


def _is_bounded(node: Node) -> bool:
    """Whether a result lies within bounds of its own, whatever the operand."""
    bounds = node.inputs[1:] if node.op == "Mod" else node.inputs[1:3] if node.op == "Clip" else ()
    return len(bounds) == (2 if node.op == "Clip" else 1) and all(_constant(bound) is not None for bound in bounds)


def table_of(variable: Variable) -> Constant | None:
    """The table whose rows the unchanged input indexes."""
    for node, place in _uses(variable):
        operand = TABLES.get((node.op, place))
        if operand is not None and not node.attrs.get("axis", 0):
            return _constant(node.inputs[operand])
    return None


def longest_sequence(model: Model) -> int | None:
    """The number of positions that the model has: rows of a position table, length of a constant cut to the input."""
    bounds = [bound for side in model.sides for node in side.nodes() for bound in _bounds(node) if bound > 1]
    return min(bounds, default=None)


def channels(variable: Variable) -> int | None:
    """The channels that a convolution expects of an image input."""
    for node, place in _uses(variable):
        if node.op == "Conv" and place == 0 and node.inputs[1].shape:
            return int(node.inputs[1].shape[1]) * int(node.attrs.get("group", 1))
    return None


def _uses(variable: Tensor) -> Iterator[tuple[Node, int]]:
    """Each node that the values of `variable` reach unchanged, with the operand index."""
    stack, seen = [variable], {variable}
    while stack:
        tensor = stack.pop()
        for node in dict.fromkeys(tensor.outputs):
            for place, value in enumerate(node.inputs):
                if value is not tensor:
                    continue
                yield node, place
                if place in _CARRIED.get(node.op, ()) or _is_chosen(node, place):
                    fresh = [out for out in node.outputs[:1] if out not in seen]
                    seen.update(fresh)
                    stack += fresh


def _is_chosen(node: Node, place: int) -> bool:
    """Whether `node` chooses an operand by a flag, as Keras does: `a·flag + b·other_flag`."""
    if node.op == "Mul" and len(node.inputs) == 2:
        return _is_flag(node.inputs[1 - place])
    made_by = node.inputs[place].inputs[:1]
    return node.op == "Add" and bool(made_by) and made_by[0].op == "Mul" and any(map(_is_flag, made_by[0].inputs))


def _is_flag(tensor: Tensor) -> bool:
    """Whether `tensor` holds a boolean, cast to a number."""
    node = tensor.producer
    if node is None or node.op != "Cast" or not node.inputs[0].inputs:
        return False
    return output_dtype(node.inputs[0].inputs[0], defs.onnx_opset_version()) == np.bool_


def _rows(node: Node, place: int) -> int | str | None:
    """How many values an index may take that `node` takes in `place`, or a dimension's name; None for no index."""
    if node.op == "OneHot" and place == 0:
        depth = _constant(node.inputs[1])
        return int(depth.values.reshape(-1)[0]) if depth is not None else None
    table = TABLES.get((node.op, place))
    if table is None:
        return None
    shape = _shape(node.inputs[table])
    axis = node.attrs.get("axis", 0) if node.op.startswith("Gather") else 0
    if shape is None or not -len(shape) <= axis < len(shape) or shape[axis] is None:
        return 1  # a table of unknown size has a first row
    return shape[axis] if isinstance(shape[axis], str) else int(shape[axis])


def _bounds(node: Node) -> Iterator[int]:
    if node.op == "Slice" and len(node.inputs) > 2 and _constant(node.inputs[2], _SAME_VALUES) is None:
        data = _constant(_uncut(node.inputs[0]))
        axes = _constant(node.inputs[3], _SAME_VALUES) if len(node.inputs) > 3 else None
        if data is not None and len(data.shape) > 1:
            cut = axes.values.reshape(-1).tolist() if axes is not None else [0]
            yield from (int(data.shape[axis]) for axis in cut)
    elif node.op == "Gather":
        table = _constant(node.inputs[0])
        if table is not None and len(table.shape) == 2 and np.dtype(table.dtype).kind not in "biu":
            made_by = _origin(node.inputs[1])
            yield from {"Range": [table.shape[0]], "CumSum": [table.shape[0] - 2]}.get(made_by, [])


def _origin(tensor: Tensor) -> str:
    """The op that makes the values of `tensor`, before they are reshaped, cast, or a constant is added."""
    for _ in range(_FAR):
        node = tensor.producer
        if node is None:
            break
        if node.op in ("Add", "Mul"):
            tensor = next((t for t in node.inputs if _constant(t) is None), node.inputs[0])
        elif 0 in _CARRIED.get(node.op, ()):
            tensor = node.inputs[0]
        else:
            return str(node.op)
    return ""


def _uncut(tensor: Tensor) -> Tensor:
    """What `tensor` is cut from by constants, such as `[0:max]` of another axis."""
    for _ in range(_FAR):
        node = tensor.producer
        if node is None or node.op != "Slice" or any(_constant(t) is None for t in node.inputs[1:]):
            break
        tensor = node.inputs[0]
    return tensor


def _constant(tensor: Tensor, through: Collection[str] = _SAME_SHAPE) -> Constant | None:
    """The constant that `tensor` is, or is made of by ops that keep its shape, or whichever are named."""
    for _ in range(_FAR):
        if isinstance(tensor, Constant):
            return tensor
        node = tensor.producer
        if node is not None and node.op == "Constant":
            value = node.attrs.get("value")
            return value if isinstance(value, Constant) else None
        if node is None or node.op not in through:
            return None
        tensor = node.inputs[0]
    return None


def _shape(tensor: Tensor) -> Any:
    constant = _constant(tensor)
    if constant is not None:
        return constant.shape
    for _ in range(_FAR):
        if tensor.shape is not None or not tensor.inputs or tensor.inputs[0].op not in _ALIKE:
            break
        tensor = tensor.inputs[0].inputs[0]
    return tensor.shape
