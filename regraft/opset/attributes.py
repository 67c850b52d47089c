"""Operators whose attributes became inputs: axes, split, pads, the bounds of Clip, the k of TopK."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.ir.graph import Constant, Tensor
from regraft.ops import traits
from regraft.opset.adapter_context import AttributeRef, Site
from regraft.opset.table import down, up
from regraft.refusal import PassRef

BUT_SUM = traits.REDUCTIONS - {"ReduceSum"}
"""Reductions that took axes as an input later than ReduceSum."""


def to_input(site: Site, name: str, index: int, dtype: Any = np.int64, listed: bool = True) -> None:
    """Make the attribute `name` input `index`; an attribute that is left out leaves the input out."""
    raw = site.node.attrs.pop(name, None)
    if isinstance(raw, AttributeRef):
        if not listed or site.version < 12:
            site.refuse(f"{name} is an attribute of the function around it, and would become an input")
        site.put_input(index, site.add("Constant", [], {"value_ints": raw}, dtype=np.int64))
    elif raw is not None:
        site.put_input(index, site.constant(raw, name, dtype))


def to_attribute(site: Site, name: str, index: int) -> None:
    """Make the constant input `index` the attribute `name`."""
    tensor = site.input(index)
    if tensor is None:
        return
    reference = _reference(tensor)
    site.node.attrs[name] = reference if reference is not None else known(site, tensor, name).tolist()
    site.drop_input(index)


def known(site: Site, tensor: Tensor, name: str) -> np.ndarray:
    """The value of an input that becomes an attribute."""
    value = site.value(tensor)
    if value is None:
        fold = PassRef("fold-constants")
        site.refuse(f"its {name} '{tensor.name}' is no constant, and must be an attribute; {fold} may help", fold)
    return value


def _reference(tensor: Tensor) -> AttributeRef | None:
    producer = tensor.producer
    if producer is None or producer.op != "Constant" or producer.domain:
        return None
    return next((v for v in producer.attrs.values() if isinstance(v, AttributeRef)), None)


@up("Squeeze", "Unsqueeze", at=13)
@up(*BUT_SUM, at=18)
@up("ReduceSum", at=13)
def axes_to_input(site: Site) -> None:
    if site.node.attrs.get("axes") == []:  # reduces all, as no axes do
        del site.node.attrs["axes"]
    to_input(site, "axes", 1)


@down("Squeeze", "Unsqueeze", at=13)
def axes_to_attribute(site: Site) -> None:
    to_attribute(site, "axes", 1)


@down(*BUT_SUM, at=18)
@down("ReduceSum", at=13)
def reduction_axes_to_attribute(site: Site) -> None:
    axes = site.input(1)
    nothing = axes is None or site.types.shape(axes) == [0]
    if site.attr("noop_with_empty_axes") and nothing:
        if site.node.op not in traits.KEEPS_ONE:
            site.refuse("noop_with_empty_axes without axes")
        site.becomes("Identity", site.node.inputs[:1])
        return
    site.node.attrs.pop("noop_with_empty_axes", None)
    if nothing:
        site.drop_input(1)
    to_attribute(site, "axes", 1)


@up("TopK", at=10)
def k_to_input(site: Site) -> None:
    if not isinstance(site.attr("k"), int):
        site.refuse("k is missing")
    site.put_input(1, site.ints([site.node.attrs.pop("k")], "k"))


@down("TopK", at=10)
def k_to_attribute(site: Site) -> None:
    to_attribute(site, "k", 1)
    k = site.node.attrs["k"]
    site.node.attrs["k"] = k[0] if isinstance(k, list) else k


@up("Slice", at=10)
def slice_to_inputs(site: Site) -> None:
    for index, name in enumerate(("starts", "ends", "axes"), 1):
        to_input(site, name, index)


@down("Slice", at=10)
def slice_to_attributes(site: Site) -> None:
    steps = site.input(4)
    if steps is not None and (known(site, steps, "steps") != 1).any():
        site.refuse("it has steps")
    site.drop_input(4)
    for index, name in ((3, "axes"), (2, "ends"), (1, "starts")):
        to_attribute(site, name, index)


@up("Split", at=13)
def split_to_input(site: Site) -> None:
    to_input(site, "split", 1)


@down("Split", at=13)
def split_to_attribute(site: Site) -> None:
    to_attribute(site, "split", 1)


@up("Split", at=18)
def count_outputs(site: Site) -> None:
    if site.input(1) is None:
        site.node.attrs["num_outputs"] = len(site.node.outputs)


@down("Split", at=18)
def measure_outputs(site: Site) -> None:
    count = site.node.attrs.pop("num_outputs", None)
    if count is None:
        return
    data, axis = site.node.inputs[0], int(site.attr("axis"))
    shape = site.types.shape(data)
    size = shape[axis] if shape is not None else None
    if isinstance(size, int):
        if size % count:
            chunk = -(-size // count)
            site.put_input(1, site.ints([max(0, min(chunk, size - chunk * i)) for i in range(count)], "split"))
        return
    whole = site.add("Shape", [data], dtype=np.int64)
    size_1d = site.add("Gather", [whole, site.ints([axis], "axis")], dtype=np.int64, shape=[1])
    padded = site.add("Add", [size_1d, site.ints([count - 1], "pad")], dtype=np.int64, shape=[1])
    chunk_1d = site.add("Div", [padded, site.ints([count], "count")], dtype=np.int64, shape=[1])
    others = site.add("Mul", [chunk_1d, site.ints([count - 1], "count")], dtype=np.int64, shape=[1])
    last = site.add("Sub", [size_1d, others], dtype=np.int64, shape=[1])
    sizes = site.add("Concat", [*[chunk_1d] * (count - 1), last], {"axis": 0}, dtype=np.int64, shape=[count])
    site.put_input(1, sizes)


@up("Clip", at=11)
def bounds_to_inputs(site: Site) -> None:
    for index, name in ((1, "min"), (2, "max")):
        if name in site.node.attrs:
            to_input(site, name, index, site.dtype(site.node.inputs[0]), listed=False)


@down("Clip", at=11)
def bounds_to_attributes(site: Site) -> None:
    data = site.node.inputs[0]
    bounds = {name: site.input(index) for index, name in ((1, "min"), (2, "max"))}
    if all(b is None or site.value(b) is not None for b in bounds.values()):
        for name, bound in bounds.items():
            if bound is not None:
                site.node.attrs[name] = float(known(site, bound, name).reshape(()))
        del site.node.inputs[1:]
        return
    (low, high), end = bounds.values(), site.node.outputs[0]
    site.kept = False
    if low is not None:
        data = site.add("Max", [data, low], to=None if high is not None else end, like=data)
    if high is not None:
        site.add("Min", [data, high], to=end)


@down("Clip", at=12)
def clip_integers(site: Site) -> None:
    data, end = site.node.inputs[0], site.node.outputs[0]
    dtype = site.types.dtype(data)
    bounds = [(op, site.input(i)) for i, op in ((1, "Less"), (2, "Greater"))]
    present = [(op, bound) for op, bound in bounds if bound is not None]
    if dtype is None or dtype.kind not in "iu" or not present:
        return
    site.kept = False
    for i, (op, bound) in enumerate(present, 1):
        outside = site.add(op, [data, bound], dtype=bool)
        data = site.add("Where", [outside, bound, data], to=end if i == len(present) else None, like=data)


@up("Pad", at=11)
def pads_to_inputs(site: Site) -> None:
    to_input(site, "pads", 1)
    if site.node.attrs.get("value") == 0:
        del site.node.attrs["value"]
    if "value" in site.node.attrs:
        to_input(site, "value", 2, site.dtype(site.node.inputs[0]), listed=False)


@down("Pad", at=11)
def pads_to_attributes(site: Site) -> None:
    to_attribute(site, "value", 2)
    value = site.node.attrs.get("value")
    if isinstance(value, list):
        site.node.attrs["value"] = value[0]
    to_attribute(site, "pads", 1)


@down("Pad", at=18)
def pad_all_axes(site: Site) -> None:
    axes = site.input(3)
    if axes is None:
        return
    rank, pads = site.rank(site.node.inputs[0]), known(site, site.node.inputs[1], "pads")
    full = np.zeros((2, rank), np.int64)
    full[:, [int(a) for a in known(site, axes, "axes")]] = pads.reshape(2, -1)
    site.put_input(1, site.ints(full.reshape(-1).tolist(), "pads"))
    site.drop_input(3)


@up("DFT", at=20)
def dft_axis_to_input(site: Site) -> None:
    site.node.attrs["axis"] = site.attr("axis")
    to_input(site, "axis", 2, listed=False)


@down("DFT", at=20)
def dft_axis_to_attribute(site: Site) -> None:
    axis = site.input(2)
    value = -2 if axis is None else int(known(site, axis, "axis").reshape(()))
    site.node.attrs["axis"] = value if value >= 0 else value + site.rank(site.node.inputs[0])
    site.drop_input(2)


@down("Constant", at=12)
def constant_to_tensor(site: Site) -> None:
    kinds: dict[str, Any] = {"int": np.int64, "float": np.float32, "string": object}
    for name in [n for n in site.node.attrs if n.startswith("value_")]:
        value = site.attr(name)
        del site.node.attrs[name]
        dtype = kinds[name.removeprefix("value_").removesuffix("s")]
        site.node.attrs["value"] = Constant(name, np.array(value, dtype))
