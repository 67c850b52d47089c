"""The structural difference of two models, each change with the pass that made it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from regraft.display import Displayed, Table
from regraft.inspection.align import Alignment
from regraft.inspection.attribution import Edit, NodeChange, NodeName, PassEdits, attribute
from regraft.inspection.census import operators
from regraft.inspection.comparison import Comparison, compare
from regraft.inspection.places import paths
from regraft.inspection.regions import regions
from regraft.inspection.sections import displayed
from regraft.inspection.weight_changes import WeightChange, constant_type, weight_changes
from regraft.ir.gc_pause import paused
from regraft.ir.graph import Constant, Node, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.pipelines import history
from regraft.pipelines.pass_base import label
from regraft.pipelines.source import opened
from regraft.verification.deviation import to_json
from regraft.verification.runtime import Runnable
from regraft.verification.signature import Port
from regraft.wording import count

VERSION = 2


@dataclass(frozen=True)
class Change:
    """Something named `name`, before and after; None where it is absent."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, repr=False)
class Diff(Displayed):
    """What differs between two models.

    Attributes:
        model: IR version, producer, doc string.
        opsets: those that a node uses, and ONNX's own.
        inputs, outputs: their types; and an output that is computed by another node.
        values: types of values inside the graph that both models state, and state differently.
        typed: how many values have a type before and after.
        operators: nodes of each operator, where their number differs.
        passes: edits of nodes by the pass that did them, as the rewrite record says.
        regions: the other nodes that went and came, those together that took each other's place.
        removed, added, changed: nodes that no pass accounts for; those of `regions`, and those that stayed.
        unchanged: how many nodes are the same; `renamed` of them are called otherwise.
        pairs: the names, before and after, of the nodes that both models have, in the first one's order, with the body
            or function that they are in: `If_3/then/Add_1`. Not in the JSON.
    """

    model: tuple[Change, ...]
    opsets: tuple[Change, ...]
    metadata: tuple[Change, ...]
    inputs: tuple[Change, ...]
    outputs: tuple[Change, ...]
    values: tuple[Change, ...]
    typed: tuple[int, int]
    functions: tuple[Change, ...]
    weights: tuple[WeightChange, ...]
    operators: tuple[Change, ...]
    passes: tuple[PassEdits, ...]
    regions: tuple[Edit, ...]
    removed: tuple[NodeName, ...]
    added: tuple[NodeName, ...]
    changed: tuple[NodeChange, ...]
    unchanged: int = field(compare=False)
    renamed: int = field(compare=False)
    pairs: tuple[tuple[str, str], ...] = field(compare=False)

    @property
    def same(self) -> bool:
        """Whether nothing differs but names of nodes and of values inside the graph."""
        before, after = self.typed
        others = ("typed", "pairs")
        return before == after and not any(
            value for name, value in vars(self).items() if isinstance(value, tuple) and name not in others
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the keys are those of the attributes, and `version`, raised when they change."""
        values = asdict(replace(self, pairs=()))
        del values["pairs"]
        return {"version": VERSION, "same": self.same} | values

    def to_json(self) -> str:
        return to_json(self.to_dict())

    def display(self) -> Iterator[str | Table]:
        yield from displayed(self)


@paused()
def diff(before: Runnable, after: Runnable) -> Diff:
    """Compare two models, subgraphs and functions too. Weights are read, piece by piece, where both have them."""
    before, after = opened(before), opened(after)
    return describe(before, after, compare(before, after))


def describe(before: Model, after: Model, found: Comparison) -> Diff:
    """The difference that `found`, of the same two models, amounts to."""
    nodes, changed = found
    removed, added = _shared(nodes.removed, before, after), _shared(nodes.added, after, before)
    where = {**paths(before), **paths(after)}
    passes, rest = attribute(nodes.record, where, removed, added, changed)
    found_regions = [
        Edit("", *(tuple(NodeName.of(node, where) for node in side) for side in region))
        for region in regions(before, after, nodes, rest.removed, rest.added)
    ]
    return Diff(
        model=_changes(_header(before), _header(after)),
        opsets=_changes(_opsets(before), _opsets(after)),
        metadata=_changes(_metadata(before), _metadata(after)),
        inputs=_type_changes(before.graph.inputs, after.graph.inputs),
        outputs=(*_type_changes(before.graph.outputs, after.graph.outputs), *_moved(before, after, nodes)),
        values=tuple(_value_changes(nodes)),
        typed=(_typed(nodes.after), _typed(nodes.before)),
        functions=_changes(_functions(before), _functions(after)),
        weights=tuple(weight_changes(before, after, nodes)),
        operators=_changes(operators(before), operators(after)),
        passes=passes,
        regions=tuple(found_regions),
        removed=tuple(node for region in found_regions for node in region.removed),
        added=tuple(node for region in found_regions for node in region.added),
        changed=rest.changed,
        unchanged=len(nodes.after) - len(changed),
        renamed=sum(label(old) != label(new) for old, new in nodes.after.items()),
        pairs=tuple((f"{where[o.graph]}{label(o)}", f"{where[n.graph]}{label(n)}") for o, n in _in_order(nodes)),
    )


def _in_order(nodes: Alignment) -> Iterator[tuple[Node, Node]]:
    """The pairs, in the order of the first model."""
    return ((node, nodes.after[node]) for node in nodes.old.forward if node in nodes.after)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    names = dict.fromkeys([*before, *after])
    return tuple(Change(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n))


def _header(model: Model) -> dict[str, Any]:
    graph, header = model.graph, model.header
    return {
        "ir_version": graph.ir_version or header.ir_version,
        "producer": " ".join(filter(None, (graph.producer_name, graph.producer_version))),
        "domain": header.domain,
        "model_version": header.model_version,
        "doc_string": header.doc_string,
    }


def _opsets(model: Model) -> dict[str, int]:
    used = {node.domain for node in model.nodes()}
    stated = {e.domain: e.version for e in model.graph.import_domains or () if e.domain in used}
    return stated | {"": model.opset}


def _metadata(model: Model) -> dict[str, str]:
    """The rewrite record stands in `passes`."""
    return {key: value for key, value in model.metadata.items() if key != history.RECORD}


def _functions(model: Model) -> dict[str, str]:
    return {
        ".".join(f.unique_id): f"{count(len(f.inputs), 'input')}, {count(len(f.outputs), 'output')}"
        for f in model.functions
    }


def _shared(nodes: Iterable[Node], model: Model, other: Model) -> list[Node]:
    """The nodes of `nodes` outside the functions that only `model` has; such a function counts as a whole."""
    both = {f.unique_id for f in other.functions}
    own = {n for f in model.functions if f.unique_id not in both for graph in walk(f) for n in graph.nodes}
    return [node for node in nodes if node not in own]


def _type_changes(before: Iterable[Tensor], after: Iterable[Tensor]) -> tuple[Change, ...]:
    """Types that differ, but for the names of unknown dimensions."""
    old, new = ({t.name: t for t in side} for side in (before, after))
    found = _changes({n: _unnamed(t) for n, t in old.items()}, {n: _unnamed(t) for n, t in new.items()})
    return tuple(
        Change(one.name, *(type_text(side[one.name]) if one.name in side else None for side in (old, new)))
        for one in found
    )


def _unnamed(tensor: Tensor) -> str:
    """The type of a value, whose unknown dimensions have no names."""
    port = None if isinstance(tensor, Constant) or tensor.dtype is None else Port.of_variable(tensor)
    if port is None or port.shape is None or port.kind != "tensor":
        return type_text(tensor)
    return str(replace(port, shape=tuple(d if isinstance(d, int) else None for d in port.shape)))


def type_text(tensor: Tensor) -> str:
    """The type of a value: `float32[batch, 768]`, or `untyped`."""
    if isinstance(tensor, Constant):
        return constant_type(tensor)
    return str(Port.of_variable(tensor)) if tensor.dtype is not None or tensor.info is not None else "untyped"


def _moved(before: Model, after: Model, nodes: Alignment) -> Iterator[Change]:
    """Outputs that another node computes now."""
    new = {nodes.ends[t]: t for t in after.graph.outputs}
    for old in before.graph.outputs:
        now = new.get(nodes.ends[old])
        if now is not None and nodes.same_value(old, now) is False:
            yield Change(old.name, f"from {_source(old)}", f"from {_source(now)}")


def _source(tensor: Tensor) -> str:
    return label(tensor.inputs[0]) if tensor.inputs else str(tensor.name)


def _value_changes(nodes: Alignment) -> Iterator[Change]:
    for old, new in nodes.after.items():
        for x, y in zip(old.outputs, new.outputs, strict=False):
            if x not in nodes.ends and _is_typed(x) and _is_typed(y) and _unnamed(x) != _unnamed(y):
                yield Change(str(y.name), type_text(x), type_text(y))


def _is_typed(tensor: Tensor) -> bool:
    return isinstance(tensor, Variable) and tensor.dtype is not None


def _typed(nodes: Iterable[Node]) -> int:
    return sum(_is_typed(t) for node in nodes for t in node.outputs)
