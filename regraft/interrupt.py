"""Ends a process on a signal, after removing files that it has begun to write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDED = 128
"""The exit code is this plus the number of the signal."""

MESSAGE = "regraft: interrupted"

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_AGAIN = 0.01
"""Seconds until an interrupt is tried again that came during an import."""


class Ended(SystemExit):
    """A signal asked the process to end."""

    def __init__(self, number: int):
        super().__init__(ENDED + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, an interrupt raises KeyboardInterrupt, once no module is being imported: C++ that calls Python as it is
    loaded takes no exception and aborts, and a module left half imported may crash Python as it ends. Only the main
    thread is interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    else:
        raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


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
