"""`regraft blame`: where a node or a value came from."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Say which passes made a node, the node that makes a value, or a weight, and of what, back to the first model.

    Where torch's exporter wrote down lines of source they are shown: of a node also those of what it took the place of.
    """
    from regraft.files.loading import load
    from regraft.inspection.blame import blame

    found = blame(load(model, weights=False), name)
    if as_json:
        import json

        block(json.dumps(_plain(found), indent=2))
        return
    for depth, one in found.walk():
        for line in _lines(one):
            echo("  " * depth + line)


def _lines(one: Origin) -> Iterator[str]:
    """What there is to say of a node or a weight."""
    made = f"by {one.pass_text}{f', rule {one.rule}' * bool(one.rule)}" if one.pass_text else "from the first model"
    yield "  ".join((" ".join(filter(None, (one.operator, one.name))), made))
    told = [("edited by", edit) for edit in one.edits]
    told += [("stands for", ", ".join(one.stands_for))] if one.stands_for else []
    told += [("taken away by", one.gone)] if one.gone else []
    told += [("made of", "what is told above")] if one.is_cut else []
    told += [("source", line) for line in one.source]
    told += list(one.other_metadata.items())
    yield from (f"    {key}: {value}" for key, value in told)


def _plain(one: Origin) -> dict[str, Any]:
    row: dict[str, Any] = {"name": one.name, "operator": one.operator, "pass": one.pass_text, "rule": one.rule}
    row |= {"edits": list(one.edits), "stands_for": list(one.stands_for), "gone": one.gone, "cut": one.is_cut}
    return row | {"of": [_plain(part) for part in one.of], "source": one.source, "metadata": dict(one.metadata)}
