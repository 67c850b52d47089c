"""Which things belong together, found by joining them one by one."""

from __future__ import annotations

from typing import Any


class Groups:
    """Things that belong together; each look shortens the way to the root."""

    def __init__(self) -> None:
        self._above: dict[Any, Any] = {}

    def root(self, one: Any) -> Any:
        """What stands for all that belong together with `one`."""
        path = []
        while (above := self._above.setdefault(one, one)) != one:
            path.append(one)
            one = above
        self._above.update(dict.fromkeys(path, one))
        return one

    def join(self, first: Any, *others: Any) -> None:
        """Let `others`, and what belongs together with them, belong together with `first`."""
        for other in others:
            self._above[self.root(other)] = self.root(first)
