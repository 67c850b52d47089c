"""`symbol.json`: the graph of an MXNet model as text.

    nodes: [{op, name, attrs, inputs: [[node, output, version], ...]}, ...]    in topological order
    heads: [[node, output, version], ...]                                      the outputs

A node whose op is "null" is a variable: an input or a parameter.
Attributes are texts; they stand under `attrs`, in files of old versions under `attr` or `param`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.outside import parse_json, read_text
from regraft.pipelines.frontend import FrontendError

VARIABLE = "null"

Edge = tuple[int, int]
"""The index of a node, and which of its outputs."""


@dataclass(frozen=True)
class Node:
    """An operation, or a variable: an input or a parameter."""

    op: str
    name: str
    attrs: Mapping[str, str]
    inputs: tuple[Edge, ...]

    def __str__(self) -> str:
        return f"node '{self.name}' ({self.op})"


@dataclass(frozen=True)
class Symbol:
    """The graph; `version` is that of the MXNet which wrote it, empty if not stated."""

    nodes: tuple[Node, ...]
    heads: tuple[Edge, ...]
    version: str


def read_symbol(path: Path) -> Symbol:
    """The graph in the file at `path`. Raises FrontendError if it is no symbol.json."""
    try:
        content = parse_json(read_text(path, FrontendError), f"{path} is no symbol.json of MXNet", FrontendError)
        nodes = tuple(_node(entry) for entry in content["nodes"])
        symbol = Symbol(nodes, _edges(content["heads"]), _version(content))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise FrontendError(f"{path} is no symbol.json of MXNet: {type(error).__name__} {error}") from error
    edges = [(edge, index) for index, node in enumerate(nodes) for edge in node.inputs]
    edges += [(edge, len(nodes)) for edge in symbol.heads]
    if bad := next((edge for edge, reader in edges if not 0 <= edge[0] < reader), None):
        raise FrontendError(f"{path} is no symbol.json of MXNet: node {bad[0]} is read before it is made")
    return symbol


def _node(entry: Any) -> Node:
    attrs = entry.get("attrs") or entry.get("attr") or entry.get("param") or {}
    return Node(str(entry["op"]), str(entry["name"]), dict(attrs), _edges(entry["inputs"]))


def _edges(entries: Any) -> tuple[Edge, ...]:
    return tuple((int(entry[0]), int(entry[1])) for entry in entries)


def _version(content: Any) -> str:
    """`["int", 10901]` is 1.9.1."""
    number = int((content.get("attrs") or {}).get("mxnet_version", ["int", 0])[1])
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else ""
