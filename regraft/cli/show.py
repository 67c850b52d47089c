"""`regraft show`: what is in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import (
    HtmlOptions,
    SourceOptions,
    as_json,
    command,
    html_options,
    model_argument,
    say_missing,
    source_options,
)
from regraft.cli.terminal import echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.inspection.show import Summary


@command(
    "regraft show model.onnx",
    "regraft show model.onnx --graph | grep Gelu",
    "regraft show model.onnx --html model.html",
)
@model_argument()
@click.option("--graph", is_flag=True, help="List the nodes, one a line, like a program.")
@html_options
@source_options
@as_json
def show(model: Path, graph: bool, html: HtmlOptions, source: SourceOptions, as_json: bool) -> None:
    """Show what is in a model: inputs, outputs, operators, weights, and its rewrite record.

    Only the header is read, so a file of any size answers at once; for --html the weights are read, too.
    """
    from regraft.cli.output import document
    from regraft.inspection.show import summarize

    loaded = source.open(model, weights=False)
    say_missing(loaded)
    if html.path is not None:
        from regraft.inspection.html.page import page_of_model, write_page

        write_page(html.path, page_of_model(loaded, model.name, html.limit))
    if graph:
        from regraft.inspection.listing import listing

        if as_json:
            document({"graph": list(listing(loaded))})
        else:
            for line in listing(loaded):
                echo(line)
    elif as_json:
        document(summarize(loaded).to_dict())
    else:
        _print(summarize(loaded))


def _print(summary: Summary) -> None:
    from regraft.cli.output import size, table, title

    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in summary.opsets.items())
    within = f", also in {count(summary.subgraphs, 'subgraph')}" if summary.subgraphs else ""
    files = [("file", f"{path}, {size(nbytes)}") for path, nbytes in summary.files.items()]
    facts = [
        ("IR version", str(summary.ir_version)),
        ("opsets", opsets),
        ("producer", summary.producer or "unknown"),
        ("nodes", f"{summary.nodes:,}{within}"),
        ("parameters", f"{summary.parameters:,} in {size(summary.bytes)}"),
    ]
    table([*files, *facts])
    weights = [(w.dtype, count(w.tensors, "tensor"), f"{w.elements:,}", size(w.bytes)) for w in summary.weights]
    biggest = [(size(t.bytes), f"{t.dtype}[{', '.join(map(str, t.shape))}]", t.name) for t in summary.biggest]
    functions = [(f.name, f"({', '.join(f.inputs)}) -> {', '.join(f.outputs)}", f.nodes) for f in summary.functions]
    sections: list[tuple[str, list[tuple[Any, ...]], tuple[int, ...]]] = [
        ("inputs", [(p.name, p, "from the host" if p.name in summary.feeds else "") for p in summary.inputs], ()),
        ("outputs", [(port.name, port) for port in summary.outputs], ()),
        ("operators", [(number, name) for name, number in summary.operators.items()], (0,)),
        ("weights", list(weights), (1, 2, 3)),
        ("biggest tensors", list(biggest), (0,)),
        ("functions", list(functions), (2,)),
        ("metadata", list(summary.metadata.items()), ()),
        ("host", _host(summary.host) if summary.host else [], ()),
        ("rewritten by", [(text, count(changes, "change")) for text, changes in summary.rewrites], ()),
    ]
    for name, rows, right in sections:
        if rows:
            title(name)
            table(rows, right=right)


def _host(host: Summary) -> list[tuple[Any, ...]]:
    from regraft.cli.output import size

    takes = [("takes", f"{port.name} {port}") for port in host.inputs]
    gives = [("gives", f"{port.name} {port}") for port in host.outputs]
    does = ", ".join(f"{number} {name}" for name, number in host.operators.items())
    return [
        *takes,
        *gives,
        ("does", does or "nothing"),
        ("holds", f"{count(host.parameters, 'parameter')} in {size(host.bytes)}"),
    ]
