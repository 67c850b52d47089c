"""What a batch may hold, and which place in it each sequence got."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.wording import count

Array = np.ndarray[Any, Any]


class PackingError(RegraftError):
    """Sequences that fit no row, or limits that nothing fits."""


@dataclass(frozen=True)
class Limits:
    """What a batch may hold.

    Attributes:
        tokens: in a row.
        rows: of a batch; None: as many as it takes, in one batch.
        max_valid_num: sequences in a batch, as PopRT calls it; None: any number.
        across_rows: whether a sequence may begin in one row and end in the next ones.

    Raises:
        PackingError: a limit below 1, or no number of rows where sequences go across them.
    """

    tokens: int
    rows: int | None = None
    max_valid_num: int | None = None
    across_rows: bool = False

    def __post_init__(self) -> None:
        for name in ("tokens", "rows", "max_valid_num"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise PackingError(f"{name} must be 1 or more, not {value}")
        if self.across_rows and self.rows is None:
            raise PackingError("sequences go across the rows of a batch: say how many rows it has")

    @property
    def flat(self) -> Limits:
        """The same for a batch that is one long row, where sequences may go across rows."""
        if not self.across_rows or self.rows is None:
            return self
        return replace(self, tokens=self.rows * self.tokens, rows=1, across_rows=False)

    def check(self, lengths: Any) -> Array:
        """`lengths` as int64[n]. Raises PackingError where one is below 1 or longer than a row."""
        array = np.asarray(lengths)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise PackingError(f"lengths are whole numbers in one row, not {array.dtype}{list(array.shape)}")
        array = array.astype(np.int64, copy=False)
        longest = self.flat.tokens
        wrong = np.flatnonzero((array < 1) | (array > longest))
        if wrong.size:
            number = int(wrong[0])
            raise PackingError(f"sequence {number} has {count(array[number], 'token')}; a row takes 1 to {longest}")
        return array


@dataclass(frozen=True)
class Packing:
    """The place of every sequence.

    Attributes:
        lengths: int64[n], in the caller's order, as all that follows.
        batch: int64[n], the batch of each sequence.
        row: int64[n], its row in that batch; the first one, where it goes across rows.
        start: int64[n], its first place in that row.
    """

    limits: Limits
    lengths: Array
    batch: Array
    row: Array
    start: Array

    @classmethod
    def flat(cls, limits: Limits, lengths: Array, batch: Array, row: Array, start: Array) -> Packing:
        """Of places in the `flat` limits."""
        if limits.across_rows:
            row, start = row + start // limits.tokens, start % limits.tokens
        return cls(limits, lengths, batch, row, start)

    @cached_property
    def batches(self) -> int:
        return int(self.batch.max(initial=-1)) + 1

    @cached_property
    def rows(self) -> int:
        """That are run, filled or not."""
        if self.limits.rows is None:
            return int(self.row.max(initial=-1)) + 1
        return self.batches * self.limits.rows

    def groups(self) -> list[list[int]]:
        """The sequences of each batch, row by row: next-fit puts them there again."""
        order = np.lexsort((self.start, self.row, self.batch))
        return [part.tolist() for part in np.split(order, np.cumsum(np.bincount(self.batch))[:-1])]

    @property
    def fill(self) -> float:
        """The share of all places that hold a token."""
        return float(self.lengths.sum()) / (self.rows * self.limits.tokens) if self.rows else 0.0

    @property
    def padded(self) -> int:
        """Batches (rows, where a batch has any number of them) of one sequence a row."""
        return -(-len(self.lengths) // (self.limits.rows or 1))

    @property
    def speedup(self) -> float:
        """How many times fewer batches (or rows) than with one sequence a row: the most that packing can gain."""
        return self.padded / (self.batches if self.limits.rows else self.rows) if self.rows else 1.0
