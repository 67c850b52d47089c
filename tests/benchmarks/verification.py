"""What verification costs: the default pipeline on a model, by how it is verified.

    python -m tests.benchmarks.verification [--model bert12] [--rounds 3] [--out benchmarks-out]

`opened` is how long it takes ONNX Runtime to open the model twice and to run it twice on the usual inputs, which no
verification can do without. `two runs a pass` runs the whole model before and after each pass that changed it, on all
trials, and compares nothing. The last column is in shares of that, the pipeline itself left out. Each figure is of a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import regraft
from regraft.ir.clone import clone
from regraft.ir.model import Model
from regraft.models import bert
from regraft.models.minilm import model_path
from regraft.pipelines.report import PassReport
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.watch import Watch
from tests.benchmarks import table
from tests.benchmarks.clock import processor_seconds
from tests.benchmarks.measure import peak_bytes

Found = dict[str, Any]


def _opened(path: Path) -> None:
    model = regraft.load(path)
    inputs = make_inputs(model)
    for _ in range(2):
        Session(model).run(inputs)


def _rewritten(path: Path, **options: Any) -> None:
    model = regraft.load(path)
    report = regraft.run(model, read_target("onnxruntime").passes(model, None), **options)
    print(report.verdict, file=sys.stderr)


def _two_runs_a_pass(path: Path) -> None:
    model = regraft.load(path)
    samples = Watch(model).samples
    states = [clone(model)]

    def run(one: Model) -> None:
        session = Session(one)
        for sample in samples:
            session.run(sample.inputs)

    def after(said: PassReport) -> None:
        if said.changed:
            run(states.pop())
            run(model)
            states.append(clone(model))

    regraft.run(model, read_target("onnxruntime").passes(model, None), after=after)


WORKS: dict[str, Callable[[Path], None]] = {
    "opened": _opened,
    "none": partial(_rewritten, verify="none"),
    "final, 1 trial": partial(_rewritten, verify="final", trials=1),
    "final": partial(_rewritten, verify="final"),
    "each": partial(_rewritten, verify="each"),
    "two runs a pass": _two_runs_a_pass,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("demo", "bert12"), default="demo", help="bert12: 440 MB of weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measured(options.one[0], Path(options.one[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = model_path() if options.model == "demo" else _bert(Path(folder, "bert12.onnx"))
        found = {name: _best([_child(name, path) for _ in range(options.rounds)]) for name in WORKS}
    none, whole = found["none"]["seconds"], found["two runs a pass"]["seconds"]
    rows = [
        {
            "verify": name,
            "processor seconds": f"{one['seconds']:.2f}",
            "seconds": f"{one['wall']:.2f}",
            "peak MB": f"{one['peak'] / 1e6:.0f}",
            "of two runs a pass": f"{(one['seconds'] - none) / (whole - none):.2f}",
        }
        for name, one in found.items()
    ]
    table.write(options.out, "verification", "Cost of verification", rows, {"model": options.model})


def _best(runs: list[Found]) -> Found:
    return {key: min(run[key] for run in runs) for key in runs[0]}


def _child(name: str, path: Path) -> Found:
    command = [sys.executable, "-m", "tests.benchmarks.verification", "--one", name, str(path)]
    found: Found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return found


def _measured(name: str, path: Path) -> Found:
    start = time.perf_counter()
    seconds = processor_seconds(lambda: WORKS[name](path))
    return {"seconds": seconds, "wall": time.perf_counter() - start, "peak": peak_bytes()}


def _bert(path: Path) -> Path:
    """BERT base, as an exporter writes it that keeps Dropout."""
    return regraft.save(bert.build(bert.BASE, bert.Style(dropout="inference")), path)


if __name__ == "__main__":
    main()
