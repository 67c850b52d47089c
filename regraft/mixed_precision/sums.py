"""Sums that a Loop or a Scan keeps in its state: as long as it runs, and so sums of many terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.sizes import COMBINING, HANDING_ON
from regraft.ops.traits import SUMS

_CARRYING = COMBINING | HANDING_ON | {"Neg"}
_WHY = "a sum that a Loop or a Scan keeps in its state"


def find_sums(units: Sequence[PrecisionGroup]) -> dict[PrecisionGroup, str]:
    """The units through which a state is added to round after round, with the reason."""
    if not any(unit.tie == "state" for unit in units):
        return {}
    carrying = [unit for unit in units if _carries(unit)]
    found: dict[PrecisionGroup, str] = {}
    for cycle in _cycles(carrying):
        if any(unit.tie == "state" for unit in cycle) and any(_sums(unit) for unit in cycle):
            found.update(dict.fromkeys(cycle, _WHY))
    return found


def _carries(unit: PrecisionGroup) -> bool:
    """Whether what `unit` makes is a sum where what it reads is one."""
    if unit.node is None:
        return unit.tie in ("result", "slice", "state")
    return schema.kind(unit.node) in _CARRYING


def _sums(unit: PrecisionGroup) -> bool:
    return unit.node is not None and schema.kind(unit.node) in SUMS


def _cycles(units: Sequence[PrecisionGroup]) -> Iterator[list[PrecisionGroup]]:
    """The units that reach each other, by Tarjan's algorithm."""
    readers: dict[Tensor, list[int]] = {}
    for number, unit in enumerate(units):
        for slot in unit.reads:
            readers.setdefault(slot.tensor, []).append(number)
    after = [[n for tensor in unit.writes for n in readers.get(tensor, ())] for unit in units]
    index: list[int] = [-1] * len(units)
    low = index.copy()
    path: list[int] = []
    on_path = [False] * len(units)
    count = 0
    for root in range(len(units)):
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
                        yield [units[n] for n in cycle]
