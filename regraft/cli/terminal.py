"""The one place that writes text to the terminal: names of values in a model cannot control the terminal."""

from __future__ import annotations

import click

from regraft.errors import visible


def echo(text: object = "", *, bold: bool = False, dim: bool = False, err: bool = False) -> None:
    """Print one line; every character that is not printable, line breaks included, becomes an escape."""
    click.secho(visible(str(text)), bold=bold, dim=dim, err=err)


def block(text: str) -> None:
    """Print a text of several lines that regraft wrote itself, such as JSON."""
    click.echo("\n".join(map(visible, text.split("\n"))))
