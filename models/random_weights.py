"""Generated weights of any size: the same for the same seed, and computed on first use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regraft.ir.weights import Derived

_CHUNK = 65_521
"""Values drawn for a tensor before they repeat. A prime, so that rows of a matrix do not repeat with them."""


def normal(seed: int, number: int, shape: Sequence[int], scale: float, mean: float = 0.0) -> Derived:
    """Tensor `number` of a model: normally distributed float32 values of that shape."""
    size = int(np.prod(shape))

    def compute() -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(key=[seed, number]))
        chunk = generator.standard_normal(min(size, _CHUNK), np.float32)
        return np.resize(chunk * np.float32(scale) + np.float32(mean), shape)

    return Derived([], compute, shape, np.float32)
