"""What verification costs on the demo's model: processor seconds of the default pipeline, by how it is verified.

    python -m tests.benchmarks.verification [--rounds 5] [--out benchmarks-out]

A trial is one set of inputs; one alone is what a user would try. The peer is the model itself: `opened` is how long it
takes ONNX Runtime to open it twice and to run it twice on the usual inputs, which no verification can do without.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import regraft
from regraft.models.minilm import model_path
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.benchmarks import table
from tests.benchmarks.clock import processor_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    options = parser.parse_args()
    works: dict[str, Callable[[], Any]] = {
        "opened": _open_twice,
        "none": partial(_rewrite, verify="none"),
        "final, 1 trial": partial(_rewrite, verify="final", trials=1),
        "final": partial(_rewrite, verify="final"),
        "each": partial(_rewrite, verify="each"),
    }
    seconds = {name: min(processor_seconds(work) for _ in range(options.rounds)) for name, work in works.items()}
    one = seconds["final, 1 trial"] - seconds["none"]
    rows = [
        {"verify": name, "seconds": f"{spent:.2f}", "over one trial": _ratio(name, spent - seconds["none"], one)}
        for name, spent in seconds.items()
    ]
    table.write(options.out, "verification", "Cost of verification", rows, {"model": model_path().name})


def _ratio(name: str, spent: float, one: float) -> str | None:
    return None if name in ("opened", "none") else f"{spent / one:.2f}"


def _rewrite(**options: Any) -> None:
    model = regraft.load(model_path())
    regraft.run(model, read_target("onnxruntime").passes(model, None), **options)


def _open_twice() -> None:
    model = regraft.load(model_path())
    inputs = make_inputs(model)
    for _ in range(2):
        Session(model).run(inputs)


if __name__ == "__main__":
    main()
