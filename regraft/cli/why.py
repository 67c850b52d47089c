"""`regraft why`: why a pass leaves what it leaves."""

from __future__ import annotations

from pathlib import Path

import click

from regraft.cli.completion import complete_pipeline
from regraft.cli.parameters import as_json, command, load, model_argument
from regraft.cli.terminal import block, echo
from regraft.wording import count


@command(
    "regraft why model.onnx --pass fuse-gelu",
    "regraft why model.onnx --pass fuse-attention",
    "regraft why model.onnx --pass my-pass --load my_passes.py",
)
@model_argument()
@click.option(
    "--pass", "text", required=True, metavar="PASS", shell_complete=complete_pipeline, help="A pass, as in a pipeline."
)
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many places to show.")
@as_json
@load
def why(model: Path, text: str, limit: int, as_json: bool) -> None:
    """Say why a pass changes nothing, or no more: the places that it refuses, and what is wrong there.

    Of a pass that is made of rules, also the places that come nearest to a match, and what stops it there.
    """
    from regraft.errors import PipelineError
    from regraft.files.loading import load
    from regraft.pipelines.pipeline import Pipeline
    from regraft.rewriting.why import explain

    pipeline = Pipeline.parse(text)
    if len(pipeline) != 1:
        raise PipelineError(f"--pass takes one pass, not {len(pipeline)}: '{text}'")
    found = explain(load(model), pipeline.passes[0], limit)
    if as_json:
        import json
        from dataclasses import asdict

        block(json.dumps([asdict(miss) for miss in found.misses], indent=2))
        return
    echo(f"{pipeline.passes[0]}: {found}")
    for miss in found.misses:
        echo(miss.node, bold=True)
        matched = f"{miss.matched} of {count(miss.total, 'operator')} match"
        near = f"{miss.rule}: {matched}; at {miss.where}: " if miss.rule else ""
        echo(f"  {near}{miss.reason}")
