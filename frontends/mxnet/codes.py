"""The codes of MXNet's Reshape.

0   this dimension as it is          -2      all that are left as they are
-1  what is left of the elements     -3      the product of two dimensions
n   n                                -4,m,n  one dimension as two, of which one may be -1
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from regraft.shapes import dims
from regraft.shapes.dims import Dim

_KEEP, _REST, _ALL, _MERGE, _SPLIT = 0, -1, -2, -3, -4


def reshaped(source: Sequence[Dim], codes: Sequence[int], reverse: bool = False) -> tuple[Dim, ...]:
    """The shape that `codes` make of `source`; with `reverse` they are matched from the last dimension on.

    Raises:
        ValueError: the codes do not fit.
    """
    if reverse:
        return reshaped(source[::-1], _reversed(codes))[::-1]
    result: list[Dim] = []
    taken, rest, entries = 0, None, list(codes)
    while entries:
        code = entries.pop(0)
        left = source[taken:]
        if code in (_KEEP, _MERGE, _SPLIT) and len(left) < (2 if code == _MERGE else 1):
            raise ValueError(f"shape {tuple(codes)} takes more dimensions than {list(source)} has")
        if code > 0:
            result.append(code)
        elif code == _KEEP:
            result.append(left[0])
        elif code == _REST and rest is None:
            rest = len(result)
            result.append(1)
        elif code == _ALL:
            result += left
        elif code == _MERGE:
            result.append(left[0] * left[1])
        elif code == _SPLIT and len(entries) >= 2:
            result += _split(left[0], entries.pop(0), entries.pop(0))
        else:
            raise ValueError(f"shape {tuple(codes)} has codes that mean nothing here")
        taken += len(left) if code == _ALL else 2 if code == _MERGE else 1
    if rest is not None:
        result[rest] = dims.quotient(source, result)
    if prod(result) != prod(source) and isinstance(prod(result) - prod(source), int):
        raise ValueError(f"{list(source)} cannot be reshaped by {tuple(codes)}")
    return tuple(result)


def _split(dim: Dim, first: int, second: int) -> list[Dim]:
    if first == _REST:
        return [dims.quotient([dim], [second]), second]
    return [first, dims.quotient([dim], [first]) if second == _REST else second]


def _reversed(codes: Sequence[int]) -> list[int]:
    """The codes from the last on, each split with its two parts behind it."""
    result: list[int] = []
    entries = list(codes)
    while entries:
        code = entries.pop(0)
        parts = [code, *[entries.pop(0) for _ in range(min(2, len(entries)))][::-1]] if code == _SPLIT else [code]
        result = [*parts, *result]
    return result
