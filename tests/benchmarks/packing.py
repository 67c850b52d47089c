"""What packing gains on the demo's encoder: processor seconds of batches of 16, by how they are padded or packed.

    python -m tests.benchmarks.packing [--sequences 128] [--rounds 3] [--out benchmarks-out]

All ways run in turns in one process, in ONNX Runtime on one thread; the peer is the batch that is padded to the most
that there may be.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import regraft
from regraft.ir.model import Model
from regraft.models.minilm import model_path
from regraft.runtime import Session
from regraft.runtime.packing import read_lengths
from tests.benchmarks import table
from tests.benchmarks.clock import processor_seconds

BATCH, WORDS = 16, (1000, 20000)
LOOP = "simplify-gather,simplify-mask,unpack-attention{form=loop}"
PADDED = "padded to the most"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    options = parser.parse_args()
    model, packed, looped = (regraft.load(model_path()) for _ in range(3))
    regraft.run(packed, "unpack-attention")
    regraft.run(looped, LOOP)
    sessions = [Session(one, optimize=True, threads=1) for one in (model, packed, looped)]
    rows = [_row(name, model, *sessions, options) for name in ("seed004", "squad", "short")]
    table.write(options.out, "packing", "Packing on a CPU", rows, {"model": model_path().name})


def _row(name: str, model: Model, padded: Session, packed: Session, looped: Session, options: Any) -> dict[str, Any]:
    """How many times as fast as padding each way is."""
    lengths, most = read_lengths(name)
    lengths = lengths[: options.sequences]
    come, ordered = ([some[i : i + BATCH] for i in range(0, len(some), BATCH)] for some in (lengths, np.sort(lengths)))
    ways = {
        PADDED: (padded, [_feeds(model, some, most) for some in come]),
        "padded to the longest": (padded, [_feeds(model, some, some.max()) for some in come]),
        "sorted": (padded, [_feeds(model, some, some.max()) for some in ordered]),
        "one by one": (padded, [_feeds(model, [length], length) for length in lengths]),
        "unpack-attention": (packed, [_feeds(model, some, some.max()) for some in come]),
        "sorted, unpack-attention": (packed, [_feeds(model, some, some.max()) for some in ordered]),
        "form=loop": (looped, [_feeds(model, some, some.max()) for some in come]),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, (session, batches) in ways.items():
            seconds[way].append(processor_seconds(partial(_run, session, batches)))
    middle = {way: statistics.median(spent) for way, spent in seconds.items()}
    return {"lengths": name, **{way: f"{middle[PADDED] / spent:.2f}" for way, spent in middle.items()}}


def _feeds(model: Model, lengths: Any, size: int) -> dict[str, np.ndarray]:
    shown = (np.arange(size) < np.asarray(lengths)[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(*WORDS, shown.shape) * shown
    made = {"input_ids": ids, "attention_mask": shown, "token_type_ids": np.zeros_like(ids)}
    return {tensor.name: made[tensor.name] for tensor in model.inputs}


def _run(session: Session, batches: list[dict[str, np.ndarray]]) -> None:
    for feeds in batches:
        session.run(feeds)


if __name__ == "__main__":
    main()
