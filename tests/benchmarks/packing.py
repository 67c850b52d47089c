"""What packing gains on a CPU: processor seconds of sequences of unlike lengths, by how they are padded or packed.

    python -m tests.benchmarks.packing [--model minilm-l6|minilm|bert-base] [--sequences 128] [--out benchmarks-out]

All ways run in turns in one process, in ONNX Runtime on one thread; the peer is the batch of 16 that is padded to the
most tokens that there may be. Of each packed form the best number of tokens a call is shown, and what the chooser took,
which has seen other sequences of the same lengths.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

import regraft
from regraft.batching.choose import choose
from regraft.batching.form import Form, Row
from regraft.batching.policy import Padded
from regraft.batching.ways import Way, find_ways
from regraft.cli.bench_lengths import PACKED
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.models import bert
from regraft.models.minilm import model_path
from regraft.runtime import Session
from regraft.runtime.packing import read_lengths
from tests.benchmarks import table
from tests.benchmarks.clock import processor_seconds

BATCH, WORDS = 16, (1000, 20000)
SEEN = 48  # sequences that the chooser sees
PADDED, CHOSEN = "padded to the most", "chosen"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), default="minilm-l6")
    parser.add_argument("--lengths", nargs="+", default=["seed004", "squad", "short"])
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    options = parser.parse_args()
    opened = {"": _opened(options.model, "")} | {name: _opened(options.model, text) for name, text in PACKED.items()}
    rows = [_row(name, opened, options) for name in options.lengths]
    table.write(options.out, f"packing-{options.model}", f"Packing {options.model} on a CPU", rows, {})


def _opened(name: str, pipeline: str) -> tuple[Form, Any]:
    model = MODELS[name]()
    if pipeline:
        regraft.run(model, pipeline)
    return Form.of(model), Session(model, optimize=True, threads=1).run


def _minilm_l6() -> Model:
    """The demo's encoder with its three layers twice, one behind the other: as deep as MiniLM-L6."""
    model = onnx.load(model_path())
    nodes = list(model.graph.node)
    inside = [i for i, node in enumerate(nodes) if "/encoder/layer." in node.name]
    layers = nodes[inside[0] : inside[-1] + 1]
    entry, end = layers[0].input[0], layers[-1].output[0]
    made = {name: f"{name}_first" for node in layers for name in node.output}
    first = []
    for node in layers:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name += "_first"
        copied.input[:] = [made.get(name, name) for name in node.input]
        copied.output[:] = [made[name] for name in node.output]
        first.append(copied)
    for node in layers:
        node.input[:] = [made[end] if name == entry else name for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[: inside[0]], *first, *nodes[inside[0] :]])
    return from_proto(model)


MODELS: dict[str, Callable[[], Model]] = {
    "minilm": lambda: regraft.load(model_path()),
    "minilm-l6": _minilm_l6,
    "bert-base": lambda: bert.build(bert.BASE),
}


def _row(name: str, opened: dict[str, tuple[Form, Any]], options: Any) -> dict[str, Any]:
    """How many times as fast as padding each way is."""
    lengths, most = read_lengths(name)
    form, run = opened[""]
    longest = int(lengths.max())
    every = {kind: find_ways(kind, *one, batch=BATCH, longest=longest) for kind, one in opened.items()}
    every[PADDED] = [Way("", form, run, Padded(BATCH), most)]
    seen, rows = _rows(form, lengths[-SEEN:]), _rows(form, lengths[: options.sequences])
    best = choose([way for ways in every.values() for way in ways], seen)[0].way
    seconds: dict[Way, list[float]] = {way: [] for ways in every.values() for way in ways}
    for _ in range(options.rounds):
        for way, spent in seconds.items():
            spent.append(processor_seconds(partial(_run, way, rows)))
    base = median(seconds[every[PADDED][0]])
    gains = {way: base / median(spent) for way, spent in seconds.items()}
    shown: dict[str, Any] = {"lengths": name}
    for kind, ways in every.items():
        if kind in PACKED:
            shown[kind] = f"{max(gains[way] for way in ways):.2f}"
        else:
            shown |= {way.name: f"{gains[way]:.2f}" for way in ways}
    return shown | {CHOSEN: f"{gains[best]:.2f} ({best.name})"}


def _rows(form: Form, lengths: Any) -> list[Row]:
    random = np.random.default_rng(0)
    made = []
    for length in lengths.tolist():
        ids = random.integers(*WORDS, (1, length))
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        made += form.rows({port.name: values[port.name] for port in form.inputs})
    return made


def _run(way: Way, rows: list[Row]) -> None:
    for group in way.groups(rows):
        way.call([rows[i] for i in group])


if __name__ == "__main__":
    main()
