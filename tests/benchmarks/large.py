"""A model of BERT-large's size (1.34 GB in one file), loaded, cleaned and saved: time and memory of everybody.

    python -m tests.benchmarks.large [--rounds 3] [--only cp --only regraft_load_save] [--out benchmarks-out]

Each contestant runs in a process of its own, one at a time, in turn, round after round. Before each run the last output
is removed, the disk has nothing left to write, and the source is in the page cache. A ratio is taken within a round;
the table has the median over the rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.benchmarks import table
from tests.benchmarks.contestants import CONTESTANTS, REFERENCE, Contestant
from tests.benchmarks.measure import Limits, Run, run, settle

_MAKE = """
import sys
from regraft import save
from regraft.models import bert
save(bert.build(bert.LARGE, bert.Style(dropout="inference")), sys.argv[1], "inline")
"""
_COUNT = "import sys, regraft; print(sum(1 for _ in regraft.load(sys.argv[1]).nodes()))"


def main() -> None:
    options = _options()
    entered = [c for c in CONTESTANTS if not options.only or c.work.__name__ in options.only]
    present = [c for c in entered if c.version() is not None]
    runs: dict[str, list[Run]] = {c.name: [] for c in present}
    nodes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="regraft-large-", dir=options.scratch) as folder:
        source, target = Path(folder, "large.onnx"), Path(folder, "out.onnx")
        _python(_MAKE, source).check_returncode()
        size, before = source.stat().st_size, int(_python(_COUNT, source).stdout)
        for number in range(options.rounds):
            for contestant in present:
                if any(r.failure for r in runs[contestant.name]):
                    continue
                settle(source, target)
                result = run(contestant.command(str(source), str(target)), options.limits)
                if not result.failure and contestant.name not in nodes:
                    result = _counted(result, target, contestant.name, nodes)
                runs[contestant.name].append(result)
                print(f"round {number + 1}: {contestant.name}: {_line(result)}", flush=True)
    rows = [_row(c, runs, nodes, size) for c in entered]
    title = f"BERT-large, {size / 1e9:.2f} GB in one file, {before} nodes"
    table.write(options.out, "large", title, rows, {"bytes": size, "nodes": before, "rounds": options.rounds})


def _row(contestant: Contestant, runs: dict[str, list[Run]], nodes: dict[str, int], size: int) -> table.Row:
    version = contestant.version()
    row: table.Row = {"contestant": f"{contestant.name} ({version})" if version else contestant.name}
    mine = runs.get(contestant.name, [])
    if version is None:
        return {**row, "note": f"absent: {contestant.package} is not installed"}
    if any(r.failure for r in mine):
        return {**row, "note": next(r.failure for r in mine if r.failure)}
    seconds = [r.seconds for r in mine]
    return {
        **row,
        "seconds": round(median(seconds), 2),
        "from-to": f"{min(seconds):.2f}-{max(seconds):.2f}",
        f"× {REFERENCE}": _ratio(mine, runs.get(REFERENCE, [])),
        "× cp": _ratio(mine, runs.get("cp", [])),
        "peak MB": round(max(r.peak_bytes for r in mine) / 1e6),
        "peak × weights": round(max(r.peak_bytes for r in mine) / size, 2),
        "nodes after": nodes[contestant.name],
        "note": "",
    }


def _ratio(mine: list[Run], other: list[Run]) -> float | None:
    """Median of the ratios within a round."""
    ratios = [a.seconds / b.seconds for a, b in zip(mine, other, strict=False) if not b.failure]
    return round(median(ratios), 3) if ratios else None


def _line(result: Run) -> str:
    return result.failure or f"{result.seconds:.2f} s, {result.peak_bytes / 1e6:.0f} MB"


def _counted(result: Run, target: Path, name: str, nodes: dict[str, int]) -> Run:
    """Note how many nodes are left in the output; one that cannot be read is a failure."""
    counting = _python(_COUNT, target)
    if counting.returncode:
        return replace(result, failure=f"its output cannot be read: {counting.stderr.splitlines()[-1]}")
    nodes[name] = int(counting.stdout)
    return result


def _python(code: str, argument: Path) -> subprocess.CompletedProcess[str]:
    """Run the code in a process of its own, so that this one stays small."""
    return subprocess.run([sys.executable, "-c", code, str(argument)], capture_output=True, text=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", help="a contestant's function name; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--scratch", type=Path, help="a folder with 5 GB free; default: the system's")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="limit of one run")
    parser.add_argument("--memory", type=float, default=Limits.address_space / 2**30, help="limit of one run, GiB")
    options = parser.parse_args()
    options.limits = Limits(options.seconds, int(options.memory * 2**30))
    return options


if __name__ == "__main__":
    main()
