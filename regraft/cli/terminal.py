"""The one place where text goes to the terminal: what a model calls its values cannot steer it."""

from __future__ import annotations

import click

from regraft.errors import visible


def echo(text: object = "", *, bold: bool = False, dim: bool = False, err: bool = False) -> None:
    """Print one line; what is no plain character in it, line breaks too, is written as an escape."""
    click.secho(visible(str(text)), bold=bold, dim=dim, err=err)


def block(text: str) -> None:
    """Print a text of several lines that regraft wrote itself, such as JSON."""
    click.echo("\n".join(map(visible, text.split("\n"))))
