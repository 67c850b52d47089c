"""What rewriting costs a node, beside everybody else: load, clean up, save, of graphs of 1,000 to 1,000,000 nodes.

    python -m tests.benchmarks.core [--sizes 20000 --graph chain] [--only regraft_default] [--out benchmarks-out]

Each contestant runs in a process of its own, in turn, round after round. It first does its work on a small graph, so
that imports and start-up do not count; then processor seconds are taken, of all its threads, and the memory that came
on top. `chain` is made of what clean-up passes look for (`models/chain.py`); `old` is the same at opset 13, with pairs
of Transposes; `dynamo` has 0.9 kB of metadata at each node. `bert` and `llama` (rotary embeddings, shared heads, a
cache) are transformers of as many layers as give about that many nodes, with small weights: BERT-base has 1,433.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.benchmarks import table
from tests.benchmarks.contestants import REFERENCE, Contestant, onnx_load_save, onnxscript, onnxsim, onnxslim
from tests.benchmarks.measure import peak_bytes
from tests.verification.planted import blind_models, pair

WARM = 300
"""Nodes of the graph that everybody starts with."""


def onnxruntime_basic(source: str, target: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    options.intra_op_num_threads = 1
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def regraft_default(source: str, target: str) -> None:
    """What `regraft rewrite` runs where it is told nothing else, without verifying."""
    import regraft
    from regraft.pipelines import manager
    from regraft.pipelines.registry import targets

    model = regraft.load(source)
    manager.run(model, targets.load("onnxruntime").pipeline)
    regraft.save(model, target)


CONTESTANTS = (
    Contestant(REFERENCE, "onnx", onnx_load_save),
    Contestant("onnxslim: slim", "onnxslim", onnxslim),
    Contestant("onnxsim: simplify", "onnxsim", onnxsim),
    Contestant("onnxscript: optimizer", "onnxscript", onnxscript),
    Contestant("ONNX Runtime: basic optimisations", "onnxruntime", onnxruntime_basic),
    Contestant("regraft: load, default pipeline, save", "regraft", regraft_default),
)


# ------------------------------------------------------------------------------------------------------ the graphs


def chain(nodes: int, file: Path) -> None:
    import regraft
    from regraft.models import chain

    regraft.save(chain.build(nodes), file)


def old(nodes: int, file: Path) -> None:
    import regraft
    from regraft.models import chain

    regraft.save(chain.build(nodes, opset=13, parts=(*chain.MOTIFS, chain.transposes)), file)


def dynamo(nodes: int, file: Path) -> None:
    import regraft
    from regraft.models import chain

    model = chain.build(nodes, opset=18)
    for number, node in enumerate(model.graph.nodes):
        scope = "/".join(f"layer.{number // 10}.part{depth}" for depth in range(8))
        node.metadata = {
            "namespace": scope,
            "pkg.torch.onnx.class_hierarchy": str(["model.Model", *["torch.nn.modules.module.Module"] * 8, node.op]),
            "pkg.torch.onnx.name_scopes": str(scope.split("/")),
            "pkg.torch.onnx.fx_node": f"%op_{number} : call_function[target=aten.{node.op}](args = (%x, {number}))",
        }
    regraft.save(model, file)


def bert(nodes: int, file: Path) -> None:
    import regraft
    from regraft.models import bert

    size = replace(bert.TINY, layers=max(1, (nodes - 30) // 117))
    regraft.save(bert.build(size, bert.Style(dropout="inference")), file)


def llama(nodes: int, file: Path) -> None:
    layers = max(1, nodes // 45)
    made = pair.model(blind_models.decoder(layers), **blind_models.decoder_weights(layers))
    file.write_bytes(made.SerializeToString())


GRAPHS: dict[str, Callable[[int, Path], None]] = {
    "chain": chain,
    "old": old,
    "dynamo": dynamo,
    "bert": bert,
    "llama": llama,
}


# ----------------------------------------------------------------------------------------------------- one contestant


def compete(name: str, source: str, target: str, warm: str) -> None:
    """Do the work, and print what it took."""
    work = next(c.work for c in CONTESTANTS if c.work.__name__ == name)
    work(warm, f"{target}.warm.onnx")
    held, start = peak_bytes(), time.process_time()
    work(source, target)
    seconds, peak = time.process_time() - start, peak_bytes()
    print(json.dumps({"seconds": seconds, "peak": peak, "grown": peak - held}))


def main() -> None:
    options = _options()
    present = [c for c in CONTESTANTS if c.version() is not None]
    present = [c for c in present if not options.only or c.work.__name__ in (*options.only, onnx_load_save.__name__)]
    rows: list[table.Row] = []
    with tempfile.TemporaryDirectory(prefix="regraft-core-", dir=options.scratch) as folder:
        for graph in options.graph or GRAPHS:
            warm = Path(folder, f"{graph}-warm.onnx")
            GRAPHS[graph](WARM, warm)
            for size in options.sizes:
                source = Path(folder, f"{graph}-{size}.onnx")
                GRAPHS[graph](size, source)
                rows += _rows(graph, size, present, source, warm, options)
                source.unlink()
    table.write(
        options.out, "core", "Processor seconds, memory on top of a warm process", rows, {"rounds": options.rounds}
    )


def _rows(
    graph: str, size: int, present: list[Contestant], source: Path, warm: Path, options: argparse.Namespace
) -> list[table.Row]:
    runs: dict[str, list[dict[str, float]]] = {c.name: [] for c in present}
    notes: dict[str, str] = {}
    for _ in range(options.rounds):
        for contestant in present:
            if contestant.name not in notes:
                done, note = _run(contestant, source, source.with_suffix(".out.onnx"), warm, options.seconds)
                runs[contestant.name] += done
                if note:
                    notes[contestant.name] = note
    base = [run["seconds"] for run in runs[REFERENCE]]
    rows: list[table.Row] = []
    for contestant in present:
        row: table.Row = {"graph": graph, "nodes": size, "contestant": f"{contestant.name} ({contestant.version()})"}
        if mine := runs[contestant.name]:
            ratios = [run["seconds"] / other for run, other in zip(mine, base, strict=False)]
            row |= {
                "seconds": round(median(run["seconds"] for run in mine), 3),
                f"× {REFERENCE}": round(median(ratios), 2),
                "µs a node": round(median(run["seconds"] for run in mine) / size * 1e6, 1),
                "peak MB": round(max(run["peak"] for run in mine) / 1e6),
                "kB a node": round(max(run["grown"] for run in mine) / size / 1e3, 2),
            }
        rows.append(row | {"note": notes.get(contestant.name, "")})
        print(rows[-1], flush=True)
    return rows


def _run(
    contestant: Contestant, source: Path, target: Path, warm: Path, limit: float
) -> tuple[list[dict[str, float]], str]:
    """What a run took; what went wrong."""
    command = [sys.executable, "-m", "tests.benchmarks.core", "--compete", contestant.work.__name__]
    try:
        done = subprocess.run(
            [*command, str(source), str(target), str(warm)], capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return [], f"stopped after {limit:g} s"
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return [json.loads(done.stdout.splitlines()[-1])], ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 20_000, 100_000, 1_000_000])
    parser.add_argument("--graph", action="append", choices=list(GRAPHS), help="may be repeated")
    parser.add_argument("--only", action="append", help="a contestant's function name; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--scratch", type=Path, help="a folder with 2 GB free; default: the system's")
    parser.add_argument("--seconds", type=float, default=600, help="limit of one run")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compete"]:
        compete(*sys.argv[2:])
    else:
        main()
