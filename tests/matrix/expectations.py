"""What a transform must find in an artifact: how many places, or why none.

They follow from the architecture and the exporter, not from what the passes say of themselves: a pass that does
nothing where there is something to do fails its cell, and so does one that changes what it should leave.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from regraft.ir import schema
from regraft.ir.model import Model
from tests.matrix.artifacts import Artifact
from tests.matrix.measures import PRODUCTS, indices, operators

Expected = int | str
"""Places to change; or why there is none, empty where the pass must say it."""
Expects = Callable[[Artifact, Model], Expected]
"""From an artifact and its prepared model."""

COMPUTED = ("ids", "lengths", "causal")
"""Masks that the graph makes."""

NO_GELU = "ReLU, no GELU"
NO_LAYER_NORM = "RMS normalization, which takes no mean away"
NO_MASK = "the caller gives no mask"
NO_WORDS = "images have no word embeddings"


def gelus(artifact: Artifact, model: Model) -> Expected:
    if not artifact.gelus:
        return NO_GELU
    return artifact.gelus - operators(model)["Gelu"] or "Gelu is one operator already"


def fused_gelus(artifact: Artifact, _: Model) -> Expected:
    return artifact.gelus or NO_GELU


def layer_norms(artifact: Artifact, model: Model) -> Expected:
    if not artifact.layer_norms:
        return NO_LAYER_NORM
    return artifact.layer_norms - operators(model)["LayerNormalization"] or "LayerNormalization is one operator already"


def fused_layer_norms(artifact: Artifact, _: Model) -> Expected:
    return artifact.layer_norms or NO_LAYER_NORM


def gemms(artifact: Artifact, _: Model) -> Expected:
    return artifact.gemms or "no Gemm to recover"


def divisions(_: Artifact, model: Model) -> Expected:
    """Those of floats by a constant."""
    divisors = [node.inputs[1] for node in model.graph.nodes if node.op == "Div"]
    values = [value for tensor in divisors if (value := schema.constant_of(tensor)) is not None]
    return sum(value.dtype.kind == "f" for value in values) or "no division by a constant"


def finite_wheres(artifact: Artifact, model: Model) -> Expected:
    infinite = 2 * artifact.attentions if is_written_out(artifact, model) else artifact.infinite
    return operators(model)["Where"] - infinite or "no Where but those that may choose an infinity"


def is_written_out(artifact: Artifact, model: Model) -> bool:
    """Whether the Attention operators went with the opset that has them: each has a guard and a choice of -inf then."""
    return artifact.attention == "op" and not operators(model)["Attention"]


def comparisons(_: Artifact, model: Model) -> Expected:
    found = operators(model)
    return found["LessOrEqual"] + found["GreaterOrEqual"] or "no LessOrEqual or GreaterOrEqual"


def simplifications(artifact: Artifact, model: Model) -> Expected:
    """Guards against NaN behind masks of finite numbers, truths, and Expands.

    TorchScript's masks of sdpa hold infinities. GreaterOrEqual and LessOrEqual, which opset 11 lacks, are no truths
    when they are written out. What only an Attention operator reads is no mask to the pass.
    """
    guards = artifact.attentions if artifact.attention == "sdpa" and artifact.exporter == "dynamo" else 0
    truths = artifact.truths + is_written_out(artifact, model)
    truths -= truths == 2 and model.opset < 12
    return guards + truths + artifact.expands or "nothing in the mask is redundant"


def whole_masks(artifact: Artifact, _: Model) -> Expected:
    """PyTorch maps `mask[batch, place]` over all of them: as a GatherND, or as a Gather from the flattened mask."""
    return 1 if artifact.exporter and artifact.mask == "ids" else "no mask that is looked up element by element"


def fills(artifact: Artifact, model: Model) -> Expected:
    if is_written_out(artifact, model):
        return artifact.attentions
    if artifact.fills:
        return artifact.fills
    if artifact.mask == "bias":
        return "the caller gives the bias"
    if artifact.mask == "none":
        return NO_MASK
    return "the mask is one of booleans" if artifact.attention == "op" else "it hides with -10000 already"


def positions(artifact: Artifact, _: Model) -> Expected:
    if artifact.positions in ("counts", "constant"):
        return 1
    return {
        "input": "position_ids is an input already",
        "relative": "relative positions: a bias of the scores, no embedding",
        "patches": "positions of patches, which no ids select",
    }[artifact.positions]


def embeddings(artifact: Artifact, _: Model) -> Expected:
    return int(artifact.embeddings) or NO_WORDS


def masks(artifact: Artifact, _: Model) -> Expected:
    if artifact.mask in COMPUTED:
        return 1
    return NO_MASK if artifact.mask == "none" else "the mask is an additive input already"


def inputs_of_host(artifact: Artifact, _: Model) -> Expected:
    """Hidden states and mask."""
    return artifact.embeddings + (artifact.mask in COMPUTED) or "neither words nor a mask of the caller's"


def gates(artifact: Artifact, _: Model) -> Expected:
    return 1 if artifact.mask == "lengths" else "no layer's result is masked"


def attentions(artifact: Artifact, _: Model) -> Expected:
    return "a Dropout in training mode stands inside" if artifact.dropouts else artifact.attentions


def scales(artifact: Artifact, model: Model) -> Expected:
    if operators(model)["Attention"]:
        return "Attention scales by itself"
    return artifact.attentions if artifact.scaled else "the scores are not scaled"


def layers(artifact: Artifact, _: Model) -> Expected:
    return artifact.attentions


def bfloat16_came_later(model: Model) -> str:
    return f"opset {model.opset} has no bfloat16" if model.opset < 13 else ""


def products(_: Artifact, model: Model) -> Expected:
    return sum(operators(model)[op] for op in PRODUCTS)


def brain_products(artifact: Artifact, model: Model) -> Expected:
    """Those that take bfloat16 in the model's opset."""
    since = {"MatMul": 13, "Gemm": 13, "Conv": 22, "Attention": 23}
    found = operators(model)
    return sum(found[op] for op in PRODUCTS if since[op] <= model.opset) or "no operator of bfloat16 before opset 13"


def lookups(artifact: Artifact, model: Model) -> Expected:
    """Rows of a table that 64-bit integers choose, where their range is known."""
    return indices(model).count(np.dtype(np.int64)) - artifact.wide or "nothing is looked up by 64-bit integers"
