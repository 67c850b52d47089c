"""Who proves what: regraft's proofs of places beside onnxsim's certify, on what regraft's rules make of real models.

    python -m tests.benchmarks.certify [--only onnxsim] [--model chain] [--seconds 60] [--out benchmarks-out]

Each pair is a model and what one pass made of rules makes of it, once with the sizes that the exporter left open and
once with all of them fixed and constants folded, which is what onnxsim can take. Both provers have the same time for a
pair, each in a process of its own. onnxsim proves outputs, by windows on the way to them; regraft proves places.

Certify needs z3 (`pip install 'onnxsim[verify]'`). It speaks of real numbers, like regraft, but proves that two results
differ by no more than 1e-5 + 1e-4 · |result|. Its limits in 0.8.1, where `onnxsim.simplify` runs it: 64 MiB, no
external data, 100,000 multiplications a window, 5 s a window, 10 s in all; called by itself, as here, 300,000
multiplications and 60 s a window. A window must have known sizes, and no operators but these: Add, BatchNormalization,
Clip, Conv (2-d), Flatten, Gemm, Identity, MatMul, Mul, Neg, Relu, Reshape, Sub, Transpose.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import regraft
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines import manager
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.registry import passes
from regraft.proving.passes import forms
from regraft.rewriting.rule_pass import RulePass
from tests.benchmarks import table
from tests.benchmarks.measure import peak_bytes

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
FILES = (
    "pytorch/bert-cls-eager-ts.onnx",
    "pytorch/bert-cls-sdpa-dynamo.onnx",
    "pytorch/bert-qa-eager-dynamo.onnx",
    "pytorch/distilbert-sdpa-ts.onnx",
    "pytorch/roberta-eager-dynamo.onnx",
    "pytorch/gpt2-eager-ts.onnx",
    "pytorch/t5-encoder-dynamo.onnx",
    "pytorch/vit-ts.onnx",
    "pytorch/transformers-4.25.1-bert-qa/model.onnx",
    "tensorflow/tiny_seq32_op18.onnx",
)
MODELS: dict[str, Callable[[], Model]] = {
    **{name: (lambda path=ARTIFACTS / name: regraft.load(path)) for name in FILES},
    "bert": lambda: bert.build(),
    "bert of operators": lambda: bert.build(style=bert.Style(opset=20, gelu="op", layer_norm="op")),
    "chain": lambda: chain.build(300),
    "chain of 3,000": lambda: chain.build(3000),
}
BATCH, LENGTH = 2, 16
Found = dict[str, Any]


# ------------------------------------------------------------------------------------------------------- the provers


def prove_with_onnxsim(before: Path, after: Path, seconds: float) -> Found:
    import onnx
    from onnxsim import certify

    report = certify.certify(onnx.load(before), onnx.load(after), total_timeout_ms=int(1000 * seconds))
    windows = [window for window in report.windows if window.status != certify.PROVED_CONGRUENCE]
    open_ = [window for window in windows if not _is_proved(window)]
    reasons = Counter(_innermost(one.detail) for one in open_ if all(map(_is_proved, one.children)))
    return {
        "proved": len(windows) - len(open_),
        "not": reasons.total(),
        "outputs": f"{sum(s.startswith('proved') for s in report.outputs.values())} of {len(report.outputs)}",
        "most often": _first(reasons),
    }


def prove_with_regraft(before: Path, after: Path, seconds: float) -> Found:
    from regraft.proving.places import prove_models

    places = prove_models(regraft.load(before), regraft.load(after))
    wrong = [place for place in places if place.outcome != "proved"]
    reasons = Counter(f"{place.outcome}: {place.reason}" for place in wrong)
    return {"proved": len(places) - len(wrong), "not": len(wrong), "most often": _first(reasons)}


PROVERS = {"onnxsim": prove_with_onnxsim, "regraft": prove_with_regraft}
NEEDS = {"onnxsim": ("onnxsim", "z3"), "regraft": ("regraft.proving.places",)}


def _is_proved(window: Any) -> bool:
    return str(window.status).startswith("proved")


def _innermost(detail: str) -> str:
    """The reason, without the hint behind it and the names before it."""
    return detail.partition("; ")[0].rpartition(": ")[2]


def _first(reasons: Counter[str]) -> str:
    """The reason that came most often, and how often it did."""
    return next((f"{reason[:WIDTH]} ({count})" for reason, count in reasons.most_common(1)), "")


WIDTH = 80
"""Letters of a reason that a table shows."""


def prove(name: str, before: str, after: str, seconds: float) -> None:
    """Prove in this process, and print what came of it and what it took beside imports and loading."""
    for module in NEEDS[name]:
        import_module(module)
    base, start = peak_bytes(), time.perf_counter()
    found = PROVERS[name](Path(before), Path(after), seconds)
    seconds = round(time.perf_counter() - start, 2)
    print(json.dumps({**found, "seconds": seconds, "MB": round((peak_bytes() - base) / 1e6)}))


# --------------------------------------------------------------------------------------------------------- the pairs


def fix(model: Model) -> None:
    """Fix the sizes that are left open, and fold what is computed of them."""
    for value in model.graph.inputs:
        shape = value.shape or []
        value.shape = [d if isinstance(d, int) else BATCH if not i else LENGTH for i, d in enumerate(shape)]
    manager.run(model, "infer-shapes,fold-constants,eliminate-dead-code,infer-shapes")


def pairs(name: str, fixed: bool, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """A model and what each pass makes of it that changes it, as files."""
    before = folder / "before.onnx"
    model = MODELS[name]()
    manager.run(model, "infer-shapes")
    if fixed:
        fix(model)
    regraft.save(model, before)
    for one in rule_passes():
        rewritten = regraft.load(before)
        if manager.run(rewritten, [one]).changed:
            after = folder / "after.onnx"
            regraft.save(rewritten, after)
            yield str(one), before, after


def rule_passes() -> Iterator[Pass]:
    for name in passes.names():
        found = passes.load(name)
        if issubclass(found, RulePass):
            yield from forms(found)


# --------------------------------------------------------------------------------------------------------------------


def main() -> None:
    options = _options()
    names = [name for name in PROVERS if not options.only or name in options.only]
    absent = {name: [m for m in NEEDS[name] if not _is_there(m)] for name in names}
    rows: list[table.Row] = []
    with tempfile.TemporaryDirectory(prefix="regraft-certify-") as folder:
        for model in options.model or MODELS:
            for fixed in (False, True):
                for text, before, after in pairs(model, fixed, Path(folder)):
                    row: table.Row = {"model": model, "sizes": "fixed" if fixed else "open", "pass": text}
                    for name in names:
                        note = f"needs {', '.join(absent[name])}" if absent[name] else ""
                        found = {"note": note} if note else _run(name, before, after, options.seconds)
                        rows.append({**row, "prover": name, **found})
                        print(rows[-1], flush=True)
    table.write(options.out, "certify", "Proofs of rewritten models", rows, {"seconds": options.seconds})
    print(table.markdown(_totals(rows)))


def _is_there(module: str) -> bool:
    return find_spec(module) is not None


def _run(name: str, before: Path, after: Path, seconds: float) -> Found:
    command = [sys.executable, "-m", "tests.benchmarks.certify", "--prove", name, str(before), str(after)]
    try:
        done = subprocess.run(
            [*command, "--seconds", str(seconds)], capture_output=True, text=True, timeout=2 * seconds + 30
        )
    except subprocess.TimeoutExpired:
        return {"note": f"stopped after {2 * seconds + 30:g} s"}
    if done.returncode:
        return {"note": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def _totals(rows: list[table.Row]) -> list[table.Row]:
    """What came of all pairs, by prover and by whether sizes were fixed."""
    totals: list[table.Row] = []
    for prover, sizes in sorted({(row["prover"], row["sizes"]) for row in rows}):
        some = [row for row in rows if (row["prover"], row["sizes"]) == (prover, sizes)]
        ran = [row for row in some if not row.get("note")]
        totals.append(
            {
                "prover": prover,
                "sizes": sizes,
                "pairs": len(some),
                "all proved": sum(row["proved"] > 0 and not row["not"] for row in ran),
                "proved": sum(row["proved"] for row in ran),
                "not": sum(row["not"] for row in ran),
                "failed": len(some) - len(ran),
                "seconds": round(sum(row["seconds"] for row in ran), 1),
                "most MB": max((row["MB"] for row in ran), default=0),
            }
        )
    return totals


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PROVERS, action="append")
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--prove", nargs=3, metavar=("PROVER", "BEFORE", "AFTER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prove:
        prove(*options.prove, options.seconds)
        sys.exit()
    return options


if __name__ == "__main__":
    main()
