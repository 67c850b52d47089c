"""`regraft bench --lengths`: in which way sequences of these lengths run fastest."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.cli.output import table
from regraft.cli.terminal import block, echo, shows_progress
from regraft.errors import RegraftError
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.batching.compare import Measured
    from regraft.batching.ways import Way

PACKED = {
    "segments": "simplify-gather,simplify-mask,pack-sequences",
    "gather": "unpack-attention",
    "bucket": "unpack-attention{form=bucket}",
    "loop": "convert-opset{version=13,only=older},simplify-gather,simplify-mask,unpack-attention{form=loop}",
}
"""The pipeline of each way, for a model that is not packed."""


ONLINE = 4.0
"""Seconds for which requests arrive at random, for each way."""


NEAR = 1.15
"""Ways are measured whose expected time is at most so many times the least."""


@dataclass(frozen=True)
class Asked:
    """The options of the command line.

    Attributes:
        batch: sequences of a padded call.
        rows, tokens, most: the fixed shape of a packed batch; rows is 0 where the user asked for none.
        sequences: how many are run.
        timeout: seconds for which a request waits for others.
    """

    lengths: str
    batch: int
    rows: int
    tokens: int
    most: int
    sequences: int
    rounds: int
    threads: int
    timeout: float
    seed: int


def compare_ways(path: Path, asked: Asked, dump: Path | None, as_json: bool) -> None:
    """Print how the ways of running sequences of these lengths compare.

    Raises:
        RegraftError: the model cannot be read or run, or takes no sequences of tokens.
    """
    from regraft.batching.choose import calibrate, predict
    from regraft.batching.compare import compare, with_latency
    from regraft.batching.form import Form
    from regraft.batching.policy import Padded
    from regraft.batching.ways import Way
    from regraft.files.loading import load
    from regraft.packers.lengths import read_lengths
    from regraft.pipelines.progress import bars
    from regraft.serving.requests import Inputs
    from regraft.verification.runtime import Session

    model = load(path)
    form = Form.of(model)
    if form.mask is None:
        raise RegraftError(f"{path}: no input says which tokens of a sequence are padding, so lengths say nothing")
    found = read_lengths(asked.lengths)
    inputs = Inputs.of_model(model)
    made = inputs.batches(found.values.tolist(), 1, asked.seed)
    requests = [batch.inputs for batch in islice(made, min(asked.sequences, len(found.values)))]
    rows = [form.rows(request)[0] for request in requests]
    run = Session(model, optimize=True, threads=asked.threads).run
    one_by_one = Way("", form, run, Padded(1))
    alone = [one_by_one.call([row])[0] for row in rows]
    most = min(found.longest, inputs.longest or found.longest)
    ways, refused = _ways(model, form, run, most, asked)
    expected = predict(ways, calibrate(ways, rows), rows)
    promising = _promising(expected)
    with bars((asked.rounds + 1) * len(promising), shows_progress()) as shown:
        results = []
        for one in compare(promising, rows, alone, asked.rounds, shown):
            shown.begin(f"{one.way.name}: waiting times")
            results.append(with_latency(one, requests, timeout=asked.timeout, seconds=ONLINE, seed=asked.seed))
            shown.end()
    if dump is not None:
        _dump(dump, rows, results)
    best = max(results, key=lambda one: one.throughput)
    tokens = sum(row.length for row in rows)
    said = {
        "lengths": asked.lengths,
        "sequences": len(rows),
        "tokens": tokens,
        "ideal": len(rows) * most / tokens,
        "best": best.way.name,
        "refused": refused,
        "ways": [_record(one, expected[one.way], results[0]) for one in results],
    }
    if as_json:
        import json

        block(json.dumps(said, indent=2))
        return
    _print(said, results)


def _ways(model: Any, form: Any, run: Any, longest: int, asked: Asked) -> tuple[list[Way], dict[str, str]]:
    """The ways to run a model as it is, and packed if it is not yet packed; and why packing it failed."""
    from regraft.batching.form import Form
    from regraft.batching.policy import Padded
    from regraft.batching.ways import Way, find_ways
    from regraft.errors import PassError
    from regraft.files.convert import clone
    from regraft.pipelines.manager import run as rewrite
    from regraft.verification.runtime import Session

    if form.packing is not None:
        return find_ways("", form, run, batch=asked.batch, longest=longest), {}
    ways = [Way("original", form, run, Padded(asked.batch), longest)]
    ways += find_ways("original", form, run, batch=asked.batch, longest=longest)
    refused: dict[str, str] = {}
    for name, pipeline in (PACKED | _fixed(asked)).items():
        packed = clone(model)
        try:
            rewrite(packed, pipeline)
        except PassError as error:
            refused[name] = str(error)
            continue
        session = Session(packed, optimize=True, threads=asked.threads)
        ways += find_ways(name, Form.of(packed), session.run, batch=asked.batch, longest=longest)
    return ways, refused


def _promising(expected: Mapping[Way, float]) -> list[Way]:
    """The ways to measure: for a packed model with an open shape, those near its best by the formula."""
    best: dict[str, float] = {}
    for way, seconds in expected.items():
        best[way.model] = min(seconds, best.get(way.model, seconds))
    return [way for way, seconds in expected.items() if not way.form.ragged or seconds <= NEAR * best[way.model]]


def _fixed(asked: Asked) -> dict[str, str]:
    """The pipelines of a fixed shape, where one is asked for."""
    if not asked.rows:
        return {}
    shape = f"rows={asked.rows},tokens={asked.tokens},max-valid-num={asked.most}"
    return {
        "segments, fixed": f"pack-sequences{{{shape}}}",
        "static": f"unpack-attention{{form=static,{shape},segment-max-size={asked.tokens}}}",
    }


def _record(one: Measured, expected: float, first: Measured) -> dict[str, Any]:
    return {
        "way": one.way.name,
        "calls": one.calls,
        "throughput": one.throughput,
        "speedup": one.throughput / first.throughput,
        "predicted_seconds": expected,
        "seconds": one.seconds,
        "mean_ms": one.latency.mean if one.latency else None,
        "p99_ms": one.latency.p99 if one.latency else None,
        "mae": dict(one.errors),
        "worst": {"sequence": one.worst[0], "difference": one.worst[1]},
    }


def _print(said: Mapping[str, Any], results: Sequence[Measured]) -> None:
    echo(
        f"{count(said['sequences'], 'sequence')} of {said['lengths']}, {count(said['tokens'], 'token')}; "
        f"without padding at the most {said['ideal']:.2f} times as fast as padded to the longest of all"
    )
    head = ("way", "calls", "sequences/s", "times", "expected", "mean ms", "P99 ms", "MAE", "worst")
    rows = [
        (
            way["way"],
            way["calls"],
            f"{way['throughput']:,.1f}",
            f"{way['speedup']:.2f}",
            f"{said['sequences'] / way['predicted_seconds']:,.1f}",
            _ms(way["mean_ms"]),
            _ms(way["p99_ms"]),
            f"{max(way['mae'].values(), default=0):.1e}",
            f"{way['worst']['difference']:.1e}",
        )
        for way in said["ways"]
    ]
    table(rows, head, right=range(1, len(head)))
    for name, why in said["refused"].items():
        echo(f"{name}: {why}")
    echo(f"best: {said['best']}", bold=True)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _dump(path: Path, rows: Sequence[Any], results: Sequence[Measured]) -> None:
    """A line for each sequence: its number of tokens, and the error of each way's answer."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence", "tokens", *(one.way.name for one in results)])
        for number, row in enumerate(rows):
            writer.writerow([number, row.length, *(f"{one.samples[number]:.3e}" for one in results)])
