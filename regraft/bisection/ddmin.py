"""Delta debugging: the fewest of many things that still do what all of them do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(items: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part of `items`, in their order, for which `holds`, and for none that lacks one item more.

    Windows of half the length come first, so that what lies together is found in few looks (Zeller & Hildebrandt,
    2002, look at parts that do not overlap).

    Args:
        holds: true of `items`.
    """
    left = list(items)
    parts = 2
    while len(left) > 1:
        found = next((part for part in _tries(left, parts) if holds(part)), None)
        if found is not None:
            parts = 2 if 2 * len(found) <= len(left) + 1 else max(parts - 1, 2)
            left = found
        elif parts >= len(left):
            break
        else:
            parts = min(2 * parts, len(left))
    return left


def _tries(items: list[T], parts: int) -> Iterator[list[T]]:
    """Windows, then what is left without one."""
    size = -(-len(items) // parts)
    last = len(items) - size
    for start in (*range(0, last, max(size // 2, 1)), last):
        yield items[start : start + size]
    if parts > 2:
        for start in range(0, len(items), size):
            yield items[:start] + items[start + size :]
