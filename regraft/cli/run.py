"""`regraft run`: the outputs of a model or of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import (
    PATH,
    SourceOptions,
    as_json,
    command,
    compiler_options,
    given,
    inputs,
    load,
    model_argument,
    seed,
    source_options,
)
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.ir.model import Model
    from regraft.targeting.process import ResourceLimits

SHOWN = 6


@command(
    "regraft run bundle --inputs x.npz",
    "regraft run bundle --text 'The cat sleeps.' --text 'It rains.' --tokenizer vocab.txt -o y.npz",
    "regraft run model.onnx --inputs input_ids=4x64",
)
@model_argument()
@inputs
@seed
@click.option("--text", metavar="TEXT", multiple=True, help="A sentence of the batch to run on.  [repeatable]")
@click.option("--tokenizer", type=PATH, help="For --text: a saved tokenizer's folder, a tokenizer.json or a vocab.txt.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE.npz",
    help="Write the outputs there, bfloat16 and similar dtypes as float32.",
)
@compiler_options
@source_options
@as_json
@load
def run(
    model: Path,
    inputs: tuple[str, ...],
    seed: int,
    text: tuple[str, ...],
    tokenizer: Path | None,
    output: Path | None,
    environment: Path | None,
    limits: ResourceLimits,
    source: SourceOptions,
    as_json: bool,
) -> None:
    """Run a model file, or a bundle's host and device together, in ONNX Runtime.

    A bundle takes the inputs that its model had at first, and gives its outputs. With --trust the device's part of a
    compiled bundle runs in its compiler's runtime.
    """
    from regraft.targeting.compiled import not_loaded, open_bundle

    if output is not None and output.suffix != ".npz":
        raise click.UsageError(f"the outputs go to a .npz file, not {output}")
    if bool(text) != (tokenizer is not None):
        raise click.UsageError("--text and --tokenizer belong together")
    loaded = source.open(model)
    feeds = _feeds(loaded, inputs, seed, text, tokenizer)
    trust = source.more["trust"]
    if not trust and (note := not_loaded(model)):
        echo(note, err=True)
    with open_bundle(model, environment, limits, model=loaded, trust=trust) as session:
        results = session.run(feeds)
    if output is not None:
        _write(output, results)
    _print(results, as_json)


def _feeds(
    model: Model, inputs: tuple[str, ...], seed: int, text: tuple[str, ...], tokenizer: Path | None
) -> dict[str, Any]:
    from dataclasses import replace

    from regraft.verification.inputs import make_inputs

    known = given(model, inputs)
    if tokenizer is not None:
        from regraft.verification.text import tokenize

        known = replace(known, values={**tokenize(text, tokenizer, model), **known.values})
    return make_inputs(model, seed=seed, given=known)


def _write(path: Path, results: dict[str, Any]) -> None:
    from regraft.verification.vectors import save_vectors

    save_vectors(path, results)


def _print(results: dict[str, Any], as_json: bool) -> None:
    from itertools import islice

    import numpy as np

    from regraft.cli.output import table
    from regraft.verification.deviation import leaves, to_json
    from regraft.verification.vectors import as_lists

    if as_json:
        block(to_json(as_lists(results)))
        return
    rows = []
    for output, result in results.items():
        parts = leaves({output: result})
        for name, value in islice(parts, SHOWN):
            rows.append((name, *_shown(np.asarray(value))) if value is not None else (name, "no value", ""))
        if more := sum(1 for _ in parts):
            rows.append((output, f"and {more} more", ""))
    table(rows)


def _shown(array: Any) -> tuple[str, str]:
    """The type and the first elements of an array."""
    first = (f"{x:.6g}" if array.dtype.kind == "f" else str(x) for x in array.flat[:SHOWN])
    dtype = "string" if array.dtype.kind in "OU" else array.dtype
    return f"{dtype}{list(array.shape)}", ", ".join(first) + (" ..." if array.size > SHOWN else "")
