"""BatchNormalization and Dropout, whose ways of telling training from inference changed."""

from __future__ import annotations

import numpy as np

from regraft.ir.graph import Variable
from regraft.opset.adapter_context import Site
from regraft.opset.table import down, up
from regraft.refusal import PassRef

STRIP_TRAINING, STRIP_DROPOUT = PassRef("strip-training"), PassRef("strip-dropout")


@up("BatchNormalization", at=9)
def drop_spatial(site: Site) -> None:
    if not site.attr("spatial"):
        site.refuse("spatial=0, a mean for each element")
    site.node.attrs.pop("spatial", None)


@up("BatchNormalization", at=14)
def refuse_training_outputs(site: Site) -> None:
    if any(site.is_read(t) for t in site.node.outputs[1:]):
        site.refuse(f"its training outputs changed their meaning; {STRIP_TRAINING} takes them away", STRIP_TRAINING)
    del site.node.outputs[1:]


@down("BatchNormalization", at=14)
def refuse_training_mode(site: Site) -> None:
    if site.attr("training_mode"):
        site.refuse(f"training_mode=1; {STRIP_TRAINING} takes it away", STRIP_TRAINING)
    site.node.attrs.pop("training_mode", None)
    del site.node.outputs[1:]


@up("Dropout", at=10)
def cast_mask_to_data(site: Site) -> None:
    if _has_mask(site):
        mask, site.node.outputs[1] = site.node.outputs[1], Variable("mask", np.dtype(bool))
        code = site.code(site.dtype(site.node.inputs[0]))
        site.add("Cast", [site.node.outputs[1]], {"to": code}, to=mask)


@down("Dropout", at=10)
def cast_mask_to_bool(site: Site) -> None:
    if _has_mask(site):
        mask, site.node.outputs[1] = site.node.outputs[1], site.value_like(site.node.inputs[0], "mask")
        site.add("Cast", [site.node.outputs[1]], {"to": site.code(np.dtype(bool))}, to=mask)


@up("Dropout", at=12)
def ratio_to_input(site: Site) -> None:
    if _has_mask(site):
        site.refuse(f"its mask is undefined in inference; {STRIP_DROPOUT} takes it away", STRIP_DROPOUT)
    del site.node.outputs[1:]
    ratio = site.attr("ratio")
    site.node.attrs.pop("ratio", None)
    if ratio != 0.5:
        site.put_input(1, site.constant(ratio, "ratio", np.float32))


@down("Dropout", at=12)
def ratio_to_attribute(site: Site) -> None:
    """In inference Dropout forwards its input, and its mask is all true."""
    ratio, training = site.input(1), site.input(2)
    rate = site.value(ratio)
    mode = False if training is None else site.value(training)
    if (mode is None or bool(mode)) and not (rate is not None and float(rate) == 0):
        site.refuse(f"it may run in training mode; {STRIP_DROPOUT} takes it away", STRIP_DROPOUT)
    if _has_mask(site):
        sizes = site.add("Shape", [site.node.inputs[0]], dtype=np.int64)
        mask = site.node.outputs[1]
        site.add("ConstantOfShape", [sizes], {"value": site.constant([True], "value", bool)}, to=mask)
    del site.node.inputs[1:], site.node.outputs[1:]
    site.node.attrs.pop("seed", None)
    if rate is not None:
        site.node.attrs["ratio"] = float(rate)


def _has_mask(site: Site) -> bool:
    return len(site.node.outputs) > 1 and site.is_read(site.node.outputs[1])
