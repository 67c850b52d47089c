"""Constants that the text of a graph cannot write: infinities, and numbers of half precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.ir.model import Model


def with_constants(model: Model, **values: Any) -> Model:
    """`model`, whose constants of these names get these values."""
    for node in model.graph.nodes:
        for tensor in node.inputs:
            if tensor.name in values:
                tensor.values = np.array(values[tensor.name], tensor.dtype)
    return model
