"""Packers that know all sequences beforehand: they pack lengths, however many sequences have each of them.

A strategy is a list of rows, each a tuple of lengths, and how often each row is made. Its size follows the number of
different lengths, so that millions of sequences are packed as fast as thousands. Sequences then take the places of
their lengths, and rows are dealt out to batches.

`spfhp` and `lpfhp` are shortest- and longest-pack-first histogram packing of packedBERT (arXiv 2107.02027).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from regraft.packers.limits import Array, Limits, Packing

Row = tuple[int, ...]
Strategy = list[tuple[Row, int]]
"""Rows, as the lengths in them, and how often each is made."""


def first_fit_decreasing(lengths: Any, limits: Limits, depth: int | None = None) -> Packing:
    """The longest sequences first, each in the first row of all that has room.

    Args:
        depth: sequences that a row may hold; None: any number.
    """
    return _packed(lengths, limits, depth, decreasing_strategy)


def spfhp(lengths: Any, limits: Limits, depth: int | None = None) -> Packing:
    """The longest sequences first, each in a row with the most room; `depth` as in `first_fit_decreasing`."""
    return _packed(lengths, limits, depth, shortest_pack_first)


def lpfhp(lengths: Any, limits: Limits, depth: int | None = None) -> Packing:
    """The longest sequences first, each in a row with the least room; `depth` as in `first_fit_decreasing`."""
    return _packed(lengths, limits, depth, longest_pack_first)


def decreasing_strategy(histogram: Array, tokens: int, depth: int) -> Strategy:
    """First fit. `histogram[n]` sequences have `n` tokens."""
    rows: list[tuple[Row, int, int]] = []  # lengths, room, how often: in the order in which rows were begun
    done: Strategy = []
    for length in _longest_first(histogram):
        left, after = int(histogram[length]), list[tuple[Row, int, int]]()
        for row, room, count in rows:
            fits = min(room // length, depth - len(row))
            full, rest = min(count, left // fits) if fits else 0, 0
            left -= full * fits
            if fits and left and full < count:
                rest, left = left, 0
            for more, times in ((fits, full), (rest, 1 if rest else 0), (0, count - full - (1 if rest else 0))):
                if times:
                    after.append((row + (length,) * more, room - more * length, times))
        fits = min(tokens // length, depth)
        for more, times in ((fits, left // fits), (left % fits, 1)):
            if more and times:
                after.append(((length,) * more, tokens - more * length, times))
        done += [(row, count) for row, room, count in after if not room or len(row) == depth]
        rows = [one for one in after if one[1] and len(one[0]) < depth]
    return done + [(row, count) for row, _, count in rows]


def shortest_pack_first(histogram: Array, tokens: int, depth: int, begun: int = 0) -> Strategy:
    """`histogram[n]` sequences have `n` tokens; so many rows are begun already, though empty."""
    return _by_room(histogram, tokens, depth, lambda bits, length: bits.bit_length() - 1, begun=begun)


def longest_pack_first(histogram: Array, tokens: int, depth: int) -> Strategy:
    """`histogram[n]` sequences have `n` tokens. A row takes as many of a length at once as it has room for."""

    def least(bits: int, length: int) -> int:
        wide = bits >> length
        return length + (wide & -wide).bit_length() - 1

    return _by_room(histogram, tokens, depth, least, several=True)


def _by_room(
    histogram: Array, tokens: int, depth: int, choose: Callable[[int, int], int], several: bool = False, begun: int = 0
) -> Strategy:
    """Each length, the longest first, goes to rows with the room that `choose` takes among the bits of those there."""
    done: Strategy = []
    rows: defaultdict[int, Strategy] = defaultdict(list)  # by room
    bits = 0

    def put(row: Row, room: int, count: int) -> None:
        nonlocal bits
        if not room or len(row) == depth:
            done.append((row, count))
        else:
            rows[room].append((row, count))
            bits |= 1 << room

    if begun:
        put((), tokens, begun)
    for length in _longest_first(histogram):
        left = int(histogram[length])
        while left:
            if bits >> length:
                room = choose(bits, length)
                row, there = rows[room].pop()
                if not rows[room]:
                    bits &= ~(1 << room)
            else:
                room, row, there = tokens, (), 0
            fits = min(left, room // length if several else 1, depth - len(row))
            times = min(there or left, left // fits)
            if there > times:
                put(row, room, there - times)
            left -= times * fits
            put((*row, *(length,) * fits), room - fits * length, times)
    return done + [one for room in sorted(rows) for one in rows[room]]


def _longest_first(histogram: Array) -> list[int]:
    return [int(length) for length in np.flatnonzero(histogram)[::-1]]


def _packed(lengths: Any, limits: Limits, depth: int | None, find: Callable[..., Strategy]) -> Packing:
    array, flat = limits.check(lengths), limits.flat
    histogram, most = np.bincount(array, minlength=flat.tokens + 1), min(depth or flat.tokens, flat.tokens)
    found = [find(histogram, flat.tokens, deep) for deep in _depths(most, flat)]
    if flat.max_valid_num is not None:  # batches of long sequences beside batches of short ones would fill neither
        deep = min(most, flat.max_valid_num)
        least = max(-(-int(array.sum()) // flat.tokens), -(-len(array) // deep))
        found.append(shortest_pack_first(histogram, flat.tokens, deep, begun=least))
        found.sort(key=lambda strategy: _count(_batches(_held(strategy), flat)))
    row, start = _settled(array, found[0])
    batch, row = _dealt(row, flat)
    return Packing.flat(limits, array, batch, row, start)


def _depths(most: int, limits: Limits) -> list[int]:
    """How many sequences a row may hold: rows of few leave tokens free, rows of many leave rows of their batch free."""
    if limits.max_valid_num is None:
        return [most]
    share = -(-limits.max_valid_num // (limits.rows or limits.max_valid_num))
    return sorted({min(most, limits.max_valid_num, share * times) for times in (1, 2, 4, limits.max_valid_num)})


def _count(strategy: Strategy) -> int:
    return sum(count for _, count in strategy)


def _held(strategy: Strategy) -> Array:
    """How many rows hold each number of sequences."""
    return np.bincount([len(row) for row, _ in strategy], [count for _, count in strategy]).astype(np.int64)


def _batches(held: Array, limits: Limits) -> Strategy:
    """Rows in batches: a batch holds so many sequences as a row holds tokens, so that it is packed alike."""
    rows, sequences = int(held.sum()), int((held * np.arange(len(held))).sum())
    most, size = limits.max_valid_num or max(sequences, 1), limits.rows or max(rows, 1)
    return shortest_pack_first(held, most, size, begun=max(-(-rows // size), -(-sequences // most)))


def _settled(lengths: Array, strategy: Strategy) -> tuple[Array, Array]:
    """The row, counted through all batches, and the start of every sequence."""
    sizes = np.array([len(row) for row, _ in strategy], np.int64)
    times = np.array([count for _, count in strategy], np.int64)
    places = np.array([length for row, _ in strategy for length in row], np.int64)
    of = np.repeat(np.arange(len(strategy)), sizes)  # the strategy's row that each place belongs to
    before = np.cumsum(places) - places
    offsets = before - np.repeat(before[np.cumsum(sizes) - sizes], sizes) if places.size else before
    counts = times[of]
    first = (np.cumsum(times) - times)[of]
    each = np.argsort(places, kind="stable")  # places by length, as sequences below
    counts, first, offsets = counts[each], first[each], offsets[each]
    within = np.arange(len(lengths)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.argsort(lengths.astype(np.min_scalar_type(int(lengths.max(initial=0)))), kind="stable")
    row, start = np.empty_like(lengths), np.empty_like(lengths)
    row[order] = np.repeat(first, counts) + within
    start[order] = np.repeat(offsets, counts)
    return row, start


def _dealt(rows: Array, limits: Limits) -> tuple[Array, Array]:
    """The batch and the row in it, of rows that are counted through."""
    if limits.max_valid_num is None:
        return (rows // limits.rows, rows % limits.rows) if limits.rows else (np.zeros_like(rows), rows)
    held = np.bincount(rows)
    batch, _ = _settled(held, _batches(np.bincount(held), limits))
    order = np.argsort(batch, kind="stable")
    row = np.empty_like(batch)
    row[order] = np.arange(len(batch)) - np.searchsorted(batch[order], batch[order])
    return batch[rows], row[rows]
