"""What two sequences have in common, in order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence

_BLOCK = 4096


def increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of `pairs`, which are sorted by the first number, in which the second grows, too."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, value) in enumerate(pairs):
        length = bisect_left(tails, value)
        before.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [value]
        ends[length : length + 1] = [number]
    found = []
    at = ends[-1] if ends else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]


def common(one: Sequence[Hashable], other: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """The places of a longest common subsequence; of long sequences, that of block after block, in linear time."""
    x = y = 0
    while x < len(one) and y < len(other):
        a, b = one[x : x + _BLOCK], other[y : y + _BLOCK]
        found = _longest(a, b)
        last = x + len(a) == len(one) and y + len(b) == len(other)
        if not last:  # what is found near the end of a block may belong to what follows it
            found = [(i, j) for i, j in found if max(i, j) < _BLOCK * 3 // 4]
        yield from ((x + i, y + j) for i, j in found)
        if last:
            return
        i, j = found[-1] if found else (len(a) // 2, len(b) // 2)
        x, y = x + i + 1, y + j + 1


def _longest(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The places of a longest common subsequence: Hyyrö's rows of bits, in which a zero is where the length grows."""
    places: dict[Hashable, int] = {}
    for j, item in enumerate(other):
        places[item] = places.get(item, 0) | 1 << j
    full = row = (1 << len(other)) - 1
    rows = []
    for item in one:
        hits = row & places.get(item, 0)
        row = ((row + hits) | (row - hits)) & full
        rows.append(row)
    found = []
    i, j = len(one) - 1, len(other) - 1
    while i >= 0 and j >= 0:
        if rows[i] >> j & 1:
            j -= 1
        elif i and not rows[i - 1] >> j & 1:
            i -= 1
        else:
            found.append((i, j))
            i, j = i - 1, j - 1
    return found[::-1]
