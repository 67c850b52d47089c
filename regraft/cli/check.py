"""`regraft check`: what a target does not take of a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import (
    SourceOptions,
    as_json,
    command,
    load,
    model_argument,
    say_missing,
    source_options,
    target_option,
)
from regraft.cli.terminal import block, echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.legality.verdict import Violation
    from regraft.targeting.check import Check

SHOWN = 3


class _Share(click.ParamType):
    """`99%` or `0.99`."""

    name = "SHARE"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"{text!r} is not a share; write 99% or 0.99", parameter, ctx)
        return share


@command(
    "regraft check model.onnx --target tvm",
    "regraft check model.onnx --target 'neuron-inf1{batch=1,sequence=128}' --min-share 99%",
    "regraft check bundle --target ./my-compiler.toml --json | jq '.share'",
)
@model_argument()
@target_option(required=True)
@click.option(
    "--min-share",
    type=_Share(),
    default=1.0,
    help="The least share of nodes for exit code 0, as in 99%.  [default: 100%]",
)
@click.option("--all", "everything", is_flag=True, help=f"Name every node, not the first {SHOWN} of a kind.")
@source_options
@as_json
@load
@click.pass_context
def check(
    ctx: click.Context,
    model: Path,
    target: str,
    min_share: float,
    everything: bool,
    source: SourceOptions,
    as_json: bool,
) -> None:
    """List what a target refuses: what it is, where, who says so, and which passes may help.

    MODEL is an ONNX file, a bundle, of which the device's part is checked, or a model of another framework. The target
    is a name, or a profile, a .toml file; with sizes it is checked as if the model had them.

    Exits with 0 where the target takes the model, or --min-share of its nodes; with 1 where it does not, or where a
    limit is broken that is not about nodes: the opset, the inputs; with 2 for an error.
    """
    from regraft.targeting.check import check as hold
    from regraft.targeting.target import lacks_sizes, read_target

    chosen = read_target(target)
    loaded = source.open(model, weights=False)
    say_missing(loaded)
    found = hold(loaded, chosen)
    if as_json:
        import json

        block(json.dumps(found.to_dict(), indent=2))
    else:
        _print(found, None if everything else SHOWN)
        if (found.share.macs_unknown or lacks_sizes(found.violations)) and (sized := chosen.with_sizes(loaded)):
            echo(f"as with known sizes:  --target '{sized}'")
        if found.mends:
            echo(f"find the pipeline:    regraft legalize {model} --target '{target}' --explain")
    ctx.exit(0 if not found.limits and found.share.of_nodes >= min_share else 1)


def _print(found: Check, shown: int | None) -> None:

    violations, target, share = found.violations, found.target, found.share
    for (reason, source), group in _by_reason(violations).items():
        one = group[0]
        said = source if source != target.profile.source else ""
        if len(group) == 1:
            echo(f"{_operator(one)}: {reason}" if one.operator else reason, bold=True)
            values = ", ".join(_few(one.values, shown))
            _lines(inputs=values, nodes=_nodes(one, shown), source=said, **{"try": _mend(one)})
            continue
        echo(reason, bold=True)
        _lines(source=said)
        width = max(len(_operator(each)) for each in group)
        for each in group:
            echo(f"  {_operator(each):<{width}}  {_nodes(each, shown)}")
            if each.mend:
                echo(f"  {'':<{width}}  try {_mend(each)}")
    if violations:
        echo()
    echo(found.summary, bold=True)
    if share.undecided:
        echo(f"not sure of:          {count(share.undecided, 'node')}, whose types or constants are not known")
    echo(f"as stated by:         {target.profile.source}")
    if found.mends:
        echo(f"passes that may help: {', '.join(found.mends)}")


def _by_reason(violations: Iterable[Violation]) -> dict[tuple[str, str], list[Violation]]:
    """The violations by what they say and who says so."""
    found: dict[tuple[str, str], list[Violation]] = {}
    for one in violations:
        found.setdefault((one.reason, one.source), []).append(one)
    return found


def _lines(**texts: str) -> None:
    """Print the sections that have lines, each under its title."""
    for title, text in texts.items():
        if text:
            echo(f"  {title:<7} {text}")


def _operator(violation: Violation) -> str:
    return f"{violation.operator} × {len(violation.nodes)}"


def _mend(violation: Violation) -> str:
    return " or ".join(violation.mend)


def _nodes(violation: Violation, shown: int | None) -> str:
    names = ", ".join(_few(violation.nodes, shown))
    return names if violation.operator or len(violation.nodes) < 2 else f"{len(violation.nodes)}, {names}"


def _few(names: tuple[str, ...], shown: int | None) -> list[str]:
    if shown is None or len(names) <= shown + 1:
        return list(names)
    return [*names[:shown], f"{len(names) - shown} more"]
