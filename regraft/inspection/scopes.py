"""Which part of the source a node comes from: by what exporters write into its metadata, else by its name."""

from __future__ import annotations

import ast

from regraft.ir.graph import Function, Node
from regraft.pipelines.inheritance import SCOPES

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
