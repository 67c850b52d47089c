"""Which stage of a chain each node belongs to, written into the nodes.

A mark is the name of a stage, in the node's metadata; the order of the stages is in the model's. Later passes keep the
marks: a node that replaces another gets its mark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from regraft.errors import PassError
from regraft.idioms.dominators import is_about_shape
from regraft.ir.graph import Constant, Graph, Node, Tensor, subgraphs
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.schema import DOMAINS
from regraft.ops.traits import RANDOM
from regraft.outside import check_form, parse_json
from regraft.pipelines.inheritance import STAGE
from regraft.refusal import PassRef, Refusal

ORDER = "regraft.stages"
"""Where the metadata of a model has the names of its stages, as a JSON list."""


def assign(graph: Graph, boundaries: Sequence[Tensor]) -> dict[Node, int]:
    """The stage of each node of `graph`, the stages being numbered from 0, and stage i ending at `boundaries[i]`.

    A node that depends on the hidden state of a stage, not only on its shape, is in that stage. The others (masks,
    positions, constants) are in the stage that needs them, or if several do, in the first that can compute them.
    """
    earliest, fixed = _earliest(graph, boundaries)
    readers: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in reads(node):
            readers.setdefault(tensor, []).append(node)
    stages: dict[Node, int] = {}
    outputs = set(graph.outputs)
    for node in reversed(graph.nodes):
        wanted = {stages[reader] for tensor in node.outputs for reader in readers.get(tensor, ())}
        alone = len(wanted) == 1 and outputs.isdisjoint(node.outputs) and node not in fixed
        stages[node] = wanted.pop() if alone else earliest[node]
    return stages


def _earliest(graph: Graph, boundaries: Sequence[Tensor]) -> tuple[dict[Node, int], set[Node]]:
    """The first stage where each node can be computed, and the nodes that must be in it."""
    opened = {tensor: stage + 1 for stage, tensor in enumerate(boundaries)}
    hidden = set(boundaries)
    made: dict[Tensor, int] = {}
    earliest: dict[Node, int] = {}
    fixed = {node for tensor in boundaries for node in tensor.inputs}
    for node in graph.nodes:
        inputs = list(reads(node))
        is_inside = not is_about_shape(node)
        found = [opened[t] if is_inside and t in opened else made.get(t, 0) for t in inputs]
        earliest[node] = max(found, default=0)
        made.update(dict.fromkeys(node.outputs, earliest[node]))
        if is_inside and not hidden.isdisjoint(inputs):
            hidden.update(node.outputs)
            fixed.add(node)
    return earliest, fixed


def mark(model: Model, stages: dict[Node, int], names: Sequence[str]) -> bool:
    """Write the stage of each node of the main graph into it. Returns whether that changes anything.

    Args:
        names: of the stages, in order; those that have no node are not written.
    """
    before = model.metadata.get(ORDER)
    used = set(stages.values())
    model.metadata[ORDER] = json.dumps([name for stage, name in enumerate(names) if stage in used])
    changed = before != model.metadata[ORDER]
    for node, stage in stages.items():
        changed = changed or node.metadata.get(STAGE) != names[stage]
        node.metadata[STAGE] = names[stage]
    return changed


def is_split(model: Model) -> bool:
    """Whether the nodes of `model` are marked with stages."""
    return ORDER in model.metadata


def names_of(model: Model) -> list[str]:
    """The names of the stages of `model`, in order.

    Raises:
        PassError: it has no marks.
    """
    if not is_split(model):
        needed = PassRef("split-layers")
        raise PassError(Refusal(f"the model is not split into stages; run {needed}", needs=(needed,)))
    where = f"the metadata {ORDER} is damaged"
    names: list[str] = parse_json(model.metadata[ORDER], where, PassError)
    check_form(names, [str], where, PassError)
    return names


def homes(graph: Graph, names: Sequence[str]) -> list[int | None]:
    """The stage of each node of `graph`, as the marks say; None where it depends on constants only.

    A node without a mark is in the stage of its operands, or in that of its users, if its operands are passed on to
    that stage anyway. A node is never in a later stage than one that reads it.

    Raises:
        PassError: a mark is none of `names`.
    """
    free = _free(graph)
    numbers = {name: stage for stage, name in enumerate(names)}
    marks = [None if node in free else _mark(node, numbers) for node in graph.nodes]
    inputs = [[t for t in reads(node) if not _is_known(t, free)] for node in graph.nodes]
    position = {node: i for i, node in enumerate(graph.nodes)}
    producers = [[position[node] for t in tensors for node in t.inputs if node in position] for tensors in inputs]
    found: list[int | None] = []
    for node, mark, before in zip(graph.nodes, marks, producers, strict=True):
        latest = max((found[i] or 0 for i in before), default=len(names) - 1)
        found.append(None if node in free else latest if mark is None else mark)
    forwarded = {(tensor, mark) for tensors, mark in zip(inputs, marks, strict=True) for tensor in tensors}
    wanted: list[set[int]] = [set() for _ in found]  # the stages that read what each node makes
    outputs = set(graph.outputs)
    for i in reversed(range(len(found))):
        stage = found[i]
        if stage is None:
            continue
        first = min(wanted[i], default=stage)
        is_moved = marks[i] is None and len(wanted[i]) == 1 and outputs.isdisjoint(graph.nodes[i].outputs)
        if first < stage or (is_moved and all((tensor, first) in forwarded for tensor in inputs[i])):
            found[i] = stage = first
        for producer in producers[i]:
            wanted[producer].add(stage)
    return found


def _mark(node: Node, numbers: Mapping[str, int]) -> int | None:
    name = node.metadata.get(STAGE)
    if name is not None and name not in numbers:
        raise PassError(f"node '{node.name}' has the mark of stage '{name}'; known: {', '.join(numbers)}")
    return None if name is None else numbers[name]


def _free(graph: Graph) -> set[Node]:
    """The nodes that depend on constants only and are deterministic, except those that produce outputs."""
    free: set[Node] = set()
    outputs = set(graph.outputs)
    for node in graph.nodes:
        plain = (node.domain or "") in DOMAINS and node.op not in RANDOM and not subgraphs(node)
        if plain and outputs.isdisjoint(node.outputs) and all(_is_known(tensor, free) for tensor in node.inputs):
            free.add(node)
    return free


def _is_known(tensor: Tensor, free: set[Node]) -> bool:
    return isinstance(tensor, Constant) or tensor.is_empty() or any(node in free for node in tensor.inputs)
