"""How far a quantized model is from itself, by which kernels compute it.

Kernels for 8 bits round at other places than those for floats, and on processors without VNNI their products of
unsigned and signed numbers saturate in 16 bits. No compiler can be held to less than ONNX Runtime keeps to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.ir.model import Model
from regraft.ops.traits import QUANTIZED_PRODUCTS
from regraft.verification.deviation import leaves
from regraft.verification.runtime import Session

QUANTIZED = QUANTIZED_PRODUCTS | {"DynamicQuantizeLinear", "QuantizeLinear"}
"""Operators by which a model computes in 8 bits."""

_TIMES = 3.0  # the noise that was seen on one set of inputs, on others


def kernel_noise(model: Model, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, float]:
    """For each output what it may be off by for the kernels alone; empty for a model that does not compute in 8 bits.

    Args:
        outputs: of the model on `inputs`, without ONNX Runtime's optimisations.
    """
    if not any(node.op in QUANTIZED for node in model.nodes()):
        return {}
    try:
        found = dict(leaves(Session(model, optimize=True).run(inputs)))
    except RegraftError:  # a model that only runs as it is has no other kernels
        return {}
    noise = {}
    for name, value in leaves(outputs):
        wanted, other = np.asarray(value), np.asarray(found.get(name))
        if wanted.dtype.kind == "f" and wanted.shape == other.shape:
            off = np.abs(wanted.astype(np.float64) - other.astype(np.float64))
            noise[name] = _TIMES * float(np.max(off, where=np.isfinite(off), initial=0.0))
    return noise
