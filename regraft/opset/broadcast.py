"""Operators of opset 6, which broadcast by attributes."""

from __future__ import annotations

from regraft.opset.adapter_context import Site
from regraft.opset.table import up

ARITHMETIC = ("Add", "And", "Div", "Equal", "Gemm", "Greater", "Less", "Mul", "Or", "Pow", "PRelu", "Sub", "Xor")


@up(*ARITHMETIC, at=7)
def broadcast_by_shape(site: Site) -> None:
    """From opset 7 on shapes are aligned at their ends; `axis` said where the second one begins."""
    axis, broadcast = site.node.attrs.pop("axis", None), site.node.attrs.pop("broadcast", 0)
    if axis is None or not broadcast:
        return
    first, second = site.node.inputs
    places = site.rank(first) - axis % site.rank(first) - site.rank(second)
    if places > 0:
        sizes = [*([0] * site.rank(second)), *([1] * places)]
        shape = [*(site.types.shape(second) or []), *([1] * places)]
        dtype = site.types.dtype(second)
        site.node.inputs[1] = site.add("Reshape", [second, site.ints(sizes, "shape")], dtype=dtype, shape=shape)


@up("BatchNormalization", "Dropout", at=7)
def drop_is_test(site: Site) -> None:
    if not site.attr("is_test"):
        site.refuse("is_test=0, which is training")
    site.node.attrs.pop("is_test", None)


@up("GRU", "LSTM", "RNN", at=7)
def drop_output_sequence(site: Site) -> None:
    site.node.attrs.pop("output_sequence", None)
