"""A fixed point over groups: each is looked at again when what it depends on has changed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from regraft.ir.graph import Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup


def solve(
    groups: Sequence[PrecisionGroup],
    dependents: Mapping[Tensor, Sequence[int]],
    evaluate: Callable[[PrecisionGroup], Iterable[Tensor]],
) -> None:
    """Call `evaluate` on every group, and again on the `dependents`, by number, of each value that it says has changed.

    Of the groups that wait the first is next, so that a model without bodies takes one round.
    """
    waiting = list(range(len(groups)))
    pending = set(waiting)
    while waiting:
        number = heapq.heappop(waiting)
        pending.discard(number)
        for tensor in evaluate(groups[number]):
            for other in dependents.get(tensor, ()):
                if other not in pending:
                    pending.add(other)
                    heapq.heappush(waiting, other)
