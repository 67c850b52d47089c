"""The tensors inside a model on every trial, recorded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from regraft.ir.clone import clone
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.verification.alike import Values
from regraft.verification.runtime import Session
from regraft.verification.samples import Sample, weight

BUDGET = 2**28
"""Bytes of tensors that are kept at least, where there are as many; more where the weights take more."""

_MOST = 2**31
_SPREAD = 0.618  # of places, the share that steps of it fill evenly

Record = dict[int, list[Array]]
"""By the number of a value, its tensor on each trial."""


def record(model: Model, values: Values, samples: Sequence[Sample], threads: int = 0) -> Record:
    """The inputs of `model` and what its nodes make on each trial, but for what is the same for all inputs and for
    what is no tensor. Where they take more than the weights, the largest are left out.

    Args:
        values: those of `model`.

    Raises:
        RuntimeFailure: ONNX Runtime does not give the values inside.
    """
    watched = clone(model)
    graph = watched.graph
    made = {tensor.name: tensor for node in graph.nodes for tensor in node.outputs}
    names = [name for name in made if name and name not in values.fixed]
    ends = {tensor.name for tensor in graph.outputs}
    graph.outputs = [*graph.outputs, *(made[name] for name in names if name not in ends)]
    session = Session(watched, threads=threads)
    room = min(max(BUDGET, weight(model)), _MOST)
    found: dict[str, list[Any]] = {name: [] for name in names}
    for one in samples:
        given = session.run(one.inputs, list(found)) if found else {}
        for name in found:
            found[name].append(given[name])
        found = _within(found, room)
    for tensor in graph.inputs:
        default = None if tensor.default is None else tensor.default.values
        found[tensor.name] = [one.inputs.get(tensor.name, default) for one in samples]
    tensors = {name: arrays for name, arrays in found.items() if all(isinstance(one, np.ndarray) for one in arrays)}
    return {values.numbers[name]: arrays for name, arrays in tensors.items()}


def _within(found: dict[str, list[Any]], room: int) -> dict[str, list[Any]]:
    """Those of the values that fit in so many bytes, the smallest first; of those of one size, some from everywhere."""
    sizes = {name: sum(getattr(one, "nbytes", 0) for one in values) for name, values in found.items()}
    if sum(sizes.values()) <= room:
        return found
    kept = {}
    for name in _in_turn(sizes):
        room -= sizes[name]
        if room < 0:
            break
        kept[name] = found[name]
    return kept


def _in_turn(sizes: dict[str, int]) -> list[str]:
    """The names, the smallest first."""
    turns = {name: (size, place * _SPREAD % 1) for place, (name, size) in enumerate(sizes.items())}
    return sorted(turns, key=turns.__getitem__)
