"""Processor seconds of work in this process."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any


def processor_seconds(work: Callable[[], Any]) -> float:
    """What `work` takes, of all threads, for itself and in the kernel."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
