"""What was computed for the last keys: neighbours in a file ask for the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

_MOST = 4096


class Memo(dict[K, V]):
    """Gives `compute(key)` for a key, and keeps it for a while."""

    def __init__(self, compute: Callable[[K], V]):
        super().__init__()
        self._compute = compute

    def __missing__(self, key: K) -> V:
        if len(self) == _MOST:
            self.clear()
        found = self[key] = self._compute(key)
        return found
