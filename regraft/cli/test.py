"""`regraft test`: rules by themselves, on models made from their own patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from regraft.cli.completion import complete_pipeline
from regraft.cli.parameters import as_json, command, load
from regraft.cli.terminal import block

if TYPE_CHECKING:
    from regraft.testing.rules import Tested


@command("regraft test my_passes.py", "regraft test 'lower-gelu{form=tanh}'", "regraft test my_passes.py --json")
@click.argument("what", required=False, metavar="[PASS|FILE]", shell_complete=complete_pipeline)
@as_json
@load
@click.pass_context
def test(ctx: click.Context, what: str | None, as_json: bool) -> None:
    """Test the rules of a pass, of the passes that a Python file defines, or of all, each by itself.

    No model is needed: models are made from a rule's own pattern, of many shapes, dtypes, opsets and values, and run
    before and after. A wrong rule is shown with the smallest inputs that tell. What can be proved is proved, too.

    Exits with 0 where all are right, with 1 where one is wrong, with 2 where one can be neither tested nor proved.
    """
    from regraft.cli.prove import rule_passes
    from regraft.testing.rules import examine_passes

    found = examine_passes(rule_passes(what))
    if as_json:
        import json

        block(json.dumps([row(one) for one in found], indent=2))
    else:
        from regraft.cli.output import table

        table([tuple(row(one).values())[:6] for one in found], COLUMNS, right=[3])
    ctx.exit(1 if any(one.outcome == "wrong" for one in found) else 0 if all(one.is_sure for one in found) else 2)


COLUMNS = ("pass", "rule", "verdict", "models", "proof", "reason")


def row(one: Tested) -> dict[str, Any]:
    """A rule as data, with the inputs that tell where it is wrong."""
    from regraft.cli.prove import plain

    told = one.difference
    reason = str(told) if told is not None else one.reason
    made: dict[str, Any] = dict(
        zip(COLUMNS, (one.pass_text, one.rule, one.outcome, one.models, one.proof, reason), strict=True)
    )
    if told is not None:
        arrays = {"before": told.before, "after": told.after}
        results = {name: None if value is None else plain(value.tolist()) for name, value in arrays.items()}
        inputs = {name: plain(value.tolist()) for name, value in told.inputs.items()}
        made["difference"] = {"inputs": inputs, **results, "dtype": told.dtype, "opset": told.opset}
    return made
