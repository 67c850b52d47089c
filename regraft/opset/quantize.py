"""QuantizeLinear and DequantizeLinear, and the casts to 8-bit floats."""

from __future__ import annotations

import numpy as np

from regraft.ir.weights import dtype_from_onnx
from regraft.opset.adapter_context import Site
from regraft.opset.table import down


@down("QuantizeLinear", "DequantizeLinear", at=13)
def need_one_scale(site: Site) -> None:
    shape = site.types.shape(site.node.inputs[1])
    if shape is None or any(d != 1 for d in shape):
        site.refuse("a scale for each channel")
    site.node.attrs.pop("axis", None)


@down("QuantizeLinear", at=21)
def dtype_to_zero_point(site: Site) -> None:
    code = site.node.attrs.pop("output_dtype", 0)
    if site.attr("block_size"):
        site.refuse("block_size")
    site.node.attrs.pop("block_size", None)
    if code and site.input(2) is None:
        shape = site.types.shape(site.node.inputs[1])
        if shape is None or not all(isinstance(d, int) for d in shape):
            site.refuse("output_dtype without a zero point, and a scale of unknown shape")
        zeros = np.zeros([d for d in shape if isinstance(d, int)])
        site.put_input(2, site.constant(zeros, "zero", dtype_from_onnx(code)))


@down("DequantizeLinear", at=23)
def drop_output_dtype(site: Site) -> None:
    code = site.node.attrs.pop("output_dtype", 0)
    if code and dtype_from_onnx(code) != site.dtype(site.node.inputs[1]):
        site.refuse("output_dtype is not that of the scale")


@down("Cast", "CastLike", at=19)
def drop_saturate(site: Site) -> None:
    """`saturate` matters to casts to 8-bit floats only, which are refused for their dtype."""
    site.node.attrs.pop("saturate", None)


@down("Cast", "CastLike", at=24)
def drop_round_mode(site: Site) -> None:
    """`round_mode` matters to casts to float8e8m0 only, which are refused for their dtype."""
    site.node.attrs.pop("round_mode", None)
