"""The style `accelerator`: an attention mask by arithmetic, made once, and positions as an input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regraft.pipelines.frontend import FrontendError

HIDDEN = -10_000.0
"""The mask that is added to scores of padding: its exponential is 0, and half precision can represent it."""


def forward_of(model: Any) -> Callable[..., Any]:
    """A function that computes the same as the model, whose attention takes the bias [batch, 1, 1 or sequence,
    sequence]. It calls the model's own `forward` with the bias as its mask: transformers passes four dimensions on
    unchanged.

    Raises:
        FrontendError: some layers see a window of the sequence, which shows in long sequences only.
    """
    if windows := _windows(model.config):
        raise FrontendError(f"style 'accelerator' has one mask for all layers, {type(model).__name__} has {windows}")
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


def _windows(config: Any) -> str:
    """The reasons why layers see less than the whole sequence; empty if they see all of it."""
    kinds = {*(getattr(config, "layer_types", None) or ())} - {"full_attention"}
    sizes = [name for name in ("sliding_window", "attention_chunk_size") if getattr(config, name, None)]
    return ", ".join([*sorted(kinds), *sizes])


def _earlier(length: Any) -> Any:
    """1 where a word may look at another, [sequence, sequence]."""
    import torch

    return torch.ones(length, length).tril()
