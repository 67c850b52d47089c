"""Copies of models to try passes on: one that a pass left as it was serves again, for copying costs as much."""

from __future__ import annotations

from collections.abc import Iterator

from regraft.files.convert import clone
from regraft.ir.graph import Tensor
from regraft.ir.model import Model


class Copies:
    """Hands out copies, and takes back the last."""

    def __init__(self) -> None:
        self._spare: tuple[Model, Model] | None = None

    def of(self, model: Model) -> Model:
        """A copy of `model`."""
        spare, self._spare = self._spare, None
        return spare[1] if spare is not None and spare[0] is model else clone(model)

    def give_back(self, copy: Model, model: Model) -> None:
        """Keep `copy` for the next who wants one of `model`, if it still is one.

        Some passes state the types that they infer, and then find nothing to change.
        """
        if says(copy) == says(model):
            self._spare = model, copy


def says(model: Model) -> list[object]:
    """All that a model says but the contents of attributes and of constants."""
    return [model.host is None, model.graph.opset, *_ends(model), *_nodes(model)]


def _ends(model: Model) -> Iterator[object]:
    for tensor in (*model.graph.inputs, *model.graph.outputs):
        yield tensor.name, *_type(tensor)


def _nodes(model: Model) -> Iterator[object]:
    for node in model.nodes():
        yield node.op, node.name, [*node.attrs], [t.name for t in node.inputs]
        yield [(t.name, *_type(t)) for t in node.outputs]


def _type(tensor: Tensor) -> tuple[object, object]:
    return tensor.dtype, None if tensor.shape is None else tuple(tensor.shape)
