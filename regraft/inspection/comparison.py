"""Two models side by side: the nodes that are the same, and of those the ones that changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from regraft.inspection.align import Alignment
from regraft.inspection.attributes import value_of
from regraft.inspection.attribution import Differing
from regraft.inspection.census import operator
from regraft.inspection.fingerprint import attribute_hash, bodies, held
from regraft.inspection.listing import attribute_text
from regraft.ir.graph import Constant, Graph, Node, subgraphs
from regraft.ir.model import Model
from regraft.wording import count


class Comparison(NamedTuple):
    """The pairs of nodes of two models, and those pairs that differ."""

    nodes: Alignment
    changed: list[Differing]


def compare(before: Model, after: Model) -> Comparison:
    """Pair the nodes of two models, and tell those pairs whose nodes differ."""
    nodes = Alignment(before, after)
    return Comparison(nodes, [c for c in (_node_change(old, new, nodes) for old, new in nodes.after.items()) if c])


def _node_change(old: Node, new: Node, nodes: Alignment) -> Differing | None:
    """How `new` differs from `old`, its bodies and its constants aside."""
    alike = nodes.old.forward[old] == nodes.new.forward[new]
    if alike and len(old.outputs) == len(new.outputs) and not subgraphs(old):
        return None
    details = list(_attribute_changes(old, new, nodes))
    for place, (x, y) in enumerate(zip(old.inputs, new.inputs, strict=False)):
        if (held(x) is None or held(y) is None) and nodes.same_value(x, y) is False:
            details.append(f"input {place}: {x.name or 'none'} -> {y.name or 'none'}")
    if len(old.inputs) != len(new.inputs):
        details.append(f"{count(len(old.inputs), 'input')} -> {len(new.inputs)}")
    if len(old.outputs) != len(new.outputs):
        details.append(f"{count(len(old.outputs), 'output')} -> {len(new.outputs)}")
    for (body, a), (_, b) in zip(bodies(old), bodies(new), strict=False):
        details += [f"{body[0]}: {text}" for text in _body_change(a, b, nodes)]
    return Differing(old, new, tuple(details)) if details else None


def _attribute_changes(old: Node, new: Node, nodes: Alignment) -> Iterator[str]:
    """What differs but for constants, which count as weights, and stated defaults."""
    if operator(old) != operator(new):
        yield f"operator: {operator(old)} -> {operator(new)}"
        return
    stated = nodes.old.meant(old), nodes.new.meant(new)
    for name in dict.fromkeys([*stated[0], *stated[1]]):
        a, b = (value_of(attributes, name, new) for attributes in stated)
        if attribute_hash(a) != attribute_hash(b) and not (isinstance(a, Constant) and isinstance(b, Constant)):
            yield f"{name}: {attribute_text(a)} -> {attribute_text(b)}"


def _body_change(old: Graph, new: Graph, nodes: Alignment) -> Iterator[str]:
    if len(old.inputs) != len(new.inputs) or len(old.outputs) != len(new.outputs):
        yield f"({len(old.inputs)}) -> {len(old.outputs)} became ({len(new.inputs)}) -> {len(new.outputs)}"
    for place, (x, y) in enumerate(zip(old.outputs, new.outputs, strict=False)):
        if x.inputs and y.inputs and nodes.same_value(x, y) is False:
            yield f"output {place}: {x.name} -> {y.name}"
