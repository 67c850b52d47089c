"""Which tokens there are, by what a caller says."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.ir.weights import Array

HIDING = -1000.0
"""What is added to scores hides if it is no larger."""


def shown_tokens(mask: Any, width: int | None = None, *, is_added: bool = False) -> Array:
    """bool[B, S].

    Args:
        mask: [B, S], or [B, 1, 1, S], not 0 where a token is; [B, S, S] or [B, 1, S, S], where a query sees it; [B],
            how many there are.
        width: S, where the mask does not tell; else that of the longest.
        is_added: whether the mask is added to scores, and hides where it is far below 0.
    """
    array = np.asarray(mask)
    if array.ndim == 1:
        return np.arange(int(array.max(initial=0)) if width is None else width) < array[:, None]
    return np.asarray((array > HIDING if is_added else array != 0).any(axis=tuple(range(1, array.ndim - 1))))
