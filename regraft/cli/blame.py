"""`regraft blame`: where a node or a value came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import as_json, command, model_argument
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.inspection.blame import Origin


@command("regraft blame better.onnx /encoder/layer.0/Gelu", "regraft blame better.onnx logits --json")
@model_argument()
@click.argument("name", metavar="NODE|VALUE")
@as_json
def blame(model: Path, name: str, as_json: bool) -> None:
    """Say which passes made a node, or the node that makes a value, and of what, back to the first model."""
    from regraft.files.loading import load
    from regraft.inspection.blame import blame

    found = blame(load(model, weights=False), name)
    if as_json:
        import json

        block(json.dumps(_plain(found), indent=2))
        return
    for depth, one in found.walk():
        made = f"  by {one.pass_text}{f', rule {one.rule}' * bool(one.rule)}" if one.pass_text else ""
        origin = "" if one.pass_text else "  from the first model"
        echo("  " * depth + " ".join(filter(None, (one.operator, one.name))) + made + origin)
        for key, value in one.metadata.items():
            echo("  " * depth + f"    {key}: {value}")


def _plain(one: Origin) -> dict[str, Any]:
    row: dict[str, Any] = {"name": one.name, "operator": one.operator, "pass": one.pass_text, "rule": one.rule}
    return row | {"of": [_plain(part) for part in one.of], "metadata": dict(one.metadata)}
