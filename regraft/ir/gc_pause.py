"""Python's garbage collector, out of the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No collection inside: it would walk the whole graph each time the graph has grown by some, and find nothing.

    What is left of it afterwards is taken for long-lived: a collection of the young would walk it all once more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # else somebody froze objects, and they would be thawed
                gc.freeze()
                gc.unfreeze()  # into the oldest generation
            gc.enable()
