"""What nodes of two models are told by; nodes of equal keys may be the same."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable

from regraft.files.wire import LARGE
from regraft.inspection import contents
from regraft.inspection.fingerprint import Fingerprints, held
from regraft.ir.graph import Node
from regraft.pipelines.pass_base import MADE_BY, label

Key = Callable[[Fingerprints, Node], Hashable]
"""What tells a node of one side; None where nothing does."""


def exact(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.forward[node], side.backward[node]


def exact_and_name(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.forward[node], side.backward[node], label(node)


def forward(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.forward[node]


def backward(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.backward[node]


def local(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.local(node)


def readers(side: Fingerprints, node: Node) -> Hashable:
    """The operator, and those that read from it."""
    return side.scope[node], side.readers(node)


def outline(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.outline(node)


def form(side: Fingerprints, node: Node) -> Hashable:
    """The operator, and which inputs are constants, of what shape."""
    return side.scope[node], side.outline(node, makers=False)


def kind(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.operator[node]


def name(side: Fingerprints, node: Node) -> Hashable:
    return side.scope[node], side.operator[node], label(node)


def only_name(side: Fingerprints, node: Node) -> Hashable:
    """The name of a node that no pass made: of one that stayed in its place, with another operator."""
    own = node.name and not (node.has_metadata and MADE_BY in node.metadata)
    return (side.scope[node], node.name) if own else None


def weights(side: Fingerprints, node: Node) -> Hashable:
    """What the large constants that the node reads hold, by samples."""
    large = [c for c in map(held, node.inputs) if c is not None and c.nbytes >= LARGE]
    return (side.operator[node], *map(contents.sample, large)) if large else None


def of_readers(key: Key) -> Key:
    """`key`, but of no node that reads nothing: what reads it tells more."""
    return lambda side, node: key(side, node) if node.inputs else None


def of_all(side: Fingerprints, nodes: Iterable[Node], key: Key) -> list[Hashable]:
    return [key(side, node) for node in nodes]


def grouped(
    side: Fingerprints, nodes: Iterable[Node], key: Key, among: Container[Hashable] | None = None
) -> dict[Hashable, list[Node]]:
    """The nodes of each key, or of those in `among`."""
    found: dict[Hashable, list[Node]] = {}
    for node in nodes:
        k = key(side, node)
        if k is not None and (among is None or k in among):
            found.setdefault(k, []).append(node)
    return found
