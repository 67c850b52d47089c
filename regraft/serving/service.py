"""The state of a server: its model, whether that is starting, ready or draining, and its metrics."""

from __future__ import annotations

from typing import Literal

from regraft.errors import RegraftError
from regraft.serving.metrics import Metrics
from regraft.serving.model import ServedModel


class Unavailable(RegraftError):
    """The model is starting or draining."""


class Service:
    """One model, from before it is opened until the last answer.

    Attributes:
        name: by which clients ask for it.
        metrics: its `called` is the queue's listener.
        model: None until it is open.
        draining: whether new requests are refused.
    """

    def __init__(self, name: str):
        self.name = name
        self.model: ServedModel | None = None
        self.draining = False
        self.metrics = Metrics(lambda: self.model.queue.queued if self.model else 0)

    @property
    def state(self) -> Literal["starting", "ready", "draining"]:
        """Where it stands."""
        return "draining" if self.draining else "starting" if self.model is None else "ready"

    @property
    def ready(self) -> ServedModel:
        """The model. Raises Unavailable where it is not ready."""
        if self.model is None or self.draining:
            raise Unavailable(f"the server is {self.state}: try again later")
        return self.model

    def drain(self, timeout: float) -> None:
        """Refuse new requests, and answer accepted ones, for at most this many seconds."""
        self.draining = True
        if self.model is not None:
            self.model.queue.close(timeout=timeout)
