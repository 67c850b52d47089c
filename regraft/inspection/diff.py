"""The structural difference of two models, each change with the pass that made it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from regraft.files.wire import LARGE
from regraft.folding.equality import equal
from regraft.inspection.align import Alignment
from regraft.inspection.attribution import NodeChange, NodeName, PassEdits, attribute
from regraft.inspection.census import constants, operators
from regraft.inspection.comparison import Comparison, compare
from regraft.ir.gc_pause import paused
from regraft.ir.graph import Constant, Node, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.pipelines import history
from regraft.pipelines.pass_base import label
from regraft.pipelines.source import opened
from regraft.verification.runtime import Runnable
from regraft.verification.signature import Port
from regraft.wording import count

VERSION = 1


@dataclass(frozen=True)
class Change:
    """Something named `name`, before and after; None where it is absent."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class WeightChange:
    """A constant that came, went, or holds something else (`content`), by dtype, shape and bytes."""

    name: str
    before: str | None
    after: str | None
    bytes_before: int
    bytes_after: int
    content: bool = False


@dataclass(frozen=True)
class Diff:
    """What differs between two models.

    Attributes:
        model: IR version, producer, doc string.
        inputs, outputs: their types; and an output that is computed by another node.
        values: types of values inside the graph that both models state, and state differently.
        typed: how many values have a type before and after.
        operators: nodes of each operator, where their number differs.
        passes: edits of nodes by the pass that did them, as the rewrite record says.
        removed, added, changed: nodes that no pass accounts for.
        unchanged: how many nodes are the same; `renamed` of them are called otherwise.
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
    removed: tuple[NodeName, ...]
    added: tuple[NodeName, ...]
    changed: tuple[NodeChange, ...]
    unchanged: int = field(compare=False)
    renamed: int = field(compare=False)

    @property
    def same(self) -> bool:
        """Whether nothing differs but names of nodes and of values inside the graph."""
        before, after = self.typed
        lists = (value for value in vars(self).values() if isinstance(value, tuple) and value is not self.typed)
        return before == after and not any(lists)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the keys are those of the attributes, and `version`, raised when they change."""
        return {"version": VERSION, "same": self.same} | asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)


@paused()
def diff(before: Runnable, after: Runnable) -> Diff:
    """Compare two models, subgraphs and functions too. Weights are read, piece by piece, where both have them."""
    before, after = opened(before), opened(after)
    return describe(before, after, compare(before, after))


def describe(before: Model, after: Model, found: Comparison) -> Diff:
    """The difference that `found`, of the same two models, amounts to."""
    nodes, changed = found
    removed, added = _shared(nodes.removed, before, after), _shared(nodes.added, after, before)
    passes, rest = attribute(before, after, removed, added, changed)
    return Diff(
        model=_changes(_header(before), _header(after)),
        opsets=_changes(_opsets(before), _opsets(after)),
        metadata=_changes(_metadata(before), _metadata(after)),
        inputs=_changes(_types(before.graph.inputs), _types(after.graph.inputs)),
        outputs=(*_changes(_types(before.graph.outputs), _types(after.graph.outputs)), *_moved(before, after, nodes)),
        values=tuple(_value_changes(nodes)),
        typed=(_typed(nodes.after), _typed(nodes.before)),
        functions=_changes(_functions(before), _functions(after)),
        weights=tuple(_weights(before, after, nodes)),
        operators=_changes(operators(before), operators(after)),
        passes=passes,
        removed=rest.removed,
        added=rest.added,
        changed=rest.changed,
        unchanged=len(nodes.after) - len(changed),
        renamed=sum(label(old) != label(new) for old, new in nodes.after.items()),
    )


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
    return {entry.domain: entry.version for entry in model.graph.import_domains or ()} | {"": model.opset}


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


def _types(tensors: Iterable[Tensor]) -> dict[str, str]:
    return {t.name: type_text(t) for t in tensors}


def type_text(tensor: Tensor) -> str:
    """The type of a value: `float32[batch, 768]`, or `untyped`."""
    if isinstance(tensor, Constant):
        return f"{tensor.dtype}[{', '.join(map(str, tensor.shape))}]"
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
            if x not in nodes.ends and _is_typed(x) and _is_typed(y) and type_text(x) != type_text(y):
                yield Change(str(y.name), type_text(x), type_text(y))


def _is_typed(tensor: Tensor) -> bool:
    return isinstance(tensor, Variable) and tensor.dtype is not None


def _typed(nodes: Iterable[Node]) -> int:
    return sum(_is_typed(t) for node in nodes for t in node.outputs)


def _weights(before: Model, after: Model, nodes: Alignment) -> Iterator[WeightChange]:
    """Pair weights where their nodes are paired, the others by name."""
    pairs = dict.fromkeys(weight_pairs(nodes))
    paired = {c for pair in pairs for c in pair}
    old = [c for c in _large(before) if c not in paired]
    new = [c for c in _large(after) if c not in paired]
    named = {c.name: c for c in new}
    pairs |= {(c, named[c.name]): None for c in old if c.name in named}
    for a, b in pairs:
        if not equal(a, b):
            types = type_text(a), type_text(b)
            yield WeightChange(b.name, *types, a.nbytes, b.nbytes, content=types[0] == types[1])
    known = {c for pair in pairs for c in pair}
    yield from (WeightChange(c.name, type_text(c), None, c.nbytes, 0) for c in old if c not in known)
    yield from (WeightChange(c.name, None, type_text(c), 0, c.nbytes) for c in new if c not in known)


def _large(model: Model) -> list[Constant]:
    """The constants that count as weights; a smaller one counts as part of its node."""
    return [constant for constant in constants(model) if constant.nbytes >= LARGE]


def weight_pairs(nodes: Alignment) -> Iterator[tuple[Constant, Constant]]:
    """The weights that stand in the same place of two nodes that are the same."""
    for old, new in nodes.after.items():
        inputs = [(_held(x), _held(y)) for x, y in zip(old.inputs, new.inputs, strict=False)]
        attributes = [(value, new.attrs.get(name)) for name, value in old.attrs.items()]
        for x, y in (*inputs, *attributes):
            if isinstance(x, Constant) and isinstance(y, Constant) and max(x.nbytes, y.nbytes) >= LARGE:
                yield x, y


def _held(tensor: Tensor) -> Any:
    """The constant that `tensor` is, as an initializer or by a Constant node."""
    maker = tensor.inputs[0] if tensor.inputs else None
    return maker.attrs.get("value", tensor) if maker is not None and maker.op == "Constant" else tensor
