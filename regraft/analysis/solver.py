"""The walk back from a value that every question about values takes: of any length, each value looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from regraft.ir.graph import Tensor

Fact = TypeVar("Fact")


def settle(
    tensor: Tensor,
    known: dict[Tensor, Fact],
    needs: Callable[[Tensor], Iterable[Tensor]],
    find: Callable[[Tensor], Fact],
) -> Fact:
    """What is known of `tensor`, found after what it follows from; all of it is kept in `known`.

    Args:
        needs: the values that a value's fact follows from, in a graph without cycles.
        find: the fact of a value, once those of what it needs are known.
    """
    pending = [tensor]
    while pending:
        current = pending[-1]
        missing = [] if current in known else [t for t in needs(current) if t not in known]
        if missing:
            pending += missing
            continue
        pending.pop()
        if current not in known:
            known[current] = find(current)
    return known[tensor]
