"""A difference in words: sections of lines, like changes in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from regraft.display import Table
from regraft.inspection.attribution import Edit, NodeChange, NodeName, PassEdits
from regraft.inspection.layers import in_layers
from regraft.inspection.weight_changes import WeightChange
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.inspection.diff import Change, Diff

SHOWN = 10
"""Lines of a section, where not all are asked for."""

_LONGEST = 120  # characters of a value

T = TypeVar("T", "Change", WeightChange)
Item = TypeVar("Item")
Kind = TypeVar("Kind")


class Section(NamedTuple):
    """What differs in one respect.

    Attributes:
        counts: how many are gone, came, and changed.
    """

    title: str
    lines: list[str]
    counts: tuple[int, int, int]

    def few(self, shown: int | None = SHOWN) -> Iterator[str]:
        """At most `shown` lines, and how many there are beside."""
        yield from self.lines[:shown]
        if shown is not None and len(self.lines) > shown:
            yield f"… {len(self.lines) - shown:,} more"


def displayed(found: Diff, shown: int | None = SHOWN) -> Iterator[str | Table]:
    """A line, or the sections as tables, and how much is the same."""
    if found.same:
        renamed = f" but for the names of {count(found.renamed, 'node')}" if found.renamed else ""
        yield f"the same{renamed}: {count(found.unchanged, 'node')}"
        return
    for section in sections(found, named=shown is None):
        yield Table(section.title, [(line,) for line in section.few(shown)])
    yield f"{count(found.unchanged, 'node')} unchanged"


def sections(found: Diff, named: bool = False) -> Iterator[Section]:
    """All that differs; if `named`, with the names of nodes that went and came."""
    yield from pass_sections(found)
    counts = len(found.removed), len(found.added), len(found.changed)
    if any(counts):
        title = "nodes that no pass accounts for" if found.passes else "nodes"
        every = [("-", found.removed), ("+", found.added)] if named else []
        names = [_node(sign, node) for sign, nodes in every for node in nodes]
        yield Section(title, [*_edits(found.regions), *names, *map(_changed, found.changed)], counts)
    yield from facts(found)


def pass_sections(found: Diff) -> Iterator[Section]:
    """What each pass did to the nodes."""
    for one in found.passes:
        title = f"{one.text}{' (undone)' if one.undone else ''}"
        yield Section(title, [*_edits(one.edits), *map(_changed, one.changed)], _pass_counts(one))


def facts(found: Diff) -> Iterator[Section]:
    """What differs beside nodes."""
    for title in ("inputs", "outputs", "opsets", "model", "metadata", "functions"):
        changes: tuple[Change, ...] = getattr(found, title)
        if changes:
            yield Section(title, list(map(_change, changes)), _counts(changes))
    before, after = found.typed
    if found.values or before != after:
        more = [f"{before} -> {after} with a type, of the nodes that both have"] if before != after else []
        yield Section("values", [*more, *_of_dtypes(found.values, "value", _change)], _counts(found.values))
    if found.weights:
        lines = list(_of_dtypes(found.weights, "weight", _weight))
        yield Section("weights", lines, _counts(found.weights))
    if found.operators:
        line = ", ".join(f"{c.name} {c.before or 0} -> {c.after or 0}" for c in found.operators)
        yield Section("operators", [line], _counts(found.operators))


def _pass_counts(one: PassEdits) -> tuple[int, int, int]:
    gone, came = (sum(len(getattr(edit, side)) for edit in one.edits) for side in ("removed", "added"))
    return gone, came, len(one.changed)


def _counts(changes: Iterable[Change] | Iterable[WeightChange]) -> tuple[int, int, int]:
    kinds = [(one.before is None, one.after is None) for one in changes]
    return kinds.count((False, True)), kinds.count((True, False)), kinds.count((False, False))


def _edits(edits: Iterable[Edit]) -> Iterator[str]:
    """Edits of one kind in a line, the most frequent first; those of constants alone come last."""
    grouped = _grouped(edits, lambda edit: edit.kind)
    for kind, places in sorted(grouped.items(), key=lambda item: (_of_constants(item[1][0]), -len(item[1]))):
        where = in_layers([next((n.layer for n in (*e.removed, *e.added) if n.layer), "") for e in places])
        if len(places) == 1:
            where = f"at {next(iter((*places[0].added, *places[0].removed)))}"
        yield f"{len(places):,} × {kind}{f'  {where}' if where else ''}"


def _of_constants(edit: Edit) -> bool:
    return all(node.operator == "Constant" for node in (*edit.removed, *edit.added))


def _node(sign: str, node: NodeName) -> str:
    return f"{sign} {node.operator}  {node}"


def _changed(change: NodeChange) -> str:
    return f"~ {change.operator}  {change}  {'; '.join(change.details)}"


def _change(change: Change) -> str:
    name = change.name or "ai.onnx"
    if change.before is None:
        return f"+ {name}  {_short(change.after)}"
    if change.after is None:
        return f"- {name}  {_short(change.before)}"
    return f"~ {name}  {_short(change.before)} -> {_short(change.after)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _of_dtypes(changes: Iterable[T], noun: str, line: Callable[[T], str]) -> Iterator[str]:
    """A line for all that changed from one dtype to another, and one for each of the others."""
    for kind, group in _grouped(changes, _dtypes).items():
        if kind is None or len(group) == 1:
            yield from map(line, group)
        else:
            far = [one.max_abs for one in group if isinstance(one, WeightChange) and one.max_abs is not None]
            yield f"~ {kind}: {count(len(group), noun)}{f', max |d| {max(far):.3g}' if far else ''}"


def _dtypes(change: Change | WeightChange) -> str | None:
    """`float32 -> float16`, where nothing but the dtype is another."""
    if not change.before or not change.after:
        return None
    old, new = (str(one).partition("[") for one in (change.before, change.after))
    return f"{old[0]} -> {new[0]}" if old[0] != new[0] and old[1:] == new[1:] else None


def _weight(change: WeightChange) -> str:
    if change.before is None:
        return f"+ {change.name}  {change.after}  {count(change.bytes_after, 'byte')}"
    if change.after is None:
        return f"- {change.name}  {change.before}  {count(change.bytes_before, 'byte')}"
    kind = change.after if change.content else f"{change.before} -> {change.after}"
    values = f"  {' -> '.join(change.values)}" if change.values else ""
    return f"~ {change.name}  {kind}{values}{_far(change)}"


def _far(change: WeightChange) -> str:
    """How far a weight moved."""
    if change.elements is None or change.values:
        return ""
    if change.differing is None:
        return "  not compared: a file is missing"
    if not change.differing:
        return "  no element differs" if not change.content else "  the same but for signs of zero and bits of NaN"
    said = [f"{change.differing:,} of {count(change.elements, 'element')}"]
    said += [f"max |d| {change.max_abs:.3g}"] if change.max_abs is not None else []
    said += [f"cosine {change.cosine:.6f}"] if change.cosine is not None else []
    return f"  {', '.join(said)}"


def _grouped(items: Iterable[Item], key: Callable[[Item], Kind]) -> dict[Kind, list[Item]]:
    found: dict[Kind, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
