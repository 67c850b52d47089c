"""`regraft reduce`: the smallest model that is still wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.bisect import check_of, check_option, compile_option
from regraft.cli.parameters import (
    PATH,
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
    from regraft.bisection.checks import Arrays
    from regraft.ir.model import Model
    from regraft.verification.sizes import Given


@command(
    "regraft reduce model.onnx --pipeline fuse-layer-norm,fuse-gelu -o small",
    "regraft reduce model.onnx --against better.onnx --inputs sentences.npz -o small",
    "regraft reduce model.onnx --target tract --compile -o small",
    "regraft reduce model.onnx --check './my-runtime --load {}' --json",
)
@model_argument()
@click.option("-o", "--output", type=PATH, help="A folder for the model, its inputs, and the command that fails.")
@pipeline_option("Run these passes on the model before each check.")
@click.option("--against", type=PATH, metavar="B", help="A model that should compute the same, and does not.")
@target_option()
@compile_option
@check_option
@source_options
@inputs
@seed
@trials
@as_json
@load
def reduce(
    model: Path,
    output: Path | None,
    pipeline: str | None,
    against: Path | None,
    target: str | None,
    compiles: bool,
    check_command: str | None,
    source: SourceOptions,
    inputs: tuple[str, ...],
    seed: int,
    trials: int,
    as_json: bool,
) -> None:
    """Make a model that is wrong as small as it can be, and be wrong still.

    Wrong is a model that a target refuses, or compiles to something else (--target, --compile); on which a command
    fails (--check); or whose outputs are not those of another model (--against), or change under passes (--pipeline).

    Nodes are left out, and their values become inputs as they were computed; nodes are bypassed, bodies taken out,
    optional inputs left out, dimensions and weights made smaller.
    """
    from regraft.bisection.checks import AfterPipeline, Case
    from regraft.bisection.reduce import reduce as find
    from regraft.bisection.reproducer import MODEL, write_reproducer
    from regraft.files.saving import to_proto
    from regraft.pipelines.pipeline import Pipeline
    from regraft.pipelines.source import open_source
    from regraft.targeting.target import read_target
    from regraft.verification.contract import exact, reassociation, recorded

    ways = [way for way in (check_command, against, target) if way is not None]
    if len(ways) > 1 or not (ways or pipeline):
        raise click.UsageError("say what is wrong with one of --check, --against and --target, or with --pipeline")
    if against is not None and pipeline is not None:
        raise click.UsageError("--against and --pipeline exclude each other")
    if output is not None and any((output / MODEL).resolve() == one.resolve() for one in (model, against) if one):
        raise click.UsageError(f"-o {output} would take the place of {output / MODEL}: name another folder")
    loaded = source.open(model)
    other = open_source(against) if against else None
    known = given(loaded, inputs) if inputs else None
    samples = _samples(loaded, known, seed, trials)
    contract = exact if other is None else recorded(loaded.metadata, other.metadata) or reassociation
    check = check_of(read_target(target) if target else None, compiles, check_command, known, seed, trials)
    if pipeline is not None:
        check = AfterPipeline(Pipeline.read(pipeline), check)
    found = find(Case(loaded, other, contract, samples=samples), check)
    line = write_reproducer(found, check, output) if output else ""
    size = len(to_proto(found.case.model).SerializeToString())
    if as_json:
        import json

        nodes = [{"name": node.name, "operator": node.op} for node in found.case.model.nodes()]
        said = {"before": found.before, "nodes": nodes, "bytes": size, "fault": found.fault.text}
        said |= {"runs": found.runs, "seconds": found.seconds, "notes": found.notes, "command": line}
        block(json.dumps(said, indent=2))
        return
    echo(f"{found.fault.text}")
    operators = ", ".join(node.op for node in found.case.model.nodes())
    echo(f"{found.nodes} of {count(found.before, 'node')}, {count(size, 'byte')}: {operators}")
    for note in found.notes:
        echo(note)
    echo(f"{count(found.runs, 'run')} of the check, in {found.seconds:.1f} s")
    if output:
        echo(f"{output}: {line}")


def _samples(model: Model, known: Given | None, seed: int, trials: int) -> list[Arrays]:
    """Inputs to run on; those of one trial where ONNX Runtime does not run the model."""
    from regraft.verification.inputs import make_inputs
    from regraft.verification.runtime import RuntimeFailure, Session
    from regraft.verification.samples import sample

    try:
        return [one.inputs for one in sample(model, Session(model).run, given=known, count=trials, seed=seed)]
    except RuntimeFailure:
        return [make_inputs(model, seed=seed, given=known)]
