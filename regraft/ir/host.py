"""The part of a model that runs before it, on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regraft.ir.graph import Variable
    from regraft.ir.model import Model


@dataclass
class Host:
    """What a caller meets in place of a model whose work is partly on the host.

    Attributes:
        model: from the inputs that the model had at first, all of them, to what the device is fed.
        feeds: inputs of the device's graph, by name, to the outputs of `model` that feed them. What is not in it is
            an input of the caller's, handed on.
        outputs: those that the model had at first; the device gives them under these names, maybe in another dtype.
    """

    model: Model
    feeds: dict[str, str]
    outputs: list[Variable]
