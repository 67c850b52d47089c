"""`regraft export-triton`: a model repository for Triton Inference Server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import PATH, as_json, command, model_argument
from regraft.cli.terminal import echo

if TYPE_CHECKING:
    from regraft.serving.triton import Kind


@command(
    "regraft export-triton bundle -o repository",
    "regraft export-triton bundle -o repository --name minilm --kind gpu --instances 2 --max-batch 64",
)
@model_argument()
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="FOLDER", help="The folder of the repository, new or empty."
)
@click.option("--name", metavar="NAME", help="Name of the model.  [default: its file's or its folder's]")
@click.option("--max-batch", type=click.IntRange(min=1), default=16, show_default=True, help="Sequences in a batch.")
@click.option(
    "--max-delay-ms",
    type=click.FloatRange(0, 60_000),
    default=5.0,
    show_default=True,
    help="Milliseconds for which a request may wait for others.",
)
@click.option(
    "--instances", type=click.IntRange(min=1), default=1, show_default=True, help="Copies that run at the same time."
)
@click.option("--kind", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True, help="Where they run.")
@as_json
def export_triton(
    model: Path,
    output: Path,
    name: str | None,
    max_batch: int,
    max_delay_ms: float,
    instances: int,
    kind: Kind,
    as_json: bool,
) -> None:
    """Write an ONNX file or a bundle as a model repository of Triton Inference Server.

    A split model becomes two models and an ensemble of them. One whose host packs becomes one model, which Triton gives
    the sequences of all requests in a batch without padding.
    """
    from regraft.cli.output import document
    from regraft.files.loading import load
    from regraft.serving.triton import Serving, write_repository

    serving = Serving(max_batch, max_delay_ms, instances, kind)
    own = model.absolute().name if model.is_dir() else model.stem
    written = write_repository(load(model), output, name or own, serving)
    if as_json:
        document([{**asdict(one), "folder": str(output / one.name)} for one in written])
        return
    for one in written:
        batch = f"batches of up to {one.max_batch}" if one.max_batch else "one request at a time"
        echo(f"{output / one.name}: {batch}{', of unlike lengths' if one.ragged else ''}")
