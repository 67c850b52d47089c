"""Inputs for exporting and checking a model: like those of its tokenizer, with rows of several lengths."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from regraft.pipelines.frontend import FrontendError
from regraft.pipelines.options import Dims

BATCH, SEQUENCE = "batch", "sequence"
SIZES = ({BATCH: 2, SEQUENCE: 9}, {BATCH: 3, SEQUENCE: 12})
"""Sizes of the inputs for the export, and of the other inputs that the result is checked on."""

TEXT_AXES, IMAGE_AXES = {0: BATCH, 1: SEQUENCE}, {0: BATCH}
_CHANNELS, _IMAGE = 3, 224


def input_axes(model: Any, style: str) -> dict[str, dict[int, str]]:
    """The dynamic axes of each input of the model, by name."""
    main = model.main_input_name
    if main == "pixel_values":
        return {main: IMAGE_AXES}
    if main != "input_ids":
        raise FrontendError(f"{type(model).__name__} takes {main}; models of text or of images are imported")
    names = ["input_ids", "attention_mask"]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    if style == "accelerator":
        names.append("position_ids")
    taken = parameters(model)
    return {name: TEXT_AXES for name in names if name in taken}


def parameters(model: Any) -> set[str]:
    """The parameters of the model's `forward`."""
    return set(inspect.signature(type(model).forward).parameters)


def fixed_sizes(axes: Mapping[str, Mapping[int, str]], shapes: Mapping[str, Dims]) -> dict[str, int]:
    """The sizes of `batch` and `sequence` that given shapes fix, for all inputs alike.

    Raises:
        FrontendError: a shape is none of an input.
    """
    sizes: dict[str, int] = {}
    for name, dims in shapes.items():
        if name not in axes:
            raise FrontendError(f"no input named '{name}' to shape; known: {', '.join(axes)}")
        if len(dims) < len(axes[name]):
            raise FrontendError(f"input '{name}' has the dimensions {' x '.join(axes[name].values())}")
        for axis, dim in axes[name].items():
            size = dims[axis]
            if isinstance(size, int) and sizes.setdefault(dim, size) != size:
                raise FrontendError(f"two sizes of '{dim}': {sizes[dim]} and {size}")
    return sizes


def example_sizes(model: Any, fixed: Mapping[str, int]) -> list[dict[str, int]]:
    """Sizes for the export and the checks, no longer than the model has positions."""
    longest = getattr(model.config, "max_position_embeddings", None) or max(sizes[SEQUENCE] for sizes in SIZES)
    return [{**sizes, SEQUENCE: min(sizes[SEQUENCE], longest), **fixed} for sizes in SIZES]


def make_example(model: Any, names: Mapping[str, Any], sizes: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Inputs of the given sizes: ids inside the vocabulary, the first row full, the others with padding at the end."""
    import torch

    random = torch.Generator().manual_seed(seed)
    config = model.config
    batch, sequence = sizes[BATCH], sizes[SEQUENCE]
    if "pixel_values" in names:
        height, width = _pair(getattr(config, "image_size", _IMAGE))
        channels = getattr(config, "num_channels", _CHANNELS)
        return {"pixel_values": torch.randn(batch, channels, height, width, generator=random)}
    lengths = torch.linspace(sequence, 1, batch).long()
    mask = (torch.arange(sequence)[None] < lengths[:, None]).long()
    padding = getattr(config, "pad_token_id", None) or 0
    ids = torch.randint(0, config.vocab_size, (batch, sequence), generator=random)
    ids = torch.where(ids == padding, (padding + 1) % config.vocab_size, ids)
    made = {
        "input_ids": torch.where(mask.bool(), ids, padding),
        "attention_mask": mask,
        "token_type_ids": (torch.arange(sequence)[None] >= lengths[:, None] // 2).long() * mask,
        "position_ids": _positions(model, mask),
    }
    return {name: made[name] for name in names}


def _positions(model: Any, mask: Any) -> Any:
    """The positions that the model itself computes; RoBERTa's start after the one of padding."""
    import torch

    tables = (part for name, part in model.named_modules() if name.endswith("position_embeddings"))
    padding = next((i for table in tables if (i := getattr(table, "padding_idx", None)) is not None), None)
    if padding is None:
        return torch.arange(mask.shape[1])[None].repeat(mask.shape[0], 1)
    return mask.cumsum(1) * mask + padding


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
