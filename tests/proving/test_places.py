"""What differs between two models is proved where it is right, and never where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.files.convert import from_proto
from regraft.ir.clone import clone
from regraft.ir.model import Model
from regraft.models import bert
from regraft.pipelines.pipeline import Pipeline
from regraft.proving.places import prove_models
from regraft.testing import parse
from regraft.verification.places import Place, summary
from tests.shares import diagonal
from tests.verification.planted.pair import Pair
from tests.verification.planted.test_planted import PAIRS

ROUNDED = {
    "total-in-float32",
    "softplus-overflows",
    "log-softmax-of-zero",
    "log-sum-exp-overflows",
    "half-softmax-overflows",
    "tanh-by-exp",
    "int64-through-float",
    "float-through-half",
    "blind-through-half",
    "output-dtype",
    "output-half",
    "input-float",
}
"""Wrong by rounding or overflow of floats: the proofs are over the real numbers."""

UNDEFINED = {"x-over-x", "negative-zero", "blind-where-nan"}
"""Wrong where the model before is not defined over the real numbers, or gives -0."""

SEEN_BY_CALLERS = {
    "output-added",
    "outputs-reordered",
    "output-int32",
    "output-dims",
    "output-rank",
    "inputs-reordered",
    "input-dropped",
    "input-added",
    "input-batch",
    "input-sequence",
    "input-dtype",
}
"""Wrong by what a caller sees, which verification looks at: the values that both have are the same."""

OPEN = 52
"""Right ones that are not proved, at most."""


def proved(pair: Pair) -> bool:
    places = prove_models(from_proto(pair.before), from_proto(pair.after))
    return all(place.outcome == "proved" for place in places)


@pytest.mark.parametrize("pair", diagonal(4, [pair for pair in PAIRS if not pair.right]), ids=lambda one: one.name)
def test_nothing_wrong_is_proved(pair: Pair) -> None:
    assert proved(pair) == (pair.name in ROUNDED | UNDEFINED | SEEN_BY_CALLERS)


@pytest.mark.slow
def test_most_that_is_right_is_proved() -> None:
    right = [pair for pair in PAIRS if pair.right]
    left = [pair.name for pair in right if not proved(pair)]
    assert len(left) <= OPEN, left


# --------------------------------------------------------------------------------------------------------- our passes


def rewritten(model: Model, pipeline: str) -> list[Place]:
    before = clone(model)
    report = regraft.run(model, pipeline)
    assert report.changed
    return prove_models(before, model)


TINY = {
    "erf": bert.Style(),
    "static": bert.Style(shapes="static", mask="additive", dropout="inference"),
    "opset 11": bert.Style(opset=11, constants="initializers"),
    "operators": bert.Style(opset=20, gelu="op", layer_norm="op"),
}


@pytest.mark.parametrize(
    ("style", "pipeline"),
    [
        ("erf", "fuse-gelu"),
        ("erf", "fuse-layer-norm"),
        ("erf", "fuse-attention"),
        ("erf", "fuse-gelu,fuse-layer-norm,fuse-attention"),
        ("erf", "convert-opset{version=20},fuse-gelu,fuse-layer-norm"),
        ("erf", "convert-fp16"),
        ("erf", "lower-softmax,lower-pow,lower-div,lower-reduce-mean"),
        ("erf", "fold-constants,eliminate-common-subexpressions,eliminate-dead-code"),
        ("erf", "externalize-embeddings"),
        ("static", "strip-dropout,fuse-gemm,lower-gemm"),
        ("static", "fold-attention-scale"),
        ("static", "split-layers"),
        ("opset 11", "convert-opset{version=17}"),
        ("opset 11", "fuse-gelu,fuse-layer-norm"),
        ("operators", "lower-gelu{form=erf},lower-layer-norm"),
    ],
)
def test_our_passes_are_proved(style: str, pipeline: str) -> None:
    places = rewritten(bert.build(bert.TINY, TINY[style]), pipeline)
    assert [place for place in places if place.outcome != "proved"] == []


def test_each_of_twelve_layers_is_a_place() -> None:
    size = bert.Size(layers=12)
    places = rewritten(bert.build(size, bert.Style()), "fuse-gelu")
    assert summary(places).startswith("12 of 12 places proved")


@pytest.mark.parametrize(("scale", "right"), [(1.0, True), (1.001, False)])
def test_stored_numbers_are_looked_at(scale: float, right: bool) -> None:
    """What is left after algebra is computed from the numbers in the file."""
    w, g = np.arange(1, 10, dtype=np.float32).reshape(3, 3) / 7, np.float32([0.1, 0.7, 3.3])
    before = parse(
        "agraph (float[n,3] x, float[3,3] w, float[3] g) => (float[n,3] y) { h = MatMul(x, w) y = Mul(h, g) }"
    )
    after = parse("agraph (float[n,3] x, float[3,3] w) => (float[n,3] y) { y = MatMul(x, w) }")
    for model, weights in ((before, w), (after, np.asarray(w * g * np.float32(scale), np.float32))):
        _, *known = model.graph.inputs
        for tensor, values in zip(known, (weights, g), strict=False):
            tensor.to_constant(values)
        model.graph.inputs = model.graph.inputs[:1]
    (place,) = prove_models(before, after)
    assert (place.outcome == "proved") == right
    assert not right or 0 < place.error < 1e-6


@pytest.mark.parametrize(("said", "right"), [("", False), ("<is_test = 0>", False), ("<is_test = 1>", True)])
def test_a_dropout_of_old_drops_unless_it_says_not(said: str, right: bool) -> None:
    graph = "agraph (float[n] x) => (float[n] y)"
    before, after = (parse(f"{graph} {{ y = {op}(x) }}", opset=6) for op in (f"Dropout {said}", "Identity"))
    assert all(place.outcome == "proved" for place in prove_models(before, after)) == right


def test_numbers_that_overflow_show_nothing() -> None:
    """The difference of two infinities is none that is zero."""
    text = "agraph (float[n,2] x, float[2] c) => (float[n,2] y) { e = Exp(c) y = Mul(x, e) }"
    before, after = parse(text), parse(text)
    for model, values in ((before, [1000.0, 2000.0]), (after, [1100.0, 2300.0])):
        model.graph.inputs[1].to_constant(np.float32(values))
        model.graph.inputs = model.graph.inputs[:1]
    places = prove_models(before, after)
    assert places
    assert {place.outcome for place in places} == {"out of reach"}


# ------------------------------------------------------------------------------------------------------------ bodies

LOOP = """
agraph (int64 n, float[3] x) => (float[3] y) {{
  keep = Constant <value = bool {{1}}> ()
  y = Loop (n, keep, x) <body = step (int64 i, bool c, float[3] s) => (bool d, float[3] t) {{
    d = Identity(c)
    {body}
  }}>
}}
"""
CHOICE = """
agraph (bool c, float[3] x) => (float[3] y) {{
  y = If (c) <
    then_branch = one () => (float[3] a) {{ {then} }},
    else_branch = other () => (float[3] b) {{ b = Neg(x) }}
  >
}}
"""


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        (
            LOOP.format(body="t = Add(s, s)"),
            LOOP.format(body="two = Constant <value_float = 2.0>() t = Mul(s, two)"),
            True,
        ),
        (LOOP.format(body="t = Add(s, s)"), LOOP.format(body="t = Mul(s, s)"), False),
        (CHOICE.format(then="a = Add(x, x)"), CHOICE.format(then="h = Sub(x, x) g = Add(x, x) a = Add(h, g)"), True),
        (CHOICE.format(then="a = Add(x, x)"), CHOICE.format(then="a = Identity(x)"), False),
    ],
)
def test_bodies_are_looked_into(before: str, after: str, right: bool) -> None:
    places = prove_models(parse(before), parse(after))
    assert any(place.path for place in places)
    assert all(place.outcome == "proved" for place in places) == right


def test_functions_are_their_bodies() -> None:
    text = """
    agraph (float[n] x) => (float[n] y) {{ y = local.twice(x) }}
    <domain: "local", opset_import: ["" : 21]> twice (a) => (b) {{ {body} }}
    """
    before, right, wrong = (parse(text.format(body=body)) for body in ("b = Add(a, a)", "b = Sum(a, a)", "b = Neg(a)"))
    assert [place.outcome for place in prove_models(before, right)] == ["proved"]
    assert [place.outcome for place in prove_models(before, wrong)] == ["out of reach"]


# ------------------------------------------------------------------------------------------------------- whole numbers


@pytest.mark.parametrize(
    ("rows", "right"),
    [("100", True), ("m", False)],
)
def test_narrow_numbers_must_fit(rows: str, right: bool) -> None:
    """An index into 100 rows fits 32 bits, or the model before would stop; one into any number may not."""
    graph = f"agraph (float[{rows},4] t, int64[n] i) => (float[n,4] y)"
    before = parse(f"{graph} {{ y = Gather(t, i) }}")
    after = parse(f"{graph} {{ j = Cast <to = 6>(i) y = Gather(t, j) }}")
    assert all(place.outcome == "proved" for place in prove_models(before, after)) == right


# ------------------------------------------------------------------------------------------------------------ commands


@pytest.fixture
def file(tmp_path: Path) -> Path:
    regraft.save(bert.build(), tmp_path / "a.onnx")
    return tmp_path / "a.onnx"


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.output


def test_rewrite_proves(file: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    said = run(
        "rewrite", file, "-o", tmp_path / "b.onnx", "--pipeline", "fuse-gelu,fuse-layer-norm", "--verify", "prove",
        "--report", report,
    )  # fmt: skip
    assert "fuse-gelu: 2 of 2 places proved over the reals" in said
    assert "places proved over the reals" in said.splitlines()[-1]
    assert "verified on" in said.splitlines()[-1]
    first = json.loads(report.read_text())["passes"][0]["places"]
    assert [place["outcome"] for place in first] == ["proved", "proved"]
    shown = run("verify", file, tmp_path / "b.onnx", "--prove")
    assert "places proved over the reals" in shown.splitlines()[-1]
    places = json.loads(run("verify", file, tmp_path / "b.onnx", "--prove", "--json"))["places"]
    assert len(places) > 2
    assert all(place["outcome"] == "proved" for place in places)


def test_what_is_not_proved_is_said(file: Path, tmp_path: Path) -> None:
    said = run("rewrite", file, "-o", tmp_path / "b.onnx", "--pipeline", "clamp-mask-value", "--verify", "prove")
    assert "clamp-mask-value: 0 of 1 place proved" in said
    assert "  not '" in said


@pytest.mark.parametrize("form", ["tanh", "rational"])
def test_an_approximation_is_within_its_contract(form: str) -> None:
    before = bert.build()
    after = clone(before)
    report = regraft.run(after, f"lower-erf{{form={form}}}", prove=regraft.prove_models)
    assert report.places is not None
    assert [place.outcome for place in report.places] == ["within"] * 2
    assert all(0 < (place.bound or 0) <= report.contract.bound for place in report.places)
    assert "0 of 2 places proved over the reals, 2 within" in report.verdict
    assert {place.outcome for place in prove_models(before, after)} == {"out of reach"}


def test_a_run_proves_by_a_function() -> None:
    model = bert.build()
    report = regraft.run(model, Pipeline.parse("fuse-gelu"), prove=regraft.prove_models)
    assert report.places is not None
    assert [place.outcome for place in report.places] == ["proved"] * 2
    assert regraft.run(model, "eliminate-dead-code").places is None
