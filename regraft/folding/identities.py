"""Which nodes hand a value on unchanged, by operator: what can be proved from attributes, constants and known shapes.

"Unchanged" means every bit of it but the payload of a NaN, and its shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from regraft.ir import schema
from regraft.ir.dimensions import FAR
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.weights import Value, code_of
from regraft.ops.traits import COMMUTATIVE, IDEMPOTENT

Rule = Callable[[Node, int], Tensor | None]

_RULES: dict[str, list[Rule]] = {}
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1, "Pow": 1, "And": True, "Or": False, "Xor": False}


def same_value(node: Node, opset: int) -> Tensor | None:
    """The value that the first output of `node` equals, if one can be proved to."""
    if node.domain or not node.inputs:
        return None
    return next((found for rule in _RULES.get(node.op, ()) if (found := rule(node, opset)) is not None), None)


def integers(node: Node, name: str, opset: int) -> list[int] | None:
    """The integers of an attribute or constant input; None where they are missing or not known."""
    value = schema.attribute(node, name, opset)
    numbers = [value] if isinstance(value, int) else value
    return list(numbers) if isinstance(numbers, list) and all(isinstance(n, int) for n in numbers) else None


def maker(tensor: Tensor, *ops: str) -> Node | None:
    """The node that makes `tensor`, if it is one of `ops`."""
    node: Node | None = tensor.inputs[0] if tensor.inputs else None
    return node if node is not None and node.op in ops and not node.domain else None


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        for op in ops:
            _RULES.setdefault(op, []).append(rule)
        return rule

    return register


def _first_if(holds: bool, node: Node) -> Tensor | None:
    first: Tensor = node.inputs[0]
    return first if holds else None


def _is_absent(node: Node, name: str, opset: int) -> bool:
    """Whether `name` is neither an attribute nor an input of `node`."""
    if not schema.is_input(node.op, name, opset):
        return name not in node.attrs
    place = schema.input_place(node.op, name, opset)
    return place >= len(node.inputs) or not node.inputs[place].name


def _all(values: Sequence[Any] | None, wanted: Any) -> bool:
    return values is not None and all(value == wanted for value in values)


@_rule("Identity")
def _identity(node: Node, opset: int) -> Tensor | None:
    return _first_if(True, node)


@_rule("Cast", "CastLike")
def _cast(node: Node, opset: int) -> Tensor | None:
    to = node.attrs.get("to") if node.op == "Cast" else _code(node.inputs[1])
    return _first_if(to is not None and to == _code(node.inputs[0]), node)


def _code(tensor: Tensor) -> int | None:
    dtype = tensor.dtype
    return None if dtype is None else code_of(dtype)


# ------------------------------------------------------------------------------------------------------ shapes


@_rule("Transpose")
def _transpose(node: Node, opset: int) -> Tensor | None:
    order, shape, inner = integers(node, "perm", opset), node.inputs[0].shape, maker(node.inputs[0], "Transpose")
    if "perm" in node.attrs:
        return _first_if(order is not None and order == sorted(order), node)
    if inner is not None and "perm" not in inner.attrs:
        return inner.inputs[0]
    return _first_if(shape is not None and len(shape) < 2, node)


@_rule("Reshape")
def _reshape(node: Node, opset: int) -> Tensor | None:
    target, shape = integers(node, "shape", opset), node.inputs[0].shape
    if target is None or shape is None:
        return _first_if(_is_own_shape(node), node)
    copies = not node.attrs.get("allowzero", 0)
    fits = [t == dim or t == -1 or (t == 0 and copies) for t, dim in zip(target, shape, strict=False)]
    return _first_if(len(target) == len(shape) and all(fits), node)


@_rule("Expand")
def _expand(node: Node, opset: int) -> Tensor | None:
    target = schema.constant_of(node.inputs[1])
    return _first_if(_is_own_shape(node) or (target is not None and _widens(target.tolist(), node.inputs[0])), node)


def _is_own_shape(node: Node) -> bool:
    """Whether the second input is the shape of the first."""
    shape = maker(node.inputs[1], "Shape") if len(node.inputs) > 1 else None
    return shape is not None and not shape.attrs and shape.inputs[0] is node.inputs[0]


def _widens(shape: Sequence[int], tensor: Tensor) -> bool:
    """Whether `tensor` keeps its shape when broadcast with `shape`."""
    if tensor.shape is None:
        return len(shape) == 0
    known = reversed(tensor.shape)
    return len(shape) <= len(tensor.shape) and all(
        n in (1, dim) for n, dim in zip(reversed(shape), known, strict=False)
    )


@_rule("Flatten")
def _flatten(node: Node, opset: int) -> Tensor | None:
    shape = node.inputs[0].shape
    return _first_if(shape is not None and len(shape) == 2 and node.attrs.get("axis", 1) == 1, node)


@_rule("Unsqueeze")
def _unsqueeze(node: Node, opset: int) -> Tensor | None:
    axes, inner = integers(node, "axes", opset), maker(node.inputs[0], "Squeeze")
    if axes and inner is not None and sorted(axes) == sorted(integers(inner, "axes", opset) or []):
        return inner.inputs[0]
    return _first_if(axes == [], node)


@_rule("Squeeze")
def _squeeze(node: Node, opset: int) -> Tensor | None:
    axes, inner = integers(node, "axes", opset), maker(node.inputs[0], "Unsqueeze")
    if axes and inner is not None and sorted(axes) == sorted(integers(inner, "axes", opset) or []):
        return inner.inputs[0]
    shape = node.inputs[0].shape
    nothing = shape is not None and all(isinstance(dim, int) and dim != 1 for dim in shape)
    return _first_if(nothing and (axes == [] or _is_absent(node, "axes", opset)), node)


@_rule("Slice")
def _slice(node: Node, opset: int) -> Tensor | None:
    starts, ends = integers(node, "starts", opset), integers(node, "ends", opset)
    steps = [] if _is_absent(node, "steps", opset) else integers(node, "steps", opset)
    axes = integers(node, "axes", opset)
    if ends is None or not (_all(starts, 0) and _all(steps, 1)):
        return None
    if _is_absent(node, "axes", opset):
        axes = list(range(len(ends)))
    shape = node.inputs[0].shape
    if shape is None or axes is None:
        return _first_if(all(end >= FAR for end in ends), node)
    reach = [end >= FAR or _reaches(end, shape[axis]) for end, axis in zip(ends, axes, strict=True)]
    return _first_if(all(reach), node)


def _reaches(end: int, dim: Any) -> bool:
    return isinstance(dim, int) and end >= dim


@_rule("Pad")
def _pad(node: Node, opset: int) -> Tensor | None:
    return _first_if(_all(integers(node, "pads", opset), 0), node)


@_rule("Tile")
def _tile(node: Node, opset: int) -> Tensor | None:
    return _first_if(opset >= 6 and _all(integers(node, "repeats", opset), 1), node)


@_rule("Resize", "Upsample")
def _resize(node: Node, opset: int) -> Tensor | None:
    scales, attrs = schema.attribute(node, "scales", opset), node.attrs
    exact = attrs.get("mode", "nearest") != "cubic"
    exact = exact and attrs.get("coordinate_transformation_mode") != "tf_crop_and_resize"
    return _first_if(exact and isinstance(scales, list) and bool(scales) and _all(scales, 1), node)


@_rule("DepthToSpace", "SpaceToDepth")
def _blocks(node: Node, opset: int) -> Tensor | None:
    return _first_if(node.attrs.get("blocksize") == 1, node)


# ------------------------------------------------------------------------------------------------------ values


@_rule("Concat", "Sum", "Mean", "Max", "Min")
def _of_one(node: Node, opset: int) -> Tensor | None:
    return _first_if(len(node.inputs) == 1, node)


@_rule("Split")
def _in_one(node: Node, opset: int) -> Tensor | None:
    return _first_if(len(node.outputs) == 1, node)


@_rule("Clip")
def _clip(node: Node, opset: int) -> Tensor | None:
    dtype = node.inputs[0].dtype  # of floats it makes the largest finite ones of infinities
    integral = dtype is not None and np.dtype(dtype).kind in "iu"
    return _first_if(opset >= 11 and integral and not any(bound.name for bound in node.inputs[1:]), node)


@_rule("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")
def _reduce(node: Node, opset: int) -> Tensor | None:
    nothing = node.attrs.get("noop_with_empty_axes") == 1
    return _first_if(nothing and (_is_absent(node, "axes", opset) or integers(node, "axes", opset) == []), node)


@_rule("Not", "Neg")
def _twice(node: Node, opset: int) -> Tensor | None:
    inner = maker(node.inputs[0], node.op)
    return None if inner is None else inner.inputs[0]


@_rule(*IDEMPOTENT)
def _again(node: Node, opset: int) -> Tensor | None:
    return _first_if(maker(node.inputs[0], node.op) is not None, node)


@_rule(*_NEUTRAL)
def _with_neutral(node: Node, opset: int) -> Tensor | None:
    if opset < 7 or len(node.inputs) != 2:  # broadcasting was an attribute
        return None
    left, right = node.inputs
    if _is_neutral(right, left, node.op):
        return left
    return right if node.op in COMMUTATIVE and _is_neutral(left, right, node.op) else None


def _is_neutral(constant: Tensor, other: Tensor, op: str) -> bool:
    """Whether `constant` is 0 or 1, as `op` needs it to leave `other` as it is, and does not widen its shape."""
    if not isinstance(constant, Constant) and maker(constant, "Constant") is None:
        return False
    if isinstance(constant, Constant) and not _widens(constant.shape, other):
        return False
    values = schema.constant_of(constant)
    if values is None or values.dtype == object or not values.size or not _widens(values.shape, other):
        return False
    if op == "Pow" and (values.dtype.kind != "f" or other.dtype != values.dtype):  # integers go through double
        return False
    wanted = _NEUTRAL[op]
    same = bool(values.flat[0] == wanted) and bool((values == wanted).all())
    if same and op in ("Add", "Sub") and values.dtype.kind not in "biu":
        signs = np.signbit(values)  # x + 0.0 and x - -0.0 make 0.0 of -0.0
        same = bool(signs.all() if op == "Add" else not signs.any())
    if isinstance(constant, Constant) and isinstance(constant.lazy, Value):
        constant.lazy.release()
    return same


REMOVABLE = frozenset(_RULES)
"""The operators of which a node may hand its input on."""
