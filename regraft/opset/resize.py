"""Upsample, and Resize in its forms of opset 10, 11, 13 and 18."""

from __future__ import annotations

import numpy as np

from regraft.opset.adapter_context import Site
from regraft.opset.attributes import known, to_input
from regraft.opset.table import down, up


@up("Upsample", at=9)
def scales_to_input(site: Site) -> None:
    to_input(site, "scales", 1, np.float32, listed=False)


@up("Upsample", at=10)
def become_resize(site: Site) -> None:
    site.node.op = "Resize"


@down("Resize", at=10)
def become_upsample(site: Site) -> None:
    if (known(site, site.node.inputs[1], "scales") < 1).any():
        site.refuse("it makes its input smaller")
    site.node.op = "Upsample"


@up("Resize", at=11)
def name_coordinates(site: Site) -> None:
    """Opset 10 leaves the rounding open; ONNX Runtime rounds down while enlarging, and up while shrinking."""
    data, scales = site.node.inputs
    site.node.attrs["coordinate_transformation_mode"] = "asymmetric"
    if site.attr("mode") == "nearest" and site.node.born == "Upsample":
        site.node.attrs["nearest_mode"] = "floor"
    elif site.attr("mode") == "nearest":
        values = known(site, scales, "scales")
        shrinks = (values < 1).any()
        if shrinks and (values > 1).any():
            site.refuse("it enlarges one axis and shrinks another")
        site.node.attrs["nearest_mode"] = "ceil" if shrinks else "floor"
    site.node.inputs = [data, site.constant([], "roi", np.float32), scales]


@down("Resize", at=11)
def leave_coordinates_out(site: Site) -> None:
    data, scales = site.node.inputs[0], site.input(2)
    if scales is None or site.input(3) is not None:
        site.refuse("it is given sizes")
    if site.attr("coordinate_transformation_mode") != "asymmetric" or site.attr("exclude_outside"):
        site.refuse(f"coordinate_transformation_mode={site.attr('coordinate_transformation_mode')}")
    values = known(site, scales, "scales")
    rounding = "ceil" if (values < 1).any() else "floor"
    mode = site.attr("mode")
    if mode == "cubic" or (mode == "nearest" and site.attr("nearest_mode") != rounding):
        site.refuse(f"mode={mode}, nearest_mode={site.attr('nearest_mode')}")
    site.node.inputs, site.node.attrs = [data, scales], {"mode": mode}


_HALF_PIXEL = {"floor": "round_prefer_ceil", "round_prefer_floor": "ceil"}
"""The `nearest_mode` of half_pixel for each of tf_half_pixel_for_nn, whose coordinates are larger by 0.5."""


@up("Resize", at=13)
def replace_dropped_mode(site: Site) -> None:
    if site.attr("coordinate_transformation_mode") == "tf_half_pixel_for_nn":
        mode, rounding = site.attr("mode"), site.attr("nearest_mode")
        if mode != "nearest" or rounding not in _HALF_PIXEL:
            site.refuse(f"coordinate_transformation_mode=tf_half_pixel_for_nn, mode={mode}, nearest_mode={rounding}")
        site.node.attrs["coordinate_transformation_mode"] = "half_pixel"
        site.node.attrs["nearest_mode"] = _HALF_PIXEL[rounding]
    for index in (1, 2):
        tensor = site.input(index)
        if tensor is not None and site.types.shape(tensor) == [0]:
            site.drop_input(index)


@down("Resize", at=13)
def fill_left_out_inputs(site: Site) -> None:
    for index, name in ((1, "roi"), (2, "scales")):
        if site.input(index) is None:
            site.put_input(index, site.constant([], name, np.float32))


@down("Resize", at=18)
def resize_all_axes(site: Site) -> None:
    if site.attr("antialias") or site.attr("keep_aspect_ratio_policy") not in ("stretch", None):
        site.refuse("antialias and keep_aspect_ratio_policy came with opset 18")
    axes = site.node.attrs.pop("axes", None)
    for name in ("antialias", "keep_aspect_ratio_policy"):
        site.node.attrs.pop(name, None)
    if axes is None:
        return
    shape = site.types.shape(site.node.inputs[0])
    if shape is None:
        site.refuse("axes, of an input whose rank is not known")
    _spread(site, 2, "scales", np.ones(len(shape), np.float32), axes)
    roi = np.concatenate([np.zeros(len(shape)), np.ones(len(shape))]).astype(np.float32)
    _spread(site, 1, "roi", roi, [*axes, *(a + len(shape) if a >= 0 else a for a in axes)])
    if site.input(3) is not None:
        if not all(isinstance(d, int) for i, d in enumerate(shape) if i not in [a % len(shape) for a in axes]):
            site.refuse("axes and sizes, of an input whose shape is not known")
        _spread(site, 3, "sizes", np.array([d if isinstance(d, int) else 0 for d in shape], np.int64), axes)


def _spread(site: Site, index: int, name: str, full: np.ndarray, axes: list[int]) -> None:
    given = site.input(index)
    if given is not None:
        full[axes] = known(site, given, name)
        site.put_input(index, site.constant(full, name))
