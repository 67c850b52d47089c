"""The style `accelerator`: an attention mask that is arithmetic and made once, positions that are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HIDDEN = -10_000.0
"""What is added to the scores of padding: its exponential is 0, and half precision holds it."""


def forward_of(model: Any) -> Callable[..., Any]:
    """What computes the same as the model, whose attention takes the bias [batch, 1, 1 or sequence, sequence].

    It is the model's own `forward`, called with the bias for a mask: transformers hands four dimensions on as they are.
    """
    inner = model.forward
    causal = any(getattr(part, "is_causal", False) is True for part in model.modules())

    def forward(attention_mask: Any = None, **inputs: Any) -> Any:
        if attention_mask is None:
            return inner(**inputs)
        visible = attention_mask.float()[:, None, None, :]
        if causal:
            visible = visible * _earlier(attention_mask.shape[1])
        return inner(attention_mask=(1.0 - visible) * HIDDEN, **inputs)

    return forward


def _earlier(length: Any) -> Any:
    """1 where a word may look at another, [sequence, sequence]."""
    import torch

    return torch.ones(length, length).tril()
