"""`regraft why`: why the rules of a pass did not match."""

from __future__ import annotations

from pathlib import Path

import click

from regraft.cli.parameters import as_json, command, load, model_argument
from regraft.cli.terminal import block, echo
from regraft.wording import count


@command(
    "regraft why model.onnx --pass fuse-gelu",
    "regraft why model.onnx --pass pack-sequences",
    "regraft why model.onnx --pass my-pass --load my_passes.py",
)
@model_argument()
@click.option("--pass", "text", required=True, metavar="PASS", help="A pass, as in a pipeline.")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many places to show.")
@as_json
@load
def why(model: Path, text: str, limit: int, as_json: bool) -> None:
    """Say why the rules of a pass did not match: the places that come nearest, and what is wrong there.

    For a pass that is not made of rules: why it refuses the model, or its notes about it.
    """
    from regraft.errors import PipelineError
    from regraft.files.loading import load
    from regraft.pipelines.pipeline import Pipeline
    from regraft.rewriting.why import why

    pipeline = Pipeline.parse(text)
    if len(pipeline) != 1:
        raise PipelineError(f"--pass takes one pass, not {len(pipeline)}: '{text}'")
    misses = why(load(model), pipeline.passes[0], limit)
    if as_json:
        import json
        from dataclasses import asdict

        block(json.dumps([asdict(miss) for miss in misses], indent=2))
        return
    if not misses:
        echo(f"no place in {model} comes near; every place that looks like one matches")
    for miss in misses:
        echo(miss.node, bold=True)
        found = (
            f"{miss.rule}: {miss.matched} of {count(miss.total, 'operator')} match; at {miss.where}: "
            if miss.rule
            else ""
        )
        echo(f"  {found}{miss.reason}")
