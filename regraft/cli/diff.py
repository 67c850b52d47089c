"""`regraft diff`: what a rewrite changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from regraft.cli.parameters import PATH, HtmlOptions, command, html_options, model_argument, say_missing
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.inspection.diff import Diff
    from regraft.inspection.html.measured import Measured
    from regraft.inspection.sides import Sides
    from regraft.ir.model import Model

SHOWN = 10

Format = Literal["text", "json", "html", "markdown"]


@command(
    "regraft diff model.onnx better.onnx",
    "regraft diff model.onnx better.onnx --stat",
    "regraft diff model.onnx better.onnx --html diff.html",
)
@model_argument("a")
@model_argument("b")
@click.option("--all", "everything", is_flag=True, help=f"List everything, not the first {SHOWN} of a kind.")
@click.option("--stat", is_flag=True, help="Print a line for each kind of difference: how many.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html", "markdown"]),
    default="text",
    show_default=True,
    help="How the difference is printed.",
)
@html_options
@click.option("--report", type=PATH, metavar="FILE", help="For a page: what 'rewrite --report' measured of the passes.")
@click.option("--steps", type=PATH, metavar="FOLDER", help="For a page: step through what 'rewrite --dump-dir' wrote.")
@click.option("--model-explorer", type=PATH, metavar="FOLDER", help="Write mapping and node data for Model Explorer.")
@click.option("--json", "form", flag_value="json", help="Print JSON: --format json.")
@click.pass_context
def diff(
    ctx: click.Context,
    a: Path,
    b: Path,
    everything: bool,
    stat: bool,
    form: Format,
    html: HtmlOptions,
    report: Path | None,
    steps: Path | None,
    model_explorer: Path | None,
) -> None:
    """Compare two models: nodes by the pass that changed them, inputs, outputs, types, weights by how far they moved.

    Names of nodes, of values inside the graph and of unknown dimensions do not count, nor do defaults that are stated
    and operator sets that no node uses. Exits with 0 where the models are the same, 1 where they differ, 2 with an
    error. For git, /dev/null is a model of nothing.
    """
    from regraft.inspection.sides import compared

    if (report or steps) and html.path is None and form != "html":
        raise click.UsageError("--report and --steps are for the page of --html, or of --format html")
    if stat and form != "text":
        raise click.UsageError(f"--stat prints text, not {form}")
    before, after = map(_read, (a, b))
    say_missing(before, after)
    sides = compared(before, after, (a.name, b.name))
    if html.path is not None or form == "html":
        from regraft.inspection.html.measured import read_measured

        _page(sides, html, read_measured(report) if report else [], steps, form == "html")
    if model_explorer is not None:
        from regraft.inspection.model_explorer import write_model_explorer

        write_model_explorer(model_explorer, sides)
    if stat:
        _print_stat(sides.diff)
    elif form != "html":
        _print(sides.diff, form, None if everything else SHOWN)
    ctx.exit(0 if sides.diff.same else 1)


def _read(path: Path) -> Model:
    from regraft.files.loading import load
    from regraft.ir.graph import Graph
    from regraft.ir.model import Model

    return Model(Graph()) if path == Path(os.devnull) else load(path, weights=False)


def _page(sides: Sides, html: HtmlOptions, measured: list[Measured], steps: Path | None, printed: bool) -> None:
    from regraft.inspection.html.page import page_of_diff, write_page

    page = page_of_diff(sides, measured, steps, html.limit)
    if html.path is not None:
        write_page(html.path, page)
    if printed:
        block(page)


def _print(found: Diff, form: Format, shown: int | None) -> None:
    from regraft.inspection.sections import displayed
    from regraft.inspection.texts import markdown

    if form == "json":
        block(found.to_json())
        return
    if form == "markdown":
        block("\n".join(markdown(found, shown)))
        return
    for part in displayed(found, shown):
        if isinstance(part, str):
            echo(part, bold=True)
        else:
            echo(part.title, bold=True)
            for (text,) in part.rows:
                echo(f"  {text}{' (--all)' if str(text).startswith('… ') else ''}")


def _print_stat(found: Diff) -> None:
    from regraft.cli.output import table
    from regraft.inspection.texts import stat

    table(stat(found))
