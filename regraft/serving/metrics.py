"""The metrics of a server, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from regraft.batching.queue import Call

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = tuple(digit * 10.0**power for power in range(-4, 1) for digit in (1, 2, 5))
_TOKENS = tuple(float(2**n) for n in range(17))
_SHARES = tuple(n / 10 for n in range(1, 11))


class Metrics:
    """The metrics of one server.

    Args:
        queued: returns the number of rows that wait.
    """

    def __init__(self, queued: Callable[[], int]):
        self._registry = registry = CollectorRegistry()
        self._queue = Histogram("regraft_queue_seconds", "What a row waited", buckets=_SECONDS, registry=registry)
        self._call = Histogram("regraft_call_seconds", "What a call took", buckets=_SECONDS, registry=registry)
        self._tokens = Histogram(
            "regraft_call_tokens", "Tokens of a call, without padding", buckets=_TOKENS, registry=registry
        )
        self._fill = Histogram(
            "regraft_call_fill", "Tokens of a call by those that it computed", buckets=_SHARES, registry=registry
        )
        self._inferences = Counter("regraft_inferences", "Rows of requests that were run", registry=registry)
        self._requests = Counter("regraft_requests", "Requests to infer, answered", ["status"], registry=registry)
        Gauge("regraft_queued_rows", "Rows that wait", registry=registry).set_function(queued)

    def called(self, call: Call) -> None:
        """Count a call and its rows."""
        for seconds in call.waited:
            self._queue.observe(seconds)
        self._call.observe(call.seconds)
        self._tokens.observe(call.tokens)
        self._fill.observe(call.tokens / call.places)
        self._inferences.inc(len(call.waited))

    def answered(self, status: int) -> None:
        """Count a request by its status; 499 where its client hung up."""
        self._requests.labels(str(status)).inc()

    def text(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self._registry)
