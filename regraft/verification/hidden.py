"""Elements without meaning: an encoder's outputs for tokens that its mask hides.

A model whose sequences are packed does not compute them. An element has no meaning if it belongs to a hidden token, or
to a sequence whose first token is hidden, and an experiment confirms it: the original gives another number there when
the hidden tokens are others. So outputs of other tokens that depend on hidden ones (a mean over padding, a convolution)
keep their meaning. Outputs of a sequence without tokens never have one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.packers.shown import shown_tokens
from regraft.verification.input_roles import InputRole, input_role
from regraft.verification.inputs import reader
from regraft.verification.signature import Port

Arrays = dict[str, Any]

_TOKENS = ("index", "segment", "position")


class Hidden:
    """The tokens that the masks among some inputs hide, and the model's outputs when these tokens are others.

    Args:
        run: runs the model.
    """

    def __init__(self, model: Model, inputs: Mapping[str, Any], run: Callable[[Arrays], Arrays]):
        meanings = {v.name: input_role(reader(v, model), Port.of_variable(v)) for v in model.inputs if v.name in inputs}
        self.shown = _shown(meanings, inputs)
        self.outputs: Arrays = {}
        if self.shown is not None and not self.shown.all():
            self.outputs = run({n: self._other(inputs[n], meanings.get(n)) for n in inputs})

    def places(self, base: Any) -> Array | None:
        """Where the output `base` may have no meaning: at hidden tokens, and where the first one is hidden."""
        array = np.asarray(base)
        if self.shown is None or not array.ndim or len(array) != len(self.shown):
            return None
        shape = (len(array), *[1] * (array.ndim - 1))
        hidden = np.broadcast_to(~self.shown[:, :1].reshape(shape), array.shape)
        if array.shape[:2] == self.shown.shape:
            tokens = ~self.shown.reshape(*self.shown.shape, *[1] * (array.ndim - 2))
            hidden = hidden | np.broadcast_to(tokens, array.shape)
        return hidden

    def absent(self, base: Any) -> Array:
        """Where the output `base` belongs to a sequence without tokens."""
        array = np.asarray(base)
        if self.shown is None or not array.ndim or len(array) != len(self.shown):
            return np.zeros(array.shape, bool)
        return np.broadcast_to(~self.shown.any(axis=1).reshape(-1, *[1] * (array.ndim - 1)), array.shape)

    def _other(self, value: Any, what: InputRole | None) -> Any:
        """Other tokens where they are hidden."""
        if self.shown is None or what is None or np.shape(value)[:2] != self.shown.shape:
            return value
        hidden = ~self.shown
        if what.kind in _TOKENS and np.ndim(value) == 2:
            following = value + 1
            return np.where(hidden, np.where(following < (what.rows or 1), following, 0), value).astype(value.dtype)
        if what.kind == "float":
            return np.where(hidden.reshape(*hidden.shape, *[1] * (np.ndim(value) - 2)), value + 1, value)
        return value


def with_hidden(value: Any, there: Any, hidden: Array) -> Any:
    """The array `value` with the elements of `there` where it is hidden; unchanged if the forms differ."""
    if np.shape(value) != hidden.shape or np.shape(there) != hidden.shape:
        return value
    return np.where(hidden, there, value).astype(value.dtype)


def _shown(meanings: Mapping[str, InputRole], inputs: Mapping[str, Any]) -> Array | None:
    """Which tokens exist, [B, S], by the mask or the lengths among inputs; None if there are neither."""
    masks = [n for n, what in meanings.items() if what.kind in ("mask", "bias") and np.ndim(inputs[n]) >= 2]
    if masks:
        is_added = meanings[masks[0]].kind == "bias"
        return shown_tokens(inputs[masks[0]], is_added=is_added) if len(masks) == 1 else None
    lengths = [inputs[n] for n, what in meanings.items() if what.kind == "length" and np.ndim(inputs[n]) == 1]
    tokens = [inputs[n] for n, what in meanings.items() if what.kind in _TOKENS and np.ndim(inputs[n]) == 2]
    if len(lengths) != 1 or not tokens or len(tokens[0]) != len(lengths[0]):
        return None
    return shown_tokens(lengths[0], tokens[0].shape[1])
