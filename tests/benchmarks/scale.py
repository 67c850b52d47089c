"""Time per node of loading, saving, clean-up passes, rules, diff and legalizing, on graphs of 1,000 to 50,000 nodes.

    python -m tests.benchmarks.scale [--rounds 2] [--only fold-constants] [--out benchmarks-out]

As many nodes are loaded for every size: one graph of 50,000, or fifty of 1,000. So caches and the garbage collector see
the same, and what differs is the algorithm. The table has the best of the rounds, in microseconds a node, and what
a node costs in the largest graph over what it costs in the smallest: 1 is linear.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import regraft
from regraft.files.convert import clone
from regraft.inspection.diff import diff
from regraft.ir.model import Model
from regraft.legalization.legalize import legalize
from regraft.models import chain
from regraft.pipelines import manager
from regraft.targeting.target import profile_target
from tests.benchmarks import table
from tests.benchmarks.contestants import CLEAN_UP

PIPELINES = (
    *CLEAN_UP.split(","),
    "infer-shapes",
    "fuse-gelu",
    "fuse-layer-norm",
    "fuse-gelu,lower-gelu",
    "fuse-layer-norm,lower-layer-norm",
    "lower-div",
    "lower-pow",
    "narrow-integers",
    "simplify-mask",
    "convert-fp16",
    CLEAN_UP,
    "diff",
    "legalize",
)

PROFILE = """
operators = "any"
source = "made up"

[[gap]]
operator = ["Erf", "Pow"]
reason = "lacks it"
"""
"""What the target takes that is legalized for."""

Times = dict[str, dict[int, list[float]]]


def main() -> None:
    options = _options()
    times: Times = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="regraft-scale-") as folder:
        files = {size: Path(folder, f"{size}.onnx") for size in options.sizes}
        for size, file in files.items():
            regraft.save(chain.build(size), file)
        for number in range(options.rounds):
            for size, file in files.items():
                print(f"round {number + 1}: {size} nodes", flush=True)
                _measure(file, size, max(options.sizes) // size, options.only or PIPELINES, times)
    title = f"Microseconds a node, best of {options.rounds} rounds"
    table.write(options.out, "scale", title, _rows(times, options.sizes), {"sizes": options.sizes})


def _measure(file: Path, size: int, copies: int, pipelines: tuple[str, ...], times: Times) -> None:
    nodes = size * copies
    out = file.with_suffix(".out.onnx")
    for pipeline in pipelines:
        models, loading = _timed(lambda: [regraft.load(file) for _ in range(copies)])
        _, saving = _timed(lambda models=models: [regraft.save(model, out) for model in models])
        running = sum(_running(model, pipeline, file.parent) for model in models)
        for name, seconds in (("load", loading), ("save", saving), (pipeline, running)):
            times[name][size].append(seconds / nodes)


def _running(model: Model, pipeline: str, folder: Path) -> float:
    """Seconds that the passes take; legalizing, those of the whole search and of verifying too.

    `diff` compares the model with what the clean-up makes of it.
    """
    if pipeline == "diff":
        cleaned = clone(model)
        manager.run(cleaned, CLEAN_UP)
        return _timed(lambda: diff(model, cleaned))[1]
    if pipeline != "legalize":
        return manager.run(model, pipeline).seconds
    (folder / "target.toml").write_text(PROFILE, encoding="utf-8")
    target = profile_target(folder / "target.toml")()
    start = time.perf_counter()
    legalize(model, target)
    return time.perf_counter() - start


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    gc.collect()
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _rows(times: Times, sizes: list[int]) -> list[table.Row]:
    rows = []
    for name, by_size in times.items():
        costs = {size: min(by_size[size]) * 1e6 for size in sizes}
        row: table.Row = {"work": "the whole clean-up" if name == CLEAN_UP else name}
        row |= {f"{size:,}": round(cost, 1) for size, cost in costs.items()}
        rows.append({**row, f"{sizes[-1]:,} / {sizes[0]:,}": round(costs[sizes[-1]] / costs[sizes[0]], 2)})
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 5_000, 20_000, 50_000])
    parser.add_argument("--only", action="append", help="a pipeline; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
