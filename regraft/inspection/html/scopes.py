"""The scopes of nodes as a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from regraft.inspection.scopes import Path


def common(paths: Iterable[Path]) -> Path:
    """The scopes that all `paths` begin with."""
    first, *rest = list(paths) or [()]
    length = len(first)
    for path in rest:
        length = next((i for i, (a, b) in enumerate(zip(first, path, strict=False)) if a != b), min(length, len(path)))
        first = first[:length]
    return first


class ScopeTree:
    """The scopes of many nodes as a tree; one that holds a single node is left out.

    Attributes:
        rows: name and parent of each scope; 0 is the whole.
        of: the scope of each node.
    """

    def __init__(self, paths: list[Path]):
        held = Counter(path[:depth] for path in paths for depth in range(1, len(path) + 1))
        places: dict[Path, int] = {(): 0}
        self.rows: list[tuple[str, int]] = [("", -1)]
        self.of = []
        for path in paths:
            place = 0
            for depth in range(1, len(path) + 1):
                if held[path[:depth]] < 2:
                    break
                known = places.get(path[:depth])
                if known is None:
                    known = places[path[:depth]] = len(self.rows)
                    self.rows.append((path[depth - 1], place))
                place = known
            self.of.append(place)
