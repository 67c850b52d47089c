"""Leads every node of a model from its opset to another.

`plan` finds a way for all of them and touches nothing, so a refusal leaves the model as it was; `apply` then rewrites.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from onnx import helper

from regraft.errors import PassError, UnknownNameError
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, walk
from regraft.ir.model import Model
from regraft.opset import attributes, broadcast, forms, history, normalize, pool, quantize, resize, softmax, training
from regraft.opset.adapter_context import Draft, Inexpressible, Place, Site
from regraft.opset.expand import expand, has_body
from regraft.opset.table import DOWN, UP
from regraft.opset.types import Types
from regraft.opset.values import refuse_new_values
from regraft.opset.wider import compute_wider, refused

FAMILIES = (attributes, broadcast, forms, normalize, pool, quantize, resize, softmax, training)
"""The modules of the adapters: importing them fills the table."""


@dataclass
class Rewrite:
    """What one node becomes: `heir` is the node in its new form, None where only `others` take its place."""

    node: Node
    heir: Draft | None
    others: list[Draft]


@dataclass
class Plan:
    """What a model becomes in opset `target`; nodes without a rewrite stay as they are."""

    target: int
    rewrites: list[Rewrite]
    notes: list[str]


def plan(model: Model, target: int) -> Plan:
    """Find the way of every node of `model` to opset `target`.

    Raises:
        PassError: `target` is too old or too new.
        Inexpressible: a node cannot be expressed there, or the model's opset is too old.
    """
    if not history.LOWEST <= target <= history.NEWEST:
        raise PassError(f"opset {target} is not among those that can be written, {history.LOWEST} to {history.NEWEST}")
    functions = {(f.domain or "", f.name) for f in model.functions}
    types, result = Types(model), Plan(target, [], [])
    roots = model.roots
    for root in roots:
        for graph in walk(root):
            place = Place(types, result.notes, set(graph.outputs))
            for node in graph.nodes:
                if ("", node.op) not in functions:
                    rewrite = _way(node, graph, target, place)
                    if rewrite is not None:
                        result.rewrites.append(rewrite)
    return result


_ADOPTED = frozenset({"LayerNormalization", "ThresholdedRelu"})
"""Operators that ONNX took over from ONNX Runtime as they were."""

_ENDED = frozenset({"Affine", "Crop", "DynamicSlice", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh"})
"""Operators that ONNX Runtime keeps in ONNX's domain, but takes no more from opset 10 on."""


def _way(node: Node, graph: AnyGraph, target: int, place: Place) -> Rewrite | None:
    if node.domain == schema.FOREIGN:
        return _adopted(node, target, place)
    if node.domain:
        return None
    if schema.find(node.op, history.NEWEST) is None:
        raise Inexpressible(str(UnknownNameError("ONNX operator", node.op, schema.names())))
    if _stays(node.op, graph.opset, target):
        return None
    if graph.opset < history.OLDEST:
        raise Inexpressible(f"the model is of opset {graph.opset}; the oldest that can be read is {history.OLDEST}")
    first = Draft(node.op, list(node.inputs), list(node.outputs), dict(node.attrs), graph.opset)
    return _lead(node, first, target, place)


@functools.cache
def _stays(op: str, opset: int, target: int) -> bool:
    """Whether every node of `op` is one in `target` too: on the way there its schema is as it was, or widens."""
    while (after := history.next_change(op, opset, target)) is not None:
        if target < opset or opset < history.OLDEST or (op, after) in UP:
            return False
        change = history.change(op, after)
        if change.breaks or change.narrows:
            return False
        opset = after
    return True


def _adopted(node: Node, target: int, place: Place) -> Rewrite | None:
    """The way of a runtime's own operator: it stays one, or is ONNX's where ONNX took it over."""
    if node.op in _ENDED and target >= 10:
        raise Inexpressible(f"{_label(node)}: ONNX Runtime, whose operator it is, takes it up to opset 9")
    if schema.find(node.op, target) is None:
        return None
    since = schema.since(node.op)
    if node.op not in _ADOPTED:
        raise Inexpressible(
            f"{_label(node)}: opset {since} brought an operator of this name, which need not be the one that is meant"
        )
    first = Draft(node.op, list(node.inputs), list(node.outputs), dict(node.attrs), since)
    return _lead(node, first, target, place)


def _label(node: Node) -> str:
    return f"node '{node.name or node.outputs[0].name}' ({node.op})"


def _lead(node: Node, first: Draft, target: int, place: Place) -> Rewrite | None:
    """The way of `first`, the form that `node` begins with, to opset `target`."""
    label = _label(node)
    done, ways = [], [first]
    while ways:
        draft = ways.pop()
        opset = history.next_change(draft.op, draft.version, target)
        if opset is None:
            done.append(draft)
        else:
            ways += _cross(draft, opset, draft.version <= target, label, place)
    heir = first if any(draft is first for draft in done) else None
    if heir is not None and len(done) == 1 and _is_unchanged(node, heir):
        return None
    return Rewrite(node, heir, [draft for draft in done if draft is not first])


def _cross(draft: Draft, opset: int, upwards: bool, label: str, place: Place) -> list[Draft]:
    """The nodes that `draft` becomes at the change that `opset` brought."""
    before = Draft(draft.op, list(draft.inputs), list(draft.outputs), dict(draft.attrs), draft.version)
    site = Site(draft, opset if upwards else opset - 1, label, place)
    try:
        (_up if upwards else _down)(site, history.change(draft.op, opset))
    except Inexpressible:
        if upwards or not has_body(before.op, before.version):
            raise
        return expand(_again(before, site))
    return [*([draft] if site.kept else []), *site.added]


def _again(draft: Draft, failed: Site) -> Site:
    site = Site(draft, failed.version, failed.label, failed.place)
    site.source = failed.source
    return site


def _up(site: Site, change: history.Change) -> None:
    adapter = UP.get((site.node.op, change.new.since_version))
    if adapter is not None:
        adapter(site)
    elif change.breaks:
        site.refuse(change.breaks[0])
    elif change.narrows:
        for name in refused(change.new, site.node.inputs, site.node.outputs, site.types).values():
            site.refuse(f"it has no {site.node.op} of {name}")


def _down(site: Site, change: history.Change) -> None:
    node = site.node
    adapter = DOWN.get((node.op, change.new.since_version))
    refuse_new_values(site, change.new.since_version)
    if adapter is not None:
        adapter(site)
    if change.old is None:
        if site.kept:
            site.refuse(change.unexpressed({}, 0, 0) or "")
        return
    if not site.kept or node.op != change.old.name:
        return
    for ends in (node.inputs, node.outputs):
        while ends and ends[-1].is_empty():
            ends.pop()
    why = change.unexpressed(node.attrs, len(node.inputs), len(node.outputs))
    if why is not None:
        site.refuse(why)
    for name in change.added:
        node.attrs.pop(name, None)
    if not change.widens:
        return
    for parameter in refused(change.old, node.inputs, node.outputs, site.types):
        compute_wider(site, change.old, parameter)


def _is_unchanged(node: Node, draft: Draft) -> bool:
    return (
        node.op == draft.op
        and node.domain == draft.domain
        and node.attrs.keys() == draft.attrs.keys()
        and all(node.attrs[k] is v or node.attrs[k] == v for k, v in draft.attrs.items())
        and _are_same(node.inputs, draft.inputs)
        and _are_same(node.outputs, draft.outputs)
    )


def _are_same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


# ---------------------------------------------------------------------------------------------------- rewriting


def apply(model: Model, result: Plan) -> list[tuple[Node, list[Node]]]:
    """Rewrite `model` as planned. Returns each node that changed, and the nodes that it is now."""
    done = []
    with Editor(model) as edit:
        known = {t for graph in model.graphs() for node in graph.nodes for t in (*node.inputs, *node.outputs)}
        shorn: dict[Tensor, None] = {}  # values with fewer readers than before
        for rewrite in result.rewrites:
            shorn.update(dict.fromkeys(rewrite.node.inputs))
            done.append((rewrite.node, _rewrite(edit, rewrite, known)))
        for tensor in shorn:
            tensor.outputs.settle()
            constants = [n for n in tensor.inputs if n.op == "Constant" and not n.domain]
            done += [(node, []) for node in edit.remove_unread(constants)]
    model.opset = result.target
    needed = helper.OP_SET_ID_VERSION_MAP[("ai.onnx", result.target)]
    model.header.ir_version = max(model.header.ir_version, needed)
    if model.graph.ir_version is not None:
        model.graph.ir_version = max(model.graph.ir_version, needed)
    return done


def _rewrite(edit: Editor, rewrite: Rewrite, known: set[Tensor]) -> list[Node]:
    node, heir = rewrite.node, rewrite.heir
    node.outputs.clear()
    for draft in (*([heir] if heir else []), *rewrite.others):
        for tensor in (*draft.inputs, *draft.outputs):
            if not tensor.is_empty() and tensor not in known:  # what an adapter called it is a hint
                shared = isinstance(tensor, Constant)
                tensor.name = edit.name(tensor.name if shared else f"{node.name or node.op}/{tensor.name}")
                known.add(tensor)
    added = []
    for draft in rewrite.others:
        new = edit.insert(node, draft.op, draft.inputs, draft.attrs, draft.outputs, draft.domain)
        new.metadata, new.doc_string = dict(node.metadata), node.doc_string
        added.append(new)
    if heir is None:
        edit.remove(node)
        return added
    node.op, node.domain, node.attrs = heir.op, heir.domain, heir.attrs
    node.inputs.reset(heir.inputs)
    node.outputs.extend(heir.outputs)
    return [node, *added]
