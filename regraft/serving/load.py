"""A load for a server, and its results: throughput, latency, errors, wrong answers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regraft.ir.weights import Array
from regraft.serving.arrivals import Arrival, Arrivals, Schedule
from regraft.serving.client import Answer, Connection, ConnectionFailure, Server
from regraft.serving.protocol import ProtocolError, decode_response, encode_request
from regraft.serving.requests import Batch, Expected, LoadError

REJECTED, TIMEOUT, CONNECTION, PROTOCOL = "rejected", "timeout", "connection", "protocol"
"""Errors beside a status: 429 with Retry-After, no answer in time, none at all, one that is not the protocol's."""

_PERCENTILES = (50, 90, 99)
_SHARE = 0.01  # of the requests may be late or unanswered while P99 is within the limit


@dataclass(frozen=True)
class Request:
    """A request as its bytes, made before the clock starts.

    Attributes:
        rows: sequences in it.
        expected: its right answer; None where answers are not checked.
    """

    message: bytes
    rows: int
    expected: Expected | None = None

    @classmethod
    def of(cls, batch: Batch, server: Server, model: str, binary: bool, expected: Expected | None = None) -> Request:
        """The request that sends a batch to a model, given by its path."""
        body, headers = encode_request(batch.inputs, binary=binary)
        return cls(server.request("POST", f"{model}/infer", body, headers), len(batch.lengths), expected)


@dataclass(frozen=True)
class Load:
    """The requests to send, and the limits.

    Attributes:
        requests: sent in turn, and again from the first after the last.
        seconds: after which nothing more is sent.
        most: the largest number of requests.
        timeout: seconds that one may take.
    """

    server: Server
    requests: Sequence[Request]
    seconds: float
    most: int
    timeout: float


@dataclass(frozen=True)
class Result:
    """The results of a load; latencies are those of answers with status 200.

    Attributes:
        throughput: sequences answered a second.
        requests: answered or not.
        errors: how many of each kind: a status, or `REJECTED` and its like.
        wrong: sequences with a wrong answer; None where answers were not compared.
        seconds: from the first request to the last answer.
        rate: the requested arrivals a second; None where clients sent as fast as they got answers.
        late_ms: the largest delay of an arrival behind its schedule, which is part of its latency.
        interrupted: whether it was ended from the keyboard.
    """

    scenario: str
    throughput: float
    latencies_ms: Array
    requests: int
    errors: dict[str, int]
    wrong: int | None
    seconds: float
    rate: float | None = None
    late_ms: float = 0.0
    interrupted: bool = False

    def percentile(self, percent: float) -> float | None:
        """The latency in ms that so many percent stayed within; None where nothing was answered."""
        if not self.latencies_ms.size:
            return None
        return float(np.percentile(self.latencies_ms, percent, method="inverted_cdf"))

    def holds(self, limit_ms: float) -> bool:
        """Whether 99 % of all requests were answered within a limit."""
        late = self.requests - int(np.count_nonzero(self.latencies_ms <= limit_ms))
        return self.requests > 0 and late <= _SHARE * self.requests

    def to_dict(self) -> dict[str, Any]:
        """As values for JSON."""
        found = self.latencies_ms
        return {
            "scenario": self.scenario,
            **({} if self.rate is None else {"rate": self.rate}),
            "throughput": self.throughput,
            "mean_ms": float(found.mean()) if found.size else None,
            **{f"p{percent}_ms": self.percentile(percent) for percent in _PERCENTILES},
            "max_ms": float(found.max()) if found.size else None,
            "requests": self.requests,
            "errors": self.errors,
            "wrong": self.wrong,
            "seconds": self.seconds,
        }


def run_clients(load: Load, clients: int, each: int, advance: Callable[[], None]) -> Result:
    """Clients that send requests one after the other, each on a connection of its own.

    Args:
        each: requests of a client.
        advance: called for each finished request.
    """
    tally = _Tally(load, "clients", advance)
    return tally.result(_run(_clients(load, clients, each, tally)))


def run_server_scenario(
    load: Load, rate: float, connections: int, seed: int, limit_ms: float, advance: Callable[[], None]
) -> Result:
    """Requests that arrive as a Poisson process, by MLPerf's LoadGen; latency counts from when one was due.

    Args:
        rate: arrivals a second.
        connections: the largest number; a request waits for a free one.
        limit_ms: of P99, for LoadGen's own judgement.

    Raises:
        LoadError: LoadGen is not installed.
    """
    tally = _Tally(load, "server", advance, rate)
    schedule = Schedule(rate, load.seconds, load.most, limit_ms, len(load.requests), seed)
    return tally.result(_run(_scheduled(load, Arrivals(schedule), connections, tally)))


def find_rate(measure: Callable[[float], Result], limit_ms: float, start: float, close: float = 1.05) -> Result:
    """The run with the highest rate at which P99 stays within a limit.

    The rate is doubled, or halved, until it lies between one that holds and one that does not; then the gap is halved.

    Args:
        measure: a run at a rate.
        close: the factor between the two at which the search ends.

    Raises:
        LoadError: no rate holds.
    """
    held, failed, rate = None, float("inf"), start
    while held is None or failed > close * (held.rate or start):
        result = measure(rate)
        if result.interrupted:
            return held or result
        if result.holds(limit_ms):
            held = result
        else:
            failed = rate
        if held is None and rate < start / 2**8:
            found = (
                "nothing was answered" if result.percentile(99) is None else f"P99 was {result.percentile(99):.4g} ms"
            )
            raise LoadError(f"no rate holds {limit_ms:g} ms: at {rate:.3g} a second {found}, errors {result.errors}")
        low = held.rate if held is not None and held.rate is not None else 0.0
        rate = 2 * low if failed == float("inf") else (low * failed) ** 0.5 if low else failed / 2
    return held


@dataclass
class _Tally:
    """Counts the results of requests."""

    load: Load
    scenario: str
    advance: Callable[[], None]
    rate: float | None = None
    late: float = 0.0
    latencies: dict[int, float] = field(default_factory=dict)
    rows: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    async def ask(self, number: int, request: Request, connection: Connection, due: float | None = None) -> None:
        """Send a request, and count its answer; `due`: its scheduled time, if not now."""
        due = time.monotonic() if due is None else due
        try:
            async with asyncio.timeout_at(due + self.load.timeout):
                answer = await connection.send(request.message)
            self.ended = time.monotonic()
            if self.ended - due > self.load.timeout:
                self.fail(TIMEOUT)
            else:
                self._count(number, request, answer, self.ended - due)
        except TimeoutError:
            self.fail(TIMEOUT)
        except ConnectionFailure:
            self.fail(CONNECTION)

    def fail(self, kind: str) -> None:
        """Count a request without an answer."""
        self.errors[kind] += 1
        self.ended = time.monotonic()
        self.advance()

    def _count(self, number: int, request: Request, answer: Answer, latency: float) -> None:
        if answer.status != 200:
            refused = answer.status == 429 and "retry-after" in answer.headers
            self.fail(REJECTED if refused else str(answer.status))
            return
        try:
            if request.expected is not None:
                self.wrong += request.expected.wrong(decode_response(answer.body, answer.header_length))
        except ProtocolError:
            self.fail(PROTOCOL)
            return
        self.latencies[number] = latency
        self.rows += request.rows
        self.advance()

    def result(self, interrupted: bool) -> Result:
        seconds = max(self.ended - self.begun, 0.0)
        return Result(
            self.scenario,
            self.rows / seconds if seconds else 0.0,
            np.array(list(self.latencies.values())) * 1e3,
            len(self.latencies) + self.errors.total(),
            dict(self.errors),
            self.wrong if any(request.expected for request in self.load.requests) else None,
            seconds,
            self.rate,
            self.late * 1e3,
            interrupted,
        )


def _run(work: Coroutine[Any, Any, None]) -> bool:
    """Run a load. Returns whether the keyboard interrupted it."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        return True
    except ExceptionGroup as group:  # of the tasks of a load, whose first failure ends the others
        raise group.exceptions[0] from group
    return False


async def _clients(load: Load, clients: int, each: int, tally: _Tally) -> None:
    numbers = itertools.count()
    tally.begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(load, each, numbers, tally))


async def _client(load: Load, each: int, numbers: Iterator[int], tally: _Tally) -> None:
    async with Connection(load.server) as connection:
        for _ in range(each):
            if time.monotonic() - tally.begun >= load.seconds or (number := next(numbers)) >= load.most:
                return
            await tally.ask(number, load.requests[number % len(load.requests)], connection)


async def _scheduled(load: Load, arrivals: Arrivals, connections: int, tally: _Tally) -> None:
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    opened = [Connection(load.server) for _ in range(connections)]
    for connection in opened:
        free.put_nowait(connection)

    async def answer(number: int, arrival: Arrival) -> None:
        try:
            async with asyncio.timeout_at(arrival.due + load.timeout):
                connection = await free.get()
        except TimeoutError:
            tally.fail(TIMEOUT)
        else:
            await tally.ask(number, load.requests[arrival.place], connection, arrival.due)
            free.put_nowait(connection)
        arrivals.complete(arrival)

    try:
        async with arrivals, asyncio.TaskGroup() as group:
            number = 0
            async for arrival in arrivals:
                tally.begun = arrival.due if not number else tally.begun
                group.create_task(answer(number, arrival))
                number += 1
            tally.late = max(arrivals.delays, default=0.0)
            for number, delay in enumerate(arrivals.delays):
                if number in tally.latencies:
                    tally.latencies[number] += delay
    finally:
        for connection in opened:
            connection.close()
