"""The cost of a call, by a formula that a few calls calibrate.

A layer of width H takes 4nH(6H + n) operations for a row of n tokens: work on single tokens grows with n, scores of
attention with n². A call takes

    seconds = fixed + token · tokens + square · squares + sequence · sequences

where `squares` are the sums of squares of the rows that attention sees, and `sequence` is the time that a loop takes
for one turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regraft.batching.form import Form
from regraft.ir.weights import Array


@dataclass(frozen=True)
class Cost:
    """Seconds of each part of a call."""

    fixed: float
    token: float
    square: float
    sequence: float

    @classmethod
    def fit(cls, works: Sequence[Array], seconds: Sequence[float]) -> Cost:
        """The best fit to measured calls, by relative error; no term is negative.

        Args:
            works: of each call; see `work`.
        """
        table = np.array(works, np.float64) / np.array(seconds)[:, None]
        found, kept = np.zeros(table.shape[1]), list(range(table.shape[1]))
        while kept:
            found[:] = 0
            found[kept] = np.linalg.lstsq(table[:, kept], np.ones(len(table)), rcond=None)[0]
            if found.min() >= 0:
                break
            kept.remove(int(found.argmin()))
        return cls(*found.tolist())

    def seconds(self, done: Array) -> float:
        """The seconds of a call that does this work."""
        return float(np.array([self.fixed, self.token, self.square, self.sequence]) @ done)


def work(form: Form, lengths: Sequence[int], width: int = 0) -> Array:
    """The work of a call: 1, tokens, squares, sequences.

    Args:
        lengths: of its sequences.
        width: the least number of tokens that they are padded to.
    """
    count, longest, total = len(lengths), max(*lengths, width, 0), sum(lengths)
    if form.packed is not None:
        rows, tokens = form.packed.rows, form.packed.tokens
        apart = form.packed.sequences * form.packed.longest**2
        return np.array([1, rows * tokens, rows * tokens**2 if form.packing == "segments" else apart, rows])
    if form.packing is None:
        return np.array([1, count * longest, count * longest**2, count])
    apart = sum(n * n for n in lengths)  # the padding of buckets is not known here
    squares = {"segments": total**2, "gather": count * longest**2, "bucket": apart, "loop": apart}
    return np.array([1, total, squares[form.packing], count])
