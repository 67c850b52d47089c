"""What `regraft rewrite` says of its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.cli.output import drifts, duration, show_places, size, table, title
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.pipelines.report import PassReport, Report
    from regraft.verification.deviation import Deviation

HEAD, RIGHT = ("pass", "time", "nodes", "", "changes"), (1, 2, 3)
NOTES_SHOWN, OPERATORS_SHOWN = 2, 12
NOTHING = "nothing: see regraft why"


def print_report(
    report: Report,
    before: Mapping[str, int],
    after: Mapping[str, int],
    output: Path,
    timing: bool,
    drift: Deviation | None,
    *,
    asked_for: bool,
) -> None:
    """Print what each pass did, which operators became more and which fewer, and how the result was verified.

    Of passes that the user asked for, also where to see why they did nothing.
    """
    head = (*HEAD, "drift") if report.verify == "each" else HEAD
    table([row(one, asked_for and max(one.rounds, default=1) == 1)[: len(head)] for one in report.passes], head, RIGHT)
    for name, notes in [("model", report.notes), *((one.name, one.notes) for one in report.passes)]:
        for note in notes[:NOTES_SHOWN]:
            echo(f"{name}: {note}")
        if len(notes) > NOTES_SHOWN:
            echo(f"{name}: {len(notes) - NOTES_SHOWN} more (see --report)")
    if timing:
        title("timing")
        block(report.timing())
    if drift:
        title("verified: the outputs before and after")
        drifts(drift)
    _print_operators(before, after)
    nodes = f", nodes {report.passes[0].nodes_before} -> {report.passes[-1].nodes_after}" if report.passes else ""
    written = [output] if output.is_file() else [path for path in output.rglob("*") if path.is_file()]
    if report.places is not None:
        _print_places(report)
    title(f"{output}: {size(sum(path.stat().st_size for path in written))}{nodes}, in {duration(report.seconds)}")
    echo(report.verdict)


def _print_places(report: Report) -> None:
    """What is not proved, a few lines a pass."""
    from regraft.verification.places import summary

    title("proved: what each pass did")
    for one in report.passes:
        if not one.places:
            continue
        echo(f"{one.title}: {summary(one.places)}")
        show_places(one.places)


def row(one: PassReport, asked_for: bool = False) -> tuple[str, ...]:
    """A pass in a table under `HEAD`, and its drift."""
    changes = one.did or (NOTHING if asked_for else "-")
    difference = f"{one.nodes_after - one.nodes_before:+d}" if one.nodes_after != one.nodes_before else ""
    drift = f"{one.drift.max_abs:.2g}" if one.drift else "-"
    return one.title, duration(one.seconds), str(one.nodes_after), difference, changes, drift


def changed_operators(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """How many nodes of an operator there were, and are, where that differs, by how much."""
    pairs = {name: {"before": before.get(name, 0), "after": after.get(name, 0)} for name in {**before, **after}}
    moved = {name: pair for name, pair in pairs.items() if pair["before"] != pair["after"]}
    return dict(sorted(moved.items(), key=lambda one: (-abs(one[1]["after"] - one[1]["before"]), one[0])))


def _print_operators(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    rows = [(name, pair["before"], "->", pair["after"]) for name, pair in changed_operators(before, after).items()]
    if rows:
        more = len(rows) - OPERATORS_SHOWN
        rest = [(f"{more} more", "", "", "")] if more > 0 else []
        title("operators")
        table(
            [*rows[:OPERATORS_SHOWN], *rest, ("total", sum(before.values()), "->", sum(after.values()))], right=[1, 3]
        )
