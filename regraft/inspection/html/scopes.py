"""Which part of the source a node comes from: by what exporters write into its metadata, else by its name."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from regraft.ir.graph import Function, Node

SCOPES = "pkg.torch.onnx.name_scopes"
"""Metadata where torch's exporter lists the modules around a node, each by its whole name, and the node's own last."""

Path = tuple[str, ...]


def scope_of(node: Node) -> Path:
    """The names of the modules around `node`, from the outermost; those of a function begin with its name."""
    outer = (f"function {'.'.join(node.graph.unique_id)}",) if isinstance(node.graph, Function) else ()
    return outer + (_of_metadata(node) or _of_name(node.name))


def _of_metadata(node: Node) -> Path:
    text = node.metadata.get(SCOPES, "") if node.has_metadata else ""
    try:
        listed = ast.literal_eval(text) if text else []
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ()
    names = [name for name in listed if isinstance(name, str)][:-1] if isinstance(listed, list) else []
    path: Path = ()
    for inner, outer in zip(names, ["", *names], strict=False):
        if inner:
            path += (inner.removeprefix(f"{outer}.") if outer else inner,)
    return path


def _of_name(name: str) -> Path:
    return tuple(part for part in name.split("/")[:-1] if part)


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
