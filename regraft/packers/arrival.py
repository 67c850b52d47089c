"""Packers that take sequences as they come, and know nothing of those after them: what a queue can do.

One batch is open at a time. It ends when a sequence finds no room in it, or when it holds all that it may.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from regraft.packers.limits import Limits, Packing

_NONE = 1 << 60
_FEW = 32  # rows: so many are looked through faster than they are kept in order


def next_fit(lengths: Any, limits: Limits) -> Packing:
    """Each sequence goes into the last row, or opens the next."""
    array, flat = limits.check(lengths), limits.flat
    ends = np.concatenate([[0], np.cumsum(array)])
    reach = np.searchsorted(ends, ends[:-1] + flat.tokens, side="right") - 1  # where a row that begins here must end
    jumps, firsts, batches, rows = reach.tolist(), [], [], []
    rows_left, room, most = flat.rows or _NONE, flat.max_valid_num or _NONE, flat.max_valid_num or _NONE
    at = batch = row = 0
    while at < len(jumps):
        if row == rows_left or room == 0:
            batch, row, room = batch + 1, 0, most
        firsts.append(at)
        batches.append(batch)
        rows.append(row)
        end = min(jumps[at], at + room)
        at, row, room = end, row + 1, room - (end - at)
    counts = np.diff(np.array([*firsts, len(array)]))
    starts = ends[:-1] - np.repeat(ends[firsts], counts)
    batch_of, row_of = np.repeat(np.array([batches, rows], np.int64), counts, axis=1)
    return Packing.flat(limits, array, batch_of, row_of, starts)


def first_fit(lengths: Any, limits: Limits) -> Packing:
    """Each sequence goes into the first row of the open batch that has room."""
    return _packed(lengths, limits, best=False)


def best_fit(lengths: Any, limits: Limits) -> Packing:
    """Each sequence goes into the row of the open batch that it leaves the least room in."""
    return _packed(lengths, limits, best=True)


def _packed(lengths: Any, limits: Limits, best: bool) -> Packing:
    array, flat = limits.check(lengths), limits.flat
    earliest = _Few if flat.rows and flat.rows <= _FEW else _Earliest
    places = _places(array.tolist(), flat, _Fullest if best else earliest)
    found = np.fromiter((number for place in places for number in place), np.int64, 3 * len(array)).reshape(-1, 3)
    return Packing.flat(limits, array, *found.T.copy())


def _places(
    lengths: list[int], limits: Limits, kind: type[_Few | _Earliest | _Fullest]
) -> Iterable[tuple[int, int, int]]:
    """Batch, row and start of each sequence."""
    tokens, rows, most = limits.tokens, limits.rows or _NONE, limits.max_valid_num or _NONE
    open_rows, used, held, batch = kind(tokens), 0, 0, 0
    for length in lengths:
        place = open_rows.take(length) if held < most else None
        if place is None:
            if held == most or used == rows:
                batch, open_rows, used, held = batch + 1, kind(tokens), 0, 0
            place = used, 0
            open_rows.put(used, tokens - length)
            used += 1
        held += 1
        yield batch, *place


class _Few:
    """Rows in their order, by the room that they have left."""

    def __init__(self, tokens: int):
        self._tokens = tokens
        self._rooms: list[int] = []

    def put(self, row: int, room: int) -> None:
        """The next row, with so much room left."""
        self._rooms.append(room)

    def take(self, length: int) -> tuple[int, int] | None:
        """The row and the start of a sequence; None where no row has room."""
        for row, room in enumerate(self._rooms):
            if room >= length:
                self._rooms[row] = room - length
                return row, self._tokens - room
        return None


class _Earliest:
    """Rows by the room that they have left: the earliest one with enough of it is found in log2(tokens) steps."""

    def __init__(self, tokens: int):
        self._tokens, self._width = tokens, tokens + 1
        self._heaps: list[list[int]] = [[] for _ in range(self._width)]
        self._first = [_NONE] * (2 * self._width)  # a tree over room: row * width + room of the earliest in each range

    def put(self, row: int, room: int) -> None:
        """A row with so much room left."""
        heappush(self._heaps[room], row)
        self._update(room)

    def take(self, length: int) -> tuple[int, int] | None:
        """The row and the start of a sequence; None where no row has room."""
        low, high, found, first = length + self._width, 2 * self._width, _NONE, self._first
        while low < high:
            if low & 1:
                found, low = min(found, first[low]), low + 1
            if high & 1:
                high -= 1
                found = min(found, first[high])
            low, high = low >> 1, high >> 1
        if found == _NONE:
            return None
        row, room = divmod(found, self._width)
        heappop(self._heaps[room])
        self._update(room)
        self.put(row, room - length)
        return row, self._tokens - room

    def _update(self, room: int) -> None:
        node, heap, first = room + self._width, self._heaps[room], self._first
        first[node] = heap[0] * self._width + room if heap else _NONE
        while node > 1:
            node >>= 1
            first[node] = min(first[2 * node], first[2 * node + 1])


class _Fullest:
    """Rows by the room that they have left, as the bits of a number: the fullest one with enough is the lowest bit."""

    def __init__(self, tokens: int):
        self._tokens, self._bits = tokens, 0
        self._heaps: dict[int, list[int]] = {}

    def put(self, row: int, room: int) -> None:
        """A row with so much room left."""
        heappush(self._heaps.setdefault(room, []), row)
        self._bits |= 1 << room

    def take(self, length: int) -> tuple[int, int] | None:
        """The row and the start of a sequence; None where no row has room."""
        bits = self._bits >> length
        if not bits:
            return None
        room = length + (bits & -bits).bit_length() - 1
        heap = self._heaps[room]
        row = heappop(heap)
        if not heap:
            self._bits &= ~(1 << room)
        self.put(row, room - length)
        return row, self._tokens - room
