"""Which way is the fastest for these lengths on this machine: a formula leaves a few, and a short measurement
decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from regraft.batching.cost import Cost
from regraft.batching.form import Row
from regraft.batching.ways import Run, Way

FEW, ROUNDS = 4, 3
ENOUGH, SECONDS = 6144, 1.5
"""Tokens that are run in each way, so that those with the largest calls make several; but for no longer than that."""


@dataclass(frozen=True)
class Choice:
    """A way, with its predicted and its measured time.

    Attributes:
        predicted: seconds of a sequence, by the formula.
        measured: the same by the clock, the median of some rounds; None for ways that the formula left out.
    """

    way: Way
    predicted: float
    measured: float | None = None


def choose(ways: Sequence[Way], rows: Sequence[Row], *, few: int = FEW, rounds: int = ROUNDS) -> list[Choice]:
    """The ways, the best one first, those that were measured before those that were not.

    Args:
        rows: sequences like those to expect, in their order. Each measured way runs them `rounds` times, repeated until
            they make `ENOUGH` tokens or take `SECONDS`.
        few: how many ways are measured.
    """
    rows = [*rows] * -(-ENOUGH // max(sum(row.length for row in rows), 1))
    costs = calibrate(ways, rows)
    quickest = min(predict(ways, costs, rows).values())
    rows = rows[: max(int(len(rows) * min(SECONDS / quickest, 1.0)), 1)]
    expected = [Choice(way, seconds / len(rows)) for way, seconds in predict(ways, costs, rows).items()]
    expected.sort(key=lambda choice: choice.predicted)
    tried, left = expected[:few], expected[few:]
    seconds = np.array([[_seconds(choice.way, rows) for choice in tried] for _ in range(rounds)])
    measured = [
        Choice(choice.way, choice.predicted, float(spent) / len(rows))
        for choice, spent in zip(tried, np.median(seconds, axis=0), strict=True)
    ]
    return [*sorted(measured, key=lambda choice: choice.measured or 0.0), *left]


def calibrate(ways: Sequence[Way], rows: Sequence[Row]) -> dict[Run, Cost]:
    """The cost of calls of each model, by a few calls with a few of the rows."""
    return {run: _calibrated(way, rows) for run, way in {way.run: way for way in ways}.items()}


def predict(ways: Sequence[Way], costs: Mapping[Run, Cost], rows: Sequence[Row]) -> dict[Way, float]:
    """Seconds that each way takes for all rows."""
    return {
        way: sum(costs[way.run].seconds(way.work([rows[i] for i in group])) for group in way.groups(rows))
        for way in ways
    }


def _calibrated(way: Way, rows: Sequence[Row]) -> Cost:
    ordered = sorted(rows, key=lambda row: row.length)
    short, middle, long = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    calls = [[short], [middle], [long], [short] * 8, [middle] * 4, [long] * 2, [*ordered[:: max(len(ordered) // 8, 1)]]]
    if way.form.most is not None:
        calls = [call[: way.form.most] for call in calls]
    if way.form.packed is not None:
        calls = [[call[i] for i in way.groups(call)[0]] for call in calls]
    return Cost.fit([way.work(call) for call in calls], [_least(way, call) for call in calls])


def _least(way: Way, call: Sequence[Row], runs: int = 3) -> float:
    """The least seconds of a call, after one that warms it up."""
    way.call(call)
    return min(_timed(way, call) for _ in range(runs))


def _timed(way: Way, call: Sequence[Row]) -> float:
    started = perf_counter()
    way.call(call)
    return perf_counter() - started


def _seconds(way: Way, rows: Sequence[Row]) -> float:
    return sum(_timed(way, [rows[i] for i in group]) for group in way.groups(rows))
