"""The one place that writes text to the terminal: names of values in a model cannot control the terminal."""

from __future__ import annotations

import os
import shutil
import sys

import click

from regraft.errors import visible


def echo(text: object = "", *, bold: bool = False, dim: bool = False, err: bool = False) -> None:
    """Print one line; every character that is not printable, line breaks included, becomes an escape."""
    styled = click.style(visible(str(text)), bold=bold or None, dim=dim or None, reset=bold or dim)
    click.echo(styled, err=err, color=False if _is_plain() else None)


def block(text: str) -> None:
    """Print a text of several lines that regraft wrote itself, such as JSON."""
    click.echo("\n".join(map(visible, text.split("\n"))))


def columns() -> int | None:
    """How wide the terminal is; None where the output goes elsewhere, and nothing is to be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def shows_progress() -> bool:
    """Whether bars may be drawn, which takes escape codes, beside the output."""
    return sys.stderr.isatty() and not _is_plain()


def _is_plain() -> bool:
    """Whether escape codes are unwelcome, even in a terminal."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
