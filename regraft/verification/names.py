"""Dimension names that given inputs contradict: one name, two sizes. Names are claims of the exporter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from regraft.ir.model import Model


def forget_names(model: Model, values: Mapping[str, Any]) -> list[str]:
    """Remove from the inputs and outputs of `model` the names with several sizes in `values`. Returns a line for
    each."""
    sizes: dict[str, set[int]] = {}
    for tensor in model.inputs:
        value = values.get(tensor.name)
        if isinstance(value, np.ndarray) and tensor.shape is not None and len(tensor.shape) == value.ndim:
            for dim, size in zip(tensor.shape, value.shape, strict=True):
                if isinstance(dim, str):
                    sizes.setdefault(dim, set()).add(size)
    names = {name: sorted(found) for name, found in sizes.items() if len(found) > 1}
    if names:
        for graph in (model.graph, *([model.host.model.graph] if model.host else [])):
            for tensor in (*graph.inputs, *graph.outputs):
                if tensor.shape is not None and not names.keys().isdisjoint(tensor.shape):
                    tensor.shape = [None if dim in names else dim for dim in tensor.shape]
        model.claims = True
    return [
        f"dimension '{n}' is {' and '.join(map(str, s))} in the given inputs: name dropped" for n, s in names.items()
    ]
