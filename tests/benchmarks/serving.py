"""What `regraft serve` takes: 96 clients that send 128 requests each, and requests at a rate, without a model.

    python -m tests.benchmarks.serving [--clients 96] [--requests 128] [--seconds 20] [--out benchmarks-out]

The demo's encoder is served as accelerators have it, 6 sequences of 128 tokens at a time, and with packed tokens; every
answer is held against the model's own. Load and server are processes of one machine. Without a model means one that
adds two numbers, so that what is left is HTTP, the protocol and the queue.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import onnx.parser

import regraft
from regraft.models.minilm import model_path
from tests.benchmarks import table
from tests.serving.served import COMMAND, process

SHAPES = "set-shapes{{input_ids={0}x128,attention_mask={0}x128}}"
RATE = 300
ADDS = """
<ir_version: 10, opset_import: ["" : 18]>
adds (int64[batch, seq] input_ids, int64[batch, seq] attention_mask) => (int64[batch, seq] sum)
{ sum = Add(input_ids, attention_mask) }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=96)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    options = parser.parse_args()
    load = ["--clients", options.clients, "--requests", options.requests]
    steady = ["--scenario", "server", "--rate", RATE, "--seconds", options.seconds, "--clients", 32]
    with tempfile.TemporaryDirectory(prefix="regraft-") as name:
        folder = Path(name)
        fixed, packed = _bundle(folder / "fixed", SHAPES.format(6)), _bundle(folder / "packed", "unpack-attention")
        alone = _bundle(folder / "alone", SHAPES.format("batch"))
        adds = folder / "adds.onnx"
        onnx.save(onnx.parser.parse_model(ADDS), adds)
        rows = [
            _row("6 × 128, 4 instances", fixed, alone, ["--instances", 4, "--threads", 1], load),
            _row("packed", packed, packed, [], load),
            _row(f"no model, {RATE} requests a second", adds, adds, ["--timeout-ms", 0, "--threads", 1], steady),
        ]
    table.write(options.out, "serving", "Serving on a CPU", rows, {"model": model_path().name})


def _bundle(folder: Path, pipeline: str) -> Path:
    original, model = regraft.load(model_path()), regraft.load(model_path())
    report = regraft.run(model, pipeline)
    regraft.write_bundle(model, folder, original=original, report=report)
    return folder


def _row(what: str, path: Path, check: Path, server: list[Any], load: list[Any]) -> dict[str, Any]:
    """A load whose answers are held against `check`, which takes one sequence."""
    with process(path, *server) as (_, address, _):
        command = ["load-test", address, "--lengths", "short", "--check", check, "--json", *load]
        done = subprocess.run([*COMMAND, *map(str, command)], stdout=subprocess.PIPE, text=True, check=False)
        found = json.loads(done.stdout)
    return {
        "served": what,
        "inferences a second": f"{found['throughput']:.0f}",
        **{f"P{p}, ms": f"{found[f'p{p}_ms']:.2f}" for p in (50, 90, 99)},
        "requests": found["requests"],
        "errors": sum(found["errors"].values()),
        "wrong": found["wrong"],
    }


if __name__ == "__main__":
    main()
