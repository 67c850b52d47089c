"""Sums that a Loop or a Scan keeps in its state: as long as it runs, and so sums of many terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.sizes import COMBINING, FORWARDING
from regraft.ops.traits import SUMS

_CARRYING = COMBINING | FORWARDING | {"Neg"}
_WHY = "a sum that a Loop or a Scan keeps in its state"


def find_sums(groups: Sequence[PrecisionGroup]) -> dict[PrecisionGroup, str]:
    """The groups through which a state is added to round after round, with the reason."""
    if not any(group.tie == "state" for group in groups):
        return {}
    carrying = [group for group in groups if _carries(group)]
    found: dict[PrecisionGroup, str] = {}
    for cycle in _cycles(carrying):
        if any(group.tie == "state" for group in cycle) and any(_sums(group) for group in cycle):
            found.update(dict.fromkeys(cycle, _WHY))
    return found


def _carries(group: PrecisionGroup) -> bool:
    """Whether what `group` makes is a sum where what it reads is one."""
    if group.node is None:
        return group.tie in ("result", "slice", "state")
    return schema.kind(group.node) in _CARRYING


def _sums(group: PrecisionGroup) -> bool:
    return group.node is not None and schema.kind(group.node) in SUMS


def _cycles(groups: Sequence[PrecisionGroup]) -> Iterator[list[PrecisionGroup]]:
    """The groups that reach each other, by Tarjan's algorithm."""
    readers: dict[Tensor, list[int]] = {}
    for number, group in enumerate(groups):
        for slot in group.reads:
            readers.setdefault(slot.tensor, []).append(number)
    after = [[n for tensor in group.writes for n in readers.get(tensor, ())] for group in groups]
    index: list[int] = [-1] * len(groups)
    low = index.copy()
    path: list[int] = []
    on_path = [False] * len(groups)
    count = 0
    for root in range(len(groups)):
        if index[root] >= 0:
            continue
        stack = [(root, iter(after[root]))]
        while stack:
            number, pending = stack[-1]
            if index[number] < 0:
                index[number] = low[number] = count
                count += 1
                path.append(number)
                on_path[number] = True
            for other in pending:
                if index[other] < 0:
                    stack.append((other, iter(after[other])))
                    break
                if on_path[other]:
                    low[number] = min(low[number], index[other])
            else:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[number])
                if low[number] == index[number]:
                    cycle: list[int] = []
                    while not cycle or cycle[-1] != number:
                        cycle.append(path.pop())
                        on_path[cycle[-1]] = False
                    if len(cycle) > 1:
                        yield [groups[n] for n in cycle]
