"""Ends a process on a signal, after removing files that it has begun to write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDED = 128
"""The exit code is this plus the number of the signal."""

MESSAGE = "regraft: interrupted"

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal asked the process to end."""

    def __init__(self, number: int):
        super().__init__(ENDED + number)


@contextmanager
def cleaning() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise `Ended`, so that unfinished files are removed, as on an interrupt. Outside they
    end the process at once, even in the middle of native code. Handlers that were set before stay.
    """
    in_main = threading.current_thread() is threading.main_thread()
    ours = [number for number in _SIGNALS if in_main and signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, frame: object) -> None:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)  # once is enough: only the clean-up remains
        raise Ended(number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
