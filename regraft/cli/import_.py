"""`regraft import`: a model of any framework as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import PATH, SourceOptions, as_json, command, source_options
from regraft.cli.terminal import echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.files.saving import Layout
    from regraft.ir.model import Model


def _list(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from regraft.cli.output import document, table
    from regraft.pipelines.registry import frontends

    found = [frontends.load(name) for name in frontends.names()]
    if ctx.obj is not None and ctx.obj.json:
        document(
            [{"frontend": one.name, "help": one.help(), "formats": one.formats, "extra": one.extra} for one in found]
        )
    else:
        table((one.name, one.help(), f"needs regraft[{one.extra}]" if one.extra else "") for one in found)
    ctx.exit()


@command(
    "regraft import --list",
    "regraft import bert-symbol.json -o bert.onnx --shape data0=batchx64 --shape data1=batchx64 --shape data2=batch",
    "regraft import bert-0003.params -o bert.onnx --opset 20 --shape data0=8x64 --shape data1=8x64 --shape data2=8",
)
@click.argument("source_path", metavar="SOURCE", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The ONNX file to write.")
@source_options
@click.option(
    "--opset", type=click.IntRange(min=1), help="Version of ONNX's operator set.  [default: the frontend's choice]"
)
@click.option(
    "--layout",
    type=click.Choice(["auto", "inline", "external", "reference"]),
    default="auto",
    show_default=True,
    help="Where the weights go: into the file, beside it, or (reference) they stay in their files.",
)
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the frontends and exit."
)
@as_json
def import_(
    source_path: Path, output: Path, source: SourceOptions, opset: int | None, layout: Layout, as_json: bool
) -> None:
    """Turn a model of any framework into an ONNX file.

    The frontend is recognised from what SOURCE is. The file computes what the model did, operator by operator; passes
    make more of it, and 'regraft rewrite' takes SOURCE itself.
    """
    from regraft.cli.output import document
    from regraft.files.bundle import ports
    from regraft.files.destination import check_file_name
    from regraft.files.saving import save

    check_file_name(output)
    model = source.open(source_path, opset)
    save(model, output, layout)
    if as_json:
        said = {"output": str(output), "source": model.metadata.get("regraft.source", str(source_path))}
        document({**said, "opset": model.opset, "nodes": len(model.graph.nodes), **ports(model)})
    else:
        _print(model, source_path, output)


def _print(model: Model, source: Path, output: Path) -> None:
    from regraft.cli.output import size, table, title
    from regraft.verification.signature import Port

    ports = [("input", tensor) for tensor in model.inputs] + [("output", tensor) for tensor in model.outputs]
    table((kind, tensor.name, Port.of_variable(tensor)) for kind, tensor in ports)
    title(f"{output}: {size(output.stat().st_size)}, {count(len(model.graph.nodes), 'node')}, opset {model.opset}")
    echo(f"from {model.metadata.get('regraft.source', source)}")
