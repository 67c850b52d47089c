"""How a process ends that a signal asks to end: what it has begun to write is removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDED = 128
"""What is added to the number of the signal, to make the exit code."""

MESSAGE = "regraft: interrupted"

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal asked the process to end."""

    def __init__(self, number: int):
        super().__init__(ENDED + number)


@contextmanager
def cleaning() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise `Ended`, so that what has been begun is cleaned up, as on an interrupt.

    Outside they end the process at once, even in the middle of native code. Handlers that somebody has set stay.
    """
    in_main = threading.current_thread() is threading.main_thread()
    ours = [number for number in _SIGNALS if in_main and signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, frame: object) -> None:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)  # once is enough: what is left to do is to clean up
        raise Ended(number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
