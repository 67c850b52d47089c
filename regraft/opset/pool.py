"""Pooling with `ceil_mode`: from opset 22 on no window starts on the padding behind the input."""

from __future__ import annotations

from regraft.opset.adapter_context import Site
from regraft.opset.table import down, up


@up("AveragePool", "LpPool", "MaxPool", at=22)
@down("AveragePool", "LpPool", "MaxPool", at=22)
def refuse_window_on_padding(site: Site) -> None:
    shape, kernel = site.types.shape(site.node.inputs[0]), site.attr("kernel_shape")
    if not site.attr("ceil_mode") or site.attr("auto_pad") not in (None, "NOTSET"):
        return
    ones = [1] * len(kernel)
    strides, dilations = site.attr("strides", ones), site.attr("dilations", ones)
    pads = site.attr("pads", [0] * 2 * len(kernel))
    for i, size in enumerate((shape or [])[2:]):
        if isinstance(size, int):
            beyond = size + pads[i] + pads[i + len(kernel)] - dilations[i] * (kernel[i] - 1) - 1
            last = -(-beyond // strides[i]) * strides[i]
            if last >= size + pads[i]:
                site.refuse("its last window starts on the padding, and counts in one of the opsets only")
