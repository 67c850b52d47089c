"""`regraft targets`: what models can be made ready for."""

from __future__ import annotations

import inspect

import click

from regraft.cli.parameters import command


@command("regraft targets", "regraft targets onnxruntime")
@click.argument("name", required=False)
def targets(name: str | None) -> None:
    """List the targets, or describe the target NAME and its pipeline."""
    from regraft.cli.output import table, title
    from regraft.pipelines.registry import targets

    if name is None:
        table((known, targets.load(known).help()) for known in targets.names())
        return
    found = targets.load(name)
    click.secho(found.name, bold=True)
    click.echo(inspect.cleandoc(found.__doc__ or ""))
    title("pipeline")
    click.echo(found.pipeline)
