"""Copies of two models that can be compared value by value: functions written out, inputs of the same shapes."""

from __future__ import annotations

from collections.abc import Mapping

from regraft.ir.clone import clone
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context
from regraft.pipelines.registry import passes


def comparable(before: Model, after: Model, names: Mapping[str, str]) -> tuple[Model, Model]:
    """Copies of both models without functions; what is said of the first holds for the shapes that the second takes.

    Args:
        names: of inputs and outputs: name before to name after.
    """
    pair = clone(before), clone(after)
    first = {new: old for old, new in names.items()}
    for tensor in {*pair[1].inputs, *pair[1].outputs}:
        tensor.name = first.get(tensor.name, tensor.name)
    for model in pair:
        for side in model.sides:
            if side.functions:
                one = passes.load("inline-functions")()
                one.run(side, Context(one.name))
    old, new = pair
    given = {tensor.name: tensor for tensor in new.inputs}
    for tensor in old.inputs:
        other = given.get(tensor.name)
        if other is None or other.shape is None:
            continue
        if tensor.shape is None or len(tensor.shape) == len(other.shape):
            tensor.shape = list(other.shape)
    return pair
