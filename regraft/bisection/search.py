"""The search for the step from which on something fails, in about log2 of the steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from regraft.bisection.checks import Fault

Probe = Callable[[int], Fault | None]


@dataclass
class Search:
    """Finds a point that fails, whose predecessor does not, between 0, which does not fail, and the last, which does.

    Args:
        probe: looks at a point.
        weights: the work between each point and the next: half of it lies on each side of a look.

    Attributes:
        seen: what was found at each point that was looked at, the last among them.
    """

    probe: Probe
    weights: Sequence[int]
    seen: dict[int, Fault | None] = field(default_factory=dict)

    def run(self, last: Fault) -> int:
        """The point."""
        low, high = 0, len(self.weights)
        self.seen |= {low: None, high: last}
        while high - low > 1:
            middle = self._middle(low, high)
            self.seen[middle] = self.probe(middle)
            low, high = (low, middle) if self.seen[middle] is not None else (middle, high)
        return high

    def passes_after(self, found: int) -> int | None:
        """A point after `found` that does not fail, of those in the widest gap between looks; None: none is seen."""
        known = sorted(point for point in self.seen if point >= found)
        gap = max(itertools.pairwise(known), key=lambda pair: pair[1] - pair[0], default=(0, 0))
        if gap[1] - gap[0] < 2:
            return None
        middle = sum(gap) // 2
        self.seen[middle] = self.probe(middle)
        return middle if self.seen[middle] is None else None

    def _middle(self, low: int, high: int) -> int:
        """The point between two that halves the work between them best."""
        whole, done, best, lead = sum(self.weights[low:high]), 0, low + 1, float("inf")
        for point in range(low + 1, high):
            done += self.weights[point - 1]
            if abs(2 * done - whole) < lead:
                best, lead = point, abs(2 * done - whole)
        return best
