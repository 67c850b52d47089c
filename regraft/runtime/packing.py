"""Put sequences of unlike lengths into the rows of batches.

    lengths = [len(ids) for ids in texts]
    packing = first_fit(lengths, Limits(tokens=256, rows=16, max_valid_num=40))
    packing.batch, packing.row, packing.start     # of each sequence, in the caller's order

`next_fit`, `first_fit` and `best_fit` take sequences as they come; `first_fit_decreasing`, `spfhp` and `lpfhp` know
all of them beforehand, and pack a million in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable

from regraft.packing.arrival import best_fit, first_fit, next_fit
from regraft.packing.histogram import first_fit_decreasing, lpfhp, spfhp
from regraft.packing.lengths import Lengths, read_lengths
from regraft.packing.limits import Limits, Packing, PackingError

ALGORITHMS: dict[str, Callable[..., Packing]] = {
    one.__name__: one for one in (next_fit, first_fit, best_fit, first_fit_decreasing, spfhp, lpfhp)
}
"""Packers by name; each takes lengths and Limits, the last three a `depth` too."""

__all__ = [
    "ALGORITHMS",
    "Lengths",
    "Limits",
    "Packing",
    "PackingError",
    "best_fit",
    "first_fit",
    "first_fit_decreasing",
    "lpfhp",
    "next_fit",
    "read_lengths",
    "spfhp",
]
