"""Operators that changed their meaning, or the values they take."""

from __future__ import annotations

import numpy as np

from regraft.ops.traits import REDUCTIONS, SOFTMAXES
from regraft.opset.adapter_context import Site
from regraft.opset.table import down, up

_TAKE_AN_AXIS = ("ArgMax", "ArgMin", "Compress", "Concat", "Flatten", "Gather", "Split", *SOFTMAXES)
_TAKE_AXES = ("Squeeze", "Unsqueeze", *REDUCTIONS)


@down(*_TAKE_AN_AXIS, *_TAKE_AXES, at=11)
def count_axes_from_the_front(site: Site) -> None:
    """Negative axes came with opset 11."""
    axis, axes, data = site.node.attrs.get("axis"), site.node.attrs.get("axes"), site.node.inputs[0]
    if isinstance(axis, int) and axis < 0:
        site.node.attrs["axis"] = axis + site.rank(data)
    if isinstance(axes, list) and min(axes, default=0) < 0:
        rank = site.rank(data) + (len(axes) if site.node.op == "Unsqueeze" else 0)
        site.node.attrs["axes"] = [a % rank for a in axes]


@down("Max", "Min", at=12)
def choose_integers(site: Site) -> None:
    """Below 12 they are for floats only."""
    best, end = site.node.inputs[0], site.node.outputs[0]
    dtype = site.types.dtype(end)
    if dtype is None or dtype.kind not in "iu" or len(site.node.inputs) < 2:
        return
    site.kept = False
    for other in site.node.inputs[1:]:
        wins = site.add("Greater" if site.node.op == "Max" else "Less", [best, other], dtype=bool)
        last = other is site.node.inputs[-1]
        best = site.add("Where", [wins, best, other], to=end if last else None, dtype=dtype)


@down("Gemm", at=11)
def add_zero(site: Site) -> None:
    if site.input(2) is None:
        site.put_input(2, site.constant(0, "zero", site.dtype(site.node.inputs[0])))


@down("Pow", at=12)
def cast_exponent(site: Site) -> None:
    base, exponent = site.node.inputs
    dtype = site.dtype(base)
    if site.dtype(exponent) != dtype:
        site.node.inputs[1] = site.add("Cast", [exponent], {"to": site.code(dtype)}, dtype=dtype)


@down("Mod", at=28)
def refuse_the_sign_of_the_divisor(site: Site) -> None:
    """Below 28 floats have the remainder with the sign of the dividend only."""
    if not site.node.attrs.get("fmod", 0) and site.dtype(site.node.inputs[0]).kind not in "iu":
        site.refuse("fmod=0 of floats")


@down("Reshape", at=14)
def read_zeros_as_copies(site: Site) -> None:
    """`allowzero` matters to empty tensors only: another has no zero in its shape."""
    if not site.attr("allowzero"):
        site.node.attrs.pop("allowzero", None)
        return
    target, shape = site.value(site.node.inputs[1]), site.types.shape(site.node.inputs[0])
    del site.node.attrs["allowzero"]
    if target is not None and not (target == 0).any():
        return
    if target is not None or (shape is not None and 0 in shape):
        site.refuse("allowzero=1 with a zero in its shape")
    if shape is None or not all(isinstance(d, int) for d in shape):
        site.note("reshapes to a computed shape; a zero in it would now copy a dimension")


@down("Shape", at=15)
def slice_shape(site: Site) -> None:
    start, end = int(site.attr("start")), site.attr("end")
    for name in ("start", "end"):
        site.node.attrs.pop(name, None)
    if start == 0 and end is None:
        return
    whole, part = site.value_like(site.node.outputs[0], "shape"), site.node.outputs[0]
    whole.shape = [site.types.rank(site.node.inputs[0])]
    site.node.outputs[0] = whole
    last = np.iinfo(np.int64).max if end is None else int(end)
    bounds = [site.ints([value], name) for value, name in ((start, "start"), (last, "end"), (0, "axis"))]
    site.add("Slice", [whole, *bounds], to=part)


@up("RoiAlign", at=16)
def name_half_pixel(site: Site) -> None:
    site.node.attrs["coordinate_transformation_mode"] = "output_half_pixel"


@down("RoiAlign", at=16)
def need_output_half_pixel(site: Site) -> None:
    if site.attr("coordinate_transformation_mode") != "output_half_pixel":
        site.refuse("coordinate_transformation_mode=half_pixel")
    site.node.attrs.pop("coordinate_transformation_mode", None)


_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@up("GridSample", at=20)
def rename_grid_mode(site: Site) -> None:
    mode = site.attr("mode")
    site.node.attrs["mode"] = _GRID_MODES.get(mode, mode)


@down("GridSample", at=20)
def name_grid_mode(site: Site) -> None:
    if site.rank(site.node.inputs[0]) != 4:
        site.refuse("it samples volumes")
    mode = site.attr("mode")
    site.node.attrs["mode"] = {new: old for old, new in _GRID_MODES.items()}.get(mode, mode)


@up("GroupNormalization", at=21)
def scale_each_channel(site: Site) -> None:
    """Up to 20 scale and bias are one a group."""
    data, groups = site.node.inputs[0], int(site.attr("num_groups"))
    sizes = site.add("Shape", [data], dtype=np.int64)
    channels = site.add("Gather", [sizes, site.ints([1], "one")], dtype=np.int64, shape=[1])
    members = site.add("Div", [channels, site.ints([groups], "groups")], dtype=np.int64, shape=[1])
    repeats = site.add("Concat", [site.ints([1], "one"), members], {"axis": 0}, dtype=np.int64, shape=[2])
    for index in (1, 2):
        given = site.node.inputs[index]
        dtype = site.types.dtype(given)
        column = site.add("Reshape", [given, site.ints([-1, 1], "column")], dtype=dtype, shape=[groups, 1])
        table = site.add("Expand", [column, repeats], dtype=dtype, shape=[groups, None])
        site.node.inputs[index] = site.add("Reshape", [table, site.ints([-1], "flat")], dtype=dtype, shape=[None])


@down("GroupNormalization", at=21)
def expand_group_normalization(site: Site) -> None:
    site.refuse("scale and bias are one a channel")


@down("ArgMax", "ArgMin", at=12)
def find_last_index(site: Site) -> None:
    """The last index is the first one from behind."""
    if not site.attr("select_last_index"):
        site.node.attrs.pop("select_last_index", None)
        return
    del site.node.attrs["select_last_index"]
    data, end, axis = site.node.inputs[0], site.node.outputs[0], int(site.attr("axis"))
    lowest = int(np.iinfo(np.int64).min)
    bounds = [site.ints([v], n) for v, n in ((-1, "start"), (lowest, "end"), (axis, "axis"), (-1, "step"))]
    site.node.inputs[0] = site.add("Slice", [data, *bounds], like=data)
    site.node.outputs[0] = site.value_like(end, "index")
    sizes = site.add("Shape", [data], dtype=np.int64)
    size = site.add("Gather", [sizes, site.ints(axis, "axis")], dtype=np.int64, shape=[])
    last = site.add("Sub", [size, site.ints(1, "one")], dtype=np.int64, shape=[])
    site.add("Sub", [last, site.node.outputs[0]], to=end)


@up("Scatter", at=11)
def become_scatter_elements(site: Site) -> None:
    site.node.op = "ScatterElements"
