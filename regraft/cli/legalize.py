"""`regraft legalize`: the pipeline that a model needs for a target, proposed, explained and run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import (
    PATH,
    SourceOptions,
    as_json,
    command,
    force,
    given,
    inputs,
    load,
    model_argument,
    seed,
    source_options,
    target_option,
)
from regraft.cli.terminal import block, echo, shows_progress
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.legalization.diagnosis import Stuck
    from regraft.legalization.legalize import Legalized
    from regraft.legalization.search import Trouble

NODES_SHOWN = 3


@command(
    "regraft legalize model.onnx --target 'neuron-inf1{batch=1,sequence=128}' --explain",
    "regraft legalize model.onnx --target ./my-compiler.toml -o legal.onnx",
    "regraft legalize model.onnx --target tvm --json | jq -r .pipeline",
)
@model_argument()
@target_option(required=True)
@click.option("-o", "--output", type=PATH, help="Where the result goes: a file, or a folder for a bundle.")
@click.option("--explain", is_flag=True, help="Say of each violation what removed it, and what that introduced.")
@force
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Pipelines to try at most.  [default: 100]")
@source_options
@inputs
@seed
@as_json
@load
@click.pass_context
def legalize(
    ctx: click.Context,
    model: Path,
    target: str,
    output: Path | None,
    explain: bool,
    force: bool,
    limit: int | None,
    source: SourceOptions,
    inputs: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Propose the pipeline that makes a target take a model, run it, and verify the result.

    MODEL is an ONNX file, a bundle, or a model of another framework; see 'regraft import'. The search starts from what
    the target's profile refuses: it tries what the profile says may help, then the passes that remove the operators,
    until nothing is left, drops what is not needed, and cleans up. The pipeline is text for 'regraft rewrite'.

    Exits with 0 where the target takes the result; with 1 where something is left: then it says at which nodes, why,
    and what was tried, and writes nothing; with 2 for an error.
    """
    from regraft.bundling import check_destination, write_bundle
    from regraft.cli.output import document
    from regraft.files.bundle import check_sums
    from regraft.files.convert import clone
    from regraft.files.destination import goes_to_folder
    from regraft.files.saving import save
    from regraft.legalization.legalize import LIMIT
    from regraft.legalization.legalize import legalize as make_legal
    from regraft.pipelines.manager import reference_for
    from regraft.pipelines.pipeline import Pipeline
    from regraft.targeting.target import lacks_sizes, read_target

    chosen = read_target(target)
    bundle = output is not None and goes_to_folder(output)
    if output is not None and bundle:
        check_destination(output, chosen.name, force=force)
    check_sums(model)
    loaded = source.open(model)
    known = given(loaded, inputs) if inputs else None
    original = clone(loaded) if bundle else None
    done = make_legal(loaded, chosen, limit=limit or LIMIT, inputs=known, seed=seed, progress=shows_progress())
    if not as_json:
        _print(done, target, explain)
        if lacks_sizes(one.violation for one in done.stuck) and (sized := chosen.with_sizes(loaded)):
            echo(f"give it sizes: --target '{sized}'")
    if output is not None and not done.stuck:
        if original is not None:
            before = reference_for(original, Pipeline(done.pipeline))
            write_bundle(
                loaded,
                output,
                original=before,
                report=done.report,
                given=known,
                seed=seed,
                target=chosen.name,
                force=force,
            )
        else:
            save(loaded, output)
        if not as_json:
            echo(f"written to {output}")
    if as_json:
        document(_plain(done))
    ctx.exit(1 if done.stuck else 0)


def _plain(done: Legalized) -> dict[str, Any]:
    from dataclasses import asdict

    def counted(troubles: Counter[Trouble]) -> list[dict[str, Any]]:
        return [{"operator": one, "reason": why, "count": number} for (one, why), number in sorted(troubles.items())]

    return {
        "legal": done.legal,
        "pipeline": done.pipeline,
        "found": [asdict(one) for one in done.found],
        "steps": [
            {
                "pass": step.text,
                "removed": counted(step.removed),
                "made": counted(step.made),
                "introduced": dict(step.introduced),
            }
            for step in done.steps
        ],
        "stuck": [asdict(one) for one in done.stuck],
        "tried": done.tried,
        "report": done.report.to_dict() if done.report else None,
    }


def _print(done: Legalized, target: str, explained: bool) -> None:
    from regraft.cli.output import drifts, table, title
    from regraft.legalization.explain import explain

    if explained and done.found:
        title("what the target does not take, and what becomes of it")
        block("\n".join(explain(done)))
    if explained and done.steps:
        title("pass by pass")
        table((step.text, _named(step.removed, "-"), _named(step.made, "+")) for step in done.steps)
    for one in done.stuck:
        _print_stuck(one)
    if done.report and done.report.drift:
        title("verified: the outputs before and after")
        drifts(done.report.drift)
    elif done.report and done.report.unverified:
        echo(f"{done.report.verdict}; strip-dropout and strip-training make it one for inference")
    title("pipeline" if not done.stuck else "as far as it goes")
    echo(done.pipeline or "nothing to do")
    echo()
    tried = f"{count(done.tried, 'pipeline')} tried"
    if done.stuck:
        nodes = sum(len(one.violation.nodes) for one in done.stuck)
        left = count(nodes, "node") if nodes else count(len(done.stuck), "violation")
        echo(f"{target} does not take the result: {left} left, {tried}", bold=True)
    else:
        echo(f"{target} takes the result ({tried})", bold=True)


def _named(troubles: Counter[Trouble], sign: str) -> str:
    return ", ".join(f"{sign}{number} {operator or reason}" for (operator, reason), number in troubles.items())


def _print_stuck(one: Stuck) -> None:
    from regraft.cli.output import title

    title(f"stuck at {one.violation.operator or 'the model'}: {one.violation.reason}")
    for node in one.violation.nodes[:NODES_SHOWN]:
        echo(f"  node   {node}")
    if len(one.violation.nodes) > NODES_SHOWN:
        echo(f"         and {len(one.violation.nodes) - NODES_SHOWN} more")
    for value in one.violation.values[:NODES_SHOWN]:
        echo(f"  value  {value}")
    for text, reason in one.tried.items():
        echo(f"  tried  {text}: {reason}")
    if not one.tried:
        echo("  no pass is known to help")
