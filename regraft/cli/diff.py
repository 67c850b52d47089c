"""`regraft diff`: what a rewrite changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import PATH, HtmlOptions, as_json, command, html_options, model_argument, say_missing
from regraft.cli.terminal import block, echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.inspection.attribution import NodeChange, NodeName, PassEdits
    from regraft.inspection.diff import Change, Diff, WeightChange

SHOWN = 10


@command("regraft diff model.onnx better.onnx", "regraft diff model.onnx better.onnx --html diff.html")
@model_argument("a")
@model_argument("b")
@click.option("--all", "everything", is_flag=True, help=f"List everything, not the first {SHOWN} of a kind.")
@html_options
@click.option(
    "--report", type=PATH, metavar="FILE", help="With --html: what 'rewrite --report' measured of the passes."
)
@click.option("--steps", type=PATH, metavar="FOLDER", help="With --html: step through what 'rewrite --dump-dir' wrote.")
@click.option("--model-explorer", type=PATH, metavar="FOLDER", help="Write mapping and node data for Model Explorer.")
@as_json
@click.pass_context
def diff(
    ctx: click.Context,
    a: Path,
    b: Path,
    everything: bool,
    html: HtmlOptions,
    report: Path | None,
    steps: Path | None,
    model_explorer: Path | None,
    as_json: bool,
) -> None:
    """Compare the structure of two models: nodes by the pass that changed them, inputs, outputs, types, weights.

    Names of nodes and of values inside the graph do not count. Exits with 0 where the models are the same, 1 where they
    differ, 2 with an error.
    """
    from regraft.files.loading import load
    from regraft.inspection.sides import compared

    if html.path is None and (report or steps):
        raise click.UsageError("--report and --steps are for the page of --html")
    before, after = (load(path, weights=False) for path in (a, b))
    say_missing(before, after)
    sides = compared(before, after, (a.name, b.name))
    found = sides.diff
    if html.path is not None:
        from regraft.inspection.html.measured import read_measured
        from regraft.inspection.html.page import page_of_diff, write_page

        measured = read_measured(report) if report else []
        write_page(html.path, page_of_diff(sides, measured, steps, html.limit))
    if model_explorer is not None:
        from regraft.inspection.model_explorer import write_model_explorer

        write_model_explorer(model_explorer, sides)
    if as_json:
        block(found.to_json())
    elif found.same:
        renamed = f" but for the names of {count(found.renamed, 'node')}" if found.renamed else ""
        echo(f"the same{renamed}: {count(found.unchanged, 'node')}")
    else:
        for line in lines(found, None if everything else SHOWN):
            echo(line, bold=not line.startswith(" "))
    ctx.exit(0 if found.same else 1)


def lines(found: Diff, shown: int | None) -> Iterator[str]:
    """The difference as text: titles, and under each its lines, indented, at most `shown` of a kind."""
    yield from pass_lines(found, shown)
    if found.removed or found.added or found.changed:
        yield "nodes that no pass accounts for" if found.passes else "nodes"
        yield from _few(_nodes("-", found.removed), shown)
        yield from _few(_nodes("+", found.added), shown)
        yield from _few(map(_node, found.changed), shown)
    for title in ("inputs", "outputs", "opsets", "model", "metadata", "functions"):
        changes = getattr(found, title)
        if changes:
            yield title
            yield from _few(map(_change, changes), shown)
    if found.values or found.typed[0] != found.typed[1]:
        yield "values"
        yield f"  {found.typed[0]} -> {found.typed[1]} with a type, of the nodes that both have"
        yield from _few(map(_change, found.values), shown)
    if found.weights:
        yield "weights"
        yield from _few(map(_weight, found.weights), shown)
    if found.operators:
        yield "operators"
        yield f"  {', '.join(f'{c.name} {c.before or 0} -> {c.after or 0}' for c in found.operators)}"
    yield f"{count(found.unchanged, 'node')} unchanged"


def pass_lines(found: Diff, shown: int | None) -> Iterator[str]:
    """What each pass did to the nodes, as in `lines`."""
    for one in found.passes:
        yield f"{one.text}{' (undone)' if one.undone else ''}"
        yield from _few(_pass(one), shown)


def _pass(one: PassEdits) -> Iterator[str]:
    from regraft.inspection.attribution import counted

    kinds: Counter[tuple[str, str, str]] = Counter()
    for edit in one.edits:
        gone, made = (tuple([node.operator for node in nodes]) for nodes in (edit.removed, edit.added))
        kinds[edit.rule, counted(gone), counted(made)] += 1
    for (rule, removed, added), number in kinds.most_common():
        yield f"  {number} × {removed} -> {added}{f'  ({rule})' if rule not in ('', removed) else ''}"
    yield from map(_node, one.changed)


def _nodes(sign: str, nodes: Iterable[NodeName]) -> Iterator[str]:
    return (f"  {sign} {node.operator}  {node.name}" for node in nodes)


def _node(change: NodeChange) -> str:
    return f"  ~ {change.operator}  {change.name}  {'; '.join(change.details)}"


def _change(change: Change) -> str:
    name = change.name or "ai.onnx"
    if change.before is None:
        return f"  + {name}  {_text(change.after)}"
    if change.after is None:
        return f"  - {name}  {_text(change.before)}"
    return f"  ~ {name}  {_text(change.before)} -> {_text(change.after)}"


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _weight(change: WeightChange) -> str:
    from regraft.cli.output import size

    if change.content:
        return f"  ~ {change.name}  {change.after}  other values"
    if change.before is None:
        return f"  + {change.name}  {change.after}  {size(change.bytes_after)}"
    if change.after is None:
        return f"  - {change.name}  {change.before}  {size(change.bytes_before)}"
    return f"  ~ {change.name}  {change.before} -> {change.after}"


def _few(found: Iterable[str], shown: int | None) -> Iterator[str]:
    every = list(found)
    yield from every[:shown]
    if shown is not None and len(every) > shown:
        yield f"  … {len(every) - shown} more (--all)"
