"""Run the matrix and print its page.

    python -m tests.acceptance [--only compiler=tvm] [--only model='gpt2-*'] [--cache .acceptance] > docs/acceptance.md

Results are kept in the cache: a run that is cut off goes on where it was, and of a run after a change only those cells
run again whose file, compiler or driver changed. Compilers are looked for as `regraft compile` does.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from regraft.errors import RegraftError
from regraft.pipelines.registry import targets
from tests.acceptance.cells import COMPILERS, SIMULATED, Bench, Result
from tests.acceptance.contestants import CONTESTANTS, RAW, REGRAFT, Refused
from tests.acceptance.models import SUBJECTS, Subject, make
from tests.acceptance.page import Cell, mark, write


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
        only: patterns by what they choose among: compiler, model, contestant.
        latency: whether models are timed too.
        kept: whether to run nothing, and show the latest results.
    """

    only: dict[str, list[str]]
    cache: Path
    latency: bool
    kept: bool

    def wants(self, what: str, name: str) -> bool:
        """Whether no pattern speaks of `what`, or one of them matches `name`."""
        return what not in self.only or any(fnmatch(name, pattern) for pattern in self.only[what])


def main() -> None:
    options = _options()
    subjects = [subject for subject in SUBJECTS if options.wants("model", subject.name)]
    make(options.cache / "models", subjects)
    results: dict[Cell, Result] = {}
    ratios: dict[tuple[str, Subject], list[float]] = {}
    versions = {}
    for contestant in CONTESTANTS:
        with contextlib.suppress(Refused):
            versions[contestant.name] = contestant.version() if contestant.package else ""
    for name in COMPILERS:
        if not options.wants("compiler", name):
            continue
        try:
            bench = Bench(targets.load(name)(threads=1), options.cache, options.kept)
        except RegraftError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        versions[name] = bench.version
        for subject in subjects:
            own = _row(bench, subject, options)
            results |= own
            if options.latency and name not in SIMULATED:
                ratios |= _ratios(bench, subject, own, options.cache / "models")
    print(write(results, ratios, versions), end="")


def _row(bench: Bench, subject: Subject, options: Options) -> dict[Cell, Result]:
    folder = options.cache / "models"
    inputs, expected = subject.reference(folder)
    found = {}
    for contestant in CONTESTANTS:
        if not options.wants("contestant", contestant.name):
            continue
        cell = Cell(bench.compiler.name, subject, contestant.name)
        if result := bench.cell(contestant, subject.file(folder), inputs, expected, subject.dynamic):
            found[cell] = result
            print(cell.compiler, subject.name, contestant.name, *mark(result), file=sys.stderr, flush=True)
    return found


def _ratios(
    bench: Bench, subject: Subject, found: dict[Cell, Result], folder: Path
) -> dict[tuple[str, Subject], list[float]]:
    sides = [found.get(Cell(bench.compiler.name, subject, one.name)) for one in (RAW, REGRAFT)]
    if not all(side and side.right for side in sides):
        return {}
    inputs, _ = subject.reference(folder)
    return {(bench.compiler.name, subject): bench.ratios(subject.file(folder), inputs, subject.dynamic)}


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="compiler=, model= or contestant=PATTERN; several")
    parser.add_argument("--cache", type=Path, default=Path(".acceptance"), help="the folder of models and results")
    parser.add_argument("--no-latency", action="store_true", help="time nothing")
    parser.add_argument("--kept", action="store_true", help="run nothing: show the latest results, stale or not")
    given = parser.parse_args()
    only: dict[str, list[str]] = {}
    for text in given.only:
        what, _, pattern = text.partition("=")
        if what not in ("compiler", "model", "contestant"):
            parser.error(f"--only {text}: choose by compiler, model or contestant")
        only.setdefault(what, []).append(pattern)
    return Options(only, given.cache.absolute(), not given.no_latency, given.kept)


if __name__ == "__main__":
    main()
