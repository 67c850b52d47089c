"""Compares ways: how fast each is, how long a request waits, and how large the errors of its answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np

from regraft.batching.form import Arrays, Row
from regraft.batching.queue import Queue
from regraft.batching.ways import Way
from regraft.ir.weights import Array
from regraft.pipelines.progress import Quiet

BUSY = 0.8
"""The load while waiting times are measured, as a share of the throughput of the way."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the arrival of a request to its answer."""

    mean: float
    p99: float


@dataclass(frozen=True)
class Measured:
    """The measurements of a way.

    Attributes:
        calls: how many it made.
        seconds: of all sequences, the median of some rounds.
        throughput: sequences a second.
        latency: of requests that arrive at random and wait for others.
        errors: by output, the mean absolute difference from a sequence run alone, over its tokens.
        worst: the sequence that differs most, and its largest difference.
        samples: by sequence, the largest difference.
    """

    way: Way
    calls: int
    seconds: float
    throughput: float
    latency: Latency | None
    errors: Mapping[str, float]
    worst: tuple[int, float]
    samples: Sequence[float]


def compare(
    ways: Sequence[Way], rows: Sequence[Row], alone: Sequence[Arrays], rounds: int, shown: Quiet
) -> list[Measured]:
    """Run all rows in each way, in turns, `rounds` times.

    Args:
        alone: the answer to each row, run alone, by the original model.
        shown: called with the way that runs next.
    """
    seconds: list[list[float]] = [[] for _ in ways]
    first: list[Measured] = []
    for number in range(rounds):
        for place, way in enumerate(ways):
            shown.begin(way.name)
            parts, spent = _run(way, rows)
            shown.end()
            seconds[place].append(spent)
            if not number:
                first.append(_judged(way, rows, parts, alone))
    middle = [float(np.median(spent)) for spent in seconds]
    return [replace(one, seconds=spent, throughput=len(rows) / spent) for one, spent in zip(first, middle, strict=True)]


def with_latency(one: Measured, requests: Sequence[Arrays], *, timeout: float, seconds: float, seed: int) -> Measured:
    """The same with latencies: requests arrive at random, at `BUSY` of the throughput of the way.

    A way that has to know all sequences beforehand gets none.

    Args:
        requests: of one sequence each.
        timeout: seconds for which one waits for others.
        seconds: in which they arrive.
    """
    if not one.way.policy.is_online:
        return one
    rate = BUSY * one.throughput
    requests = requests[: max(int(rate * seconds), 1)]
    at = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, len(requests)))
    ended = np.zeros(len(requests))

    def stamp(number: int) -> Any:
        def done(future: object) -> None:
            ended[number] = monotonic()

        return done

    way = one.way
    with Queue(way.run, way.form, way.policy, timeout=timeout, most_queued=len(requests)) as queue:
        begun = monotonic()
        futures = []
        for number, request in enumerate(requests):
            sleep(max(begun + float(at[number]) - monotonic(), 0))
            futures.append(queue.submit(request))
            futures[-1].add_done_callback(stamp(number))
        wait(futures)
    waited = (ended - begun - at) * 1e3
    return replace(one, latency=Latency(float(waited.mean()), float(np.percentile(waited, 99))))


def _run(way: Way, rows: Sequence[Row]) -> tuple[dict[int, dict[str, Array]], float]:
    parts: dict[int, dict[str, Array]] = {}
    started = perf_counter()
    for group in way.groups(rows):
        parts |= zip(group, way.call([rows[i] for i in group]), strict=True)
    return parts, perf_counter() - started


def _judged(way: Way, rows: Sequence[Row], parts: Mapping[int, dict[str, Array]], alone: Sequence[Arrays]) -> Measured:
    totals: dict[str, list[float]] = {}
    samples: list[float] = []
    for number, right in enumerate(alone):
        most = 0.0
        for name, value in right.items():
            found = parts[number][name][tuple(map(slice, value.shape))]
            off = np.abs(found.astype(np.float64) - value) if value.dtype.kind == "f" else (found != value) * 1.0
            most = max(most, float(off.max(initial=0.0)))
            totals.setdefault(name, []).append(float(off.mean()) if off.size else 0.0)
        samples.append(most)
    errors = {name: float(np.mean(values)) for name, values in totals.items()}
    worst = int(np.argmax(samples))
    calls = len(way.groups(rows))
    return Measured(way, calls, 0.0, 0.0, None, errors, (worst, samples[worst]), samples)
