"""`regraft bisect`: which match of which pass made the model wrong."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.completion import complete_passes
from regraft.cli.parameters import (
    LOADED,
    SourceOptions,
    as_json,
    command,
    given,
    inputs,
    load,
    model_argument,
    pipeline_option,
    seed,
    source_options,
    target_option,
    trials,
)
from regraft.cli.terminal import block, echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.bisection.checks import Check
    from regraft.targeting.target import Target
    from regraft.verification.sizes import Given

check_option = click.option(
    "--check",
    "check_command",
    metavar="CMD",
    help="A command that fails on a wrong model: `{}` in it stands for the model's file, which is else put at the end.",
)
compile_option = click.option(
    "--compile", "compiles", is_flag=True, help="Let the target's compiler decide, not its profile."
)


@command(
    "regraft bisect model.onnx --pipeline fuse-layer-norm,fuse-gelu",
    "regraft bisect model.onnx --target tract --compile",
    "regraft bisect model.onnx --pipeline passes.toml --check './my-runtime --load {}' --json | jq .nodes",
)
@model_argument()
@pipeline_option("The passes to look at.  [default: those of the target]")
@target_option()
@compile_option
@check_option
@click.option(
    "--keep",
    metavar="PASS",
    multiple=True,
    shell_complete=complete_passes,
    help="A pass that the check cannot do without.  [repeatable]",
)
@source_options
@inputs
@seed
@trials
@as_json
@load
@click.pass_context
def bisect(
    ctx: click.Context,
    model: Path,
    pipeline: str | None,
    target: str | None,
    compiles: bool,
    check_command: str | None,
    keep: tuple[str, ...],
    source: SourceOptions,
    inputs: tuple[str, ...],
    seed: int,
    trials: int,
    as_json: bool,
) -> None:
    """Find the pass, the rule and the one match after which a model is wrong.

    Wrong is a model whose outputs leave the contract of the passes, or that ONNX Runtime does not run; with --target,
    one that the target does not take; with --check, one on which the command's exit status is not 0. Faults that the
    model has before any pass do not count.

    About log2 of the number of matches are tried: first the states between passes, then the guilty pass with the first
    few of its matches. Exits with 0 where nothing fails, with 1 where something does, with 2 for an error.
    """
    from regraft.bisection.bisect import bisect as find
    from regraft.targeting.target import read_target

    chosen = read_target(target or "onnxruntime")
    loaded = source.open(model)
    known = given(loaded, inputs) if inputs else None
    check = check_of(chosen if target else None, compiles, check_command, known, seed, trials)
    found = find(loaded, chosen.passes(loaded, pipeline), check, keep)
    if as_json:
        import json

        block(json.dumps(found.to_dict(), indent=2))
    else:
        echo(str(found))
        for note in found.notes:
            echo(note)
        echo(f"{count(found.runs, 'run')} of the check, in {found.seconds:.1f} s")
    ctx.exit(0 if found.verdict == "nothing fails" else 1)


def check_of(
    target: Target | None, compiles: bool, words: str | None, known: Given | None, seed: int, trials: int
) -> Check:
    """The check that the options name; of outputs where they name none."""
    from regraft.bisection.checks import CommandCheck, CompilerCheck, OutputsCheck, RefusalCheck
    from regraft.targeting.compiler import Compiler

    if words is not None:
        if compiles:
            raise click.UsageError("--check and --compile exclude each other")
        return CommandCheck(words)
    if compiles:
        if not isinstance(target, Compiler):
            raise click.UsageError("--compile needs a --target whose compiler runs here; see 'regraft targets'")
        return CompilerCheck(target, known, seed)
    return OutputsCheck(known, seed, trials) if target is None else RefusalCheck(target)


def command_line(
    model: Path, pipeline: str, inputs: tuple[str, ...], seed: int, trials: int, source: SourceOptions
) -> str:
    """The command that finds what `regraft rewrite` with these options got wrong."""
    from regraft.verification.trials import TRIALS

    words = ["regraft", "bisect", str(model), "--pipeline", pipeline]
    words += [word for text in inputs for word in ("--inputs", text)]
    words += [word for text in source.shape for word in ("--shape", text)]
    words += [word for file in click.get_current_context().meta.get(LOADED, ()) for word in ("--load", str(file))]
    words += ["--frontend", source.frontend] if source.frontend else []
    words += ["--seed", str(seed)] if seed else []
    words += ["--trials", str(trials)] if trials != len(TRIALS) else []
    return shlex.join(words)
