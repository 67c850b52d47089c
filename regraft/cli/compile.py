"""`regraft compile`: compile a model for a target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.completion import complete_pipeline
from regraft.cli.parameters import (
    PATH,
    SourceOptions,
    as_json,
    command,
    compiler_options,
    force,
    given,
    inputs,
    load,
    model_argument,
    pipeline_option,
    seed,
    source_options,
    target_option,
)
from regraft.cli.terminal import echo, shows_progress
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.targeting.compile import BuiltBundle
    from regraft.targeting.process import ResourceLimits


@command(
    "regraft compile model.onnx --target openvino -o bundle",
    "regraft compile model.onnx --target 'tvm{batch=1,sequence=128}' -o bundle --compiler-env ~/tvm",
    "regraft compile int8.onnx --target openvino -o bundle --atol 0.05",
    "regraft compile mxnet-model --target 'neuron-inf1{batch=8,sequence=64}' -o bundle",
)
@model_argument()
@target_option(required=True)
@click.option("-o", "--output", type=PATH, required=True, help="The folder of the bundle: new, or one to replace.")
@click.option(
    "--first",
    metavar="TEXT|FILE",
    shell_complete=complete_pipeline,
    help="Passes to run before the target's, such as those that pack.",
)
@pipeline_option("The passes to run, in place of the target's.")
@click.option("--rtol", type=click.FloatRange(min=0), help="Allowed difference relative to the value.")
@click.option("--atol", type=click.FloatRange(min=0), help="Allowed difference.")
@click.option("--no-check", is_flag=True, help="Hand over what the target's profile does not take, too.")
@force
@compiler_options
@source_options
@inputs
@seed
@as_json
@load
def compile(
    model: Path,
    target: str,
    output: Path,
    first: str | None,
    pipeline: str | None,
    rtol: float | None,
    atol: float | None,
    no_check: bool,
    force: bool,
    environment: Path | None,
    limits: ResourceLimits,
    source: SourceOptions,
    inputs: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Make a model ready for a target, compile it, and compare the result with the original.

    MODEL is an ONNX file, a bundle, or a model of another framework; see 'regraft import'. The target's passes run,
    its profile is checked, its compiler compiles a copy in a process of its own, and the compiled model runs on the
    golden inputs: a wrong answer is an error with its number. The bundle holds all of it; 'regraft run' runs it.

    Without --rtol and --atol an answer in 32 bits may be off by rounding, one of a quantized model also by what ONNX
    Runtime's own kernels for 8 bits do to the original.

    A target that cannot be installed here gets a bundle with everything that its compiler needs, and the one command
    to run where the compiler is.
    """
    from regraft.files.bundle import check_sums
    from regraft.targeting.compile import compile as build_bundle
    from regraft.targeting.target import read_target
    from regraft.verification.contract import precision

    chosen = read_target(target)
    check_sums(model)
    loaded = source.open(model)
    done = build_bundle(
        loaded,
        chosen,
        output,
        first=first,
        pipeline=pipeline,
        check=not no_check,
        given=given(loaded, inputs) if inputs else None,
        seed=seed,
        environment=environment,
        limits=limits,
        tolerance=None if rtol is None and atol is None else precision(rtol or 0.0, atol or 0.0),
        progress=shows_progress(),
        force=force,
    )
    if as_json:
        from regraft.cli.output import document

        document({"output": str(output), "report": done.report.to_dict(), "manifest": done.manifest})
    else:
        _print(done, output)


def _print(done: BuiltBundle, output: Path) -> None:
    from regraft.cli.output import drifts, duration, size, table, title
    from regraft.cli.rewritten import HEAD, RIGHT, row

    table([row(one)[: len(HEAD)] for one in done.report.passes], HEAD, RIGHT)
    title("the rewritten model against the original, in ONNX Runtime")
    drifts(done.golden.drift)
    if compiled := done.manifest.get("compiled"):
        title(f"compiled by {compiled['package']} {compiled['version']} in {duration(compiled['seconds'])}")
        table((name, _text(value)) for name, value in compiled["metrics"].items())
        title("what it made against the original")
        for one in compiled["drift"]["outputs"]:
            echo(f"{one['name']}: max abs {one['max_abs']:.2g}, cosine {one['cosine']:.9f}")
    if handoff := done.manifest.get("handoff"):
        title("where the compiler is, in the bundle's folder")
        echo(handoff["command"])
        legality = handoff["legality"]
        nodes = count(legality["nodes"], "node")
        echo(f"{legality['taken']} of {nodes} are among what it takes, by {legality['source']}")
        title("not checked here")
        for line in handoff["unchecked"]:
            echo(f"- {line}")
    written = sum(file["bytes"] for file in done.manifest["files"].values())
    title(f"{output}: {size(written)}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
