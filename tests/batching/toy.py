"""A model in numpy that is nothing but what a queue must not mix up: sums and cubes of each sequence's ids."""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np

from regraft.batching.form import Form
from regraft.verification.signature import Port

INT = np.dtype(np.int64)
POISON = 666
"""An id that a call fails of."""

FORM = Form(
    inputs=(Port("ids", dtype=INT, shape=("batch", "seq")), Port("mask", dtype=INT, shape=("batch", "seq"))),
    outputs=(Port("sum", dtype=INT, shape=("batch",)), Port("cubes", dtype=INT, shape=("batch", "seq"))),
    batch="batch",
    sequence="seq",
    mask="mask",
    packed=None,
    packing=None,
    together=True,
)


def toy(batch: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError at POISON."""
    ids = batch["ids"] * batch["mask"]
    if POISON in ids:
        raise ValueError("poison")
    return {"sum": ids.sum(axis=1), "cubes": ids**3}


def ask(*sequences: list[int], width: int = 0) -> dict[str, Any]:
    """A request of sequences, padded to the longest with an id that the mask hides."""
    width = max(width, *map(len, sequences))
    ids = np.array([[*one, *[7] * (width - len(one))] for one in sequences])
    return {"ids": ids, "mask": np.array([[1] * len(one) + [0] * (width - len(one)) for one in sequences])}


def is_right(request: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether an answer is what the request gets when it is run alone."""
    expected = toy(request)
    return all(np.array_equal(answer[name], expected[name]) for name in expected)


class Gate:
    """`toy`, which waits until it is let go, and keeps its batches."""

    def __init__(self) -> None:
        self.begun, self.open = Event(), Event()
        self.batches: list[dict[str, Any]] = []

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.batches.append(batch)
        self.begun.set()
        assert self.open.wait(20)
        return toy(batch)
