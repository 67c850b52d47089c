"""Rows of many requests share calls: a request is split into rows, these wait for others, and its caller gets a future.

submit → rows wait → a worker takes a group of them → one call → the outputs of each row → the futures of the callers
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic
from typing import Any

from regraft.batching.form import Arrays, Form, RequestError, Row
from regraft.batching.policy import Policy, check_policy
from regraft.errors import RegraftError
from regraft.ir.weights import Array
from regraft.packers.limits import PackingError
from regraft.wording import count

AHEAD = 512
"""Rows that a policy sees at a time: its time grows with them."""


class Overloaded(RegraftError):
    """The queue is full."""


class DeadlineExceeded(RegraftError):
    """The deadline of a request passed before all of its rows were started."""


class Closed(RegraftError):
    """The queue takes no more requests."""


@dataclass(frozen=True)
class Call:
    """A finished call.

    Attributes:
        waited: seconds for which each of its rows has waited.
        tokens: of its rows.
        places: tokens that were computed for them, padding included.
        seconds: its duration.
    """

    waited: list[float]
    tokens: int
    places: int
    seconds: float


@dataclass(eq=False)
class _Request:
    """A request of a caller, and the part of the answer that is there."""

    arrays: Arrays
    future: Future[dict[str, Array]]
    deadline: float
    parts: list[Arrays | None]
    settled: bool = False

    def is_over(self, now: float) -> bool:
        """Whether nobody waits for it any more."""
        return self.settled or self.deadline <= now or self.future.cancelled()


@dataclass(eq=False)
class _Waiting:
    """A row that waits, with the time of its arrival and the latest time to start it."""

    request: _Request
    number: int
    row: Row
    since: float
    until: float


class Queue:
    """Puts the rows of requests into calls, and answers each request as if it were run alone.

    A free worker starts a group of rows when the policy finds it full, or when one of them has waited long enough:
    `timeout`, or half of the time to its deadline. If a call fails, each of its requests runs again alone, and those
    that fail again get the error. As a context manager it drains at the end.

    Args:
        run: computes the outputs of a batch from its inputs, by name, as `Session.run`; called from several threads.
        form: how the model's inputs and outputs hold sequences.
        policy: which rows share a call.
        timeout: seconds for which a row waits for others while a worker is free.
        most_queued: how many rows may wait.
        instances: calls at a time, each in a thread.
        listener: called with every finished call, in the thread that made it; it must not raise.

    Raises:
        RegraftError: the policy puts more rows into a call than the model takes.
    """

    def __init__(
        self,
        run: Callable[[dict[str, Array]], Mapping[str, Array]],
        form: Form,
        policy: Policy,
        *,
        timeout: float = 0.002,
        most_queued: int = 1024,
        instances: int = 1,
        listener: Callable[[Call], None] | None = None,
    ):
        check_policy(policy, form)
        self._run, self._form, self._policy, self._listener = run, form, policy, listener
        self._timeout, self._most = timeout, most_queued
        self._waiting: list[_Waiting] = []
        self._closed = False
        self._changed = Condition()
        self._workers = [Thread(target=self._work, name=f"queue-{i}", daemon=True) for i in range(instances)]
        for worker in self._workers:
            worker.start()

    @property
    def queued(self) -> int:
        """Rows that wait."""
        return len(self._waiting)

    def submit(self, request: Arrays, deadline: float | None = None) -> Future[dict[str, Array]]:
        """Queue a request. Cancelling the future drops the rows that have not started.

        Args:
            request: the model's inputs by name, of one sequence or several; they are read until the answer is there.
            deadline: by `time.monotonic`; rows that have not started by then never start.

        Returns:
            A future of the model's outputs by name, in the sizes of the request. It raises DeadlineExceeded, Closed
            where the queue was closed without draining, or what the call raised.

        Raises:
            RequestError: the model does not take the request, whatever else waits.
            Overloaded: too many rows wait.
            Closed: the queue is closed.
        """
        rows = self._form.rows(request)
        if len(rows) > self._most:
            raise RequestError(
                f"{count(len(rows), 'sequence')} in a request; no more than {self._most} may wait: send fewer"
            )
        try:
            self._policy.groups([row.length for row in rows])
        except PackingError as error:
            raise RequestError(str(error)) from error
        now = monotonic()
        asked = _Request(request, Future(), math.inf if deadline is None else deadline, [None] * len(rows))
        until = now + min(self._timeout, max(asked.deadline - now, 0) / 2)
        with self._changed:
            if self._closed:
                raise Closed("the queue is closed: it takes no more requests")
            if len(self._waiting) + len(rows) > self._most:
                raise Overloaded(f"{len(self._waiting)} of {count(self._most, 'row')} wait already: try again later")
            self._waiting += [_Waiting(asked, number, row, now, until) for number, row in enumerate(rows)]
            self._changed.notify()
        return asked.future

    def close(self, drain: bool = True, timeout: float | None = None) -> None:
        """Take no more requests, and end the threads; calls that have started are always finished.

        Args:
            drain: answer accepted requests; else they get Closed.
            timeout: seconds after which draining ends, and requests that still wait get Closed.
        """
        end = math.inf if timeout is None else monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers if drain else ():
            worker.join(None if timeout is None else max(end - monotonic(), 0))
        with self._changed:
            left, self._waiting = self._waiting, []
        for request in dict.fromkeys(one.request for one in left):
            self._settle(request, Closed("the queue was closed before the request was run"))
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            rows, over = taken
            for request in over:
                self._settle(request, DeadlineExceeded("the deadline passed before the request was run"))
            if rows:
                self._call(rows)

    def _take(self) -> tuple[list[_Waiting], list[_Request]] | None:
        """The rows of the next call, or requests that nobody waits for any more; None when the queue has ended."""
        with self._changed:
            while True:
                now = monotonic()
                over: list[_Waiting] = []
                rows: list[_Waiting] = []
                for one in self._waiting[:AHEAD]:
                    (over if one.request.is_over(now) else rows).append(one)
                group = set() if over else set(self._group(rows, now))
                if over or group:
                    self._waiting[:AHEAD] = [one for i, one in enumerate(rows) if i not in group]
                    self._changed.notify()  # for what is left another worker may be free
                    return [rows[i] for i in sorted(group)], list(dict.fromkeys(one.request for one in over))
                if self._closed and not rows:
                    return None
                self._changed.wait(min(one.until for one in rows) - now if rows else None)

    def _group(self, rows: Sequence[_Waiting], now: float) -> list[int]:
        """The indices of the rows to run now; none if it is better to wait for more."""
        if not rows:
            return []
        first = min(range(len(rows)), key=lambda i: rows[i].until)
        alike = [i for i, one in enumerate(rows) if one.row.alike == rows[first].row.alike]
        lengths = [rows[i].row.length for i in alike]
        is_full = len(rows) == AHEAD or self._policy.is_full(lengths)
        if not (self._closed or rows[first].until <= now or is_full):
            return []
        place = alike.index(first)
        return [alike[i] for i in next(group for group in self._policy.groups(lengths) if place in group)]

    def _call(self, rows: Sequence[_Waiting]) -> None:
        try:
            parts = self._parts([one.row for one in rows], [one.since for one in rows])
        except Exception as error:  # of any kind: the caller gets it
            requests = dict.fromkeys(one.request for one in rows)
            if len(requests) == 1:
                self._settle(rows[0].request, error)
                return
            for request in requests:
                self._call([one for one in rows if one.request is request])
            return
        with self._changed:
            for one, part in zip(rows, parts, strict=True):
                one.request.parts[one.number] = part
            requests = dict.fromkeys(one.request for one in rows)
            whole = [request for request in requests if None not in request.parts]
        for request in whole:
            self._answer(request)

    def _parts(self, rows: list[Row], since: list[float]) -> list[dict[str, Array]]:
        """Run one call. Returns the outputs of each row."""
        batch, started = self._form.joined(rows), monotonic()
        parts = self._form.parted(self._run(batch), rows)
        ended = monotonic()
        if self._listener is not None:
            waited, tokens = [started - then for then in since], sum(row.length for row in rows)
            self._listener(Call(waited, tokens, self._form.places(batch), ended - started))
        return parts

    def _answer(self, request: _Request) -> None:
        try:
            answer: Any = self._form.answer(request.arrays, [part for part in request.parts if part is not None])
        except Exception as error:  # as above
            answer = error
        self._settle(request, answer)

    def _settle(self, request: _Request, result: dict[str, Array] | Exception) -> None:
        """Answer a request, once."""
        with self._changed:
            first, request.settled = not request.settled, True
        if not first or not request.future.set_running_or_notify_cancel():
            return
        if isinstance(result, Exception):
            request.future.set_exception(result)
        else:
            request.future.set_result(result)
