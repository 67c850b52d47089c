"""What rounding moves at a place is never more than its bound; what may overflow has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines import manager
from regraft.proving.place_rounding import PlaceRounding, round_places
from regraft.proving.places import prove_regions
from regraft.proving.prepare import comparable
from regraft.proving.roundoff import box
from regraft.testing import parse
from regraft.verification.inputs import make_inputs

HALF = "convert-fp16{io=fp16}"
PAIRS = [
    (lambda: chain.build(100), "", "fuse-gelu,fuse-layer-norm"),
    (lambda: chain.build(100), "", "lower-pow,lower-div,lower-reduce-mean"),
    (lambda: chain.build(100), HALF, "fuse-gelu,fuse-layer-norm"),
    (lambda: chain.build(100), HALF, "lower-pow,lower-div,lower-reduce-mean"),
    (lambda: bert.build(style=bert.Style(mask="additive")), "", "fuse-gelu,fuse-layer-norm,fuse-gemm,lower-softmax"),
    (lambda: bert.build(style=bert.Style(mask="additive")), HALF, "fuse-gelu,fuse-layer-norm,fuse-gemm"),
    (lambda: bert.build(style=bert.Style(20, "op", "op", "additive")), "", "lower-gelu,lower-layer-norm,lower-softmax"),
]


def rounding(before: Model, after: Model, seeds: range = range(3), **options: Any) -> list[PlaceRounding]:
    pair = comparable(before, after, {})
    _, regions = prove_regions(*pair)
    return round_places(*pair, regions, [make_inputs(pair[0], seed=seed) for seed in seeds], **options)


@pytest.mark.parametrize(("build", "first", "pipeline"), PAIRS)
def test_nothing_moves_further_than_its_bound(build: Any, first: str, pipeline: str) -> None:
    before = build()
    manager.run(before, f"infer-shapes,{first}".rstrip(","))
    after = clone(before)
    manager.run(after, f"{pipeline},infer-shapes")
    found = rounding(before, after)
    bounded = [one for one in found if one.bound is not None and one.measured is not None]
    assert len(bounded) > len(found) // 3
    assert all(one.measured <= one.bound for one in bounded)  # type: ignore[operator]
    assert any(one.measured for one in bounded)
    assert all(one.reason for one in found if one not in bounded)


def _pair(dtype: str) -> tuple[Model, Model]:
    text = "g ({0}[n, 4] x) => ({0}[n, 4] y) {{ {1} y = Neg(s) }}"
    before = parse(text.format(dtype, "t = Exp(x) u = Mul(t, t) s = Add(u, x)"))
    return before, parse(text.format(dtype, "t = Add(x, x) u = Exp(t) s = Add(u, x)"))


@pytest.mark.parametrize(("dtype", "top", "over"), [("float16", 5.0, ""), ("float16", 6.0, "u"), ("float", 6.0, "")])
def test_what_may_overflow_in_a_stated_box_is_named(dtype: str, top: float, over: str) -> None:
    found = rounding(*_pair(dtype), stated={"x": box(-1.0, top)})
    assert [one.overflow for one in found] == [over] * len(found) != []
    assert all((one.bound is None) == bool(over) for one in found)


def test_a_softmax_that_overflows_is_proved_and_said_to_overflow() -> None:
    text = "g (float[n, 4] x) => (float[n, 4] y) {{ {} }}"
    after = (
        "axes = Constant <value_ints = [-1]> () least = ReduceMin (x, axes) d = Sub(x, least) e = Exp(d) "
        "s = ReduceSum (e, axes) y = Div(e, s)"
    )
    pair = parse(text.format("y = Softmax <axis = -1> (x)")), parse(text.format(after))
    for top, over in ((10.0, ""), (100.0, "e")):
        (found,) = rounding(*pair, stated={"x": box(-top, top)})
        assert found.overflow == over


def test_a_wrong_constant_moves_further_than_rounding_may() -> None:
    """The same region with a fault: the measure sees what the bound excludes."""
    text = "g (float[n, 4] x) => (float[n, 4] y) {{ c = Constant <value_float = {}> () t = Mul(x, c) y = Mul(t, t) }}"
    pair = comparable(parse(text.format("2.0")), parse(text.format("2.01")), {})
    right = comparable(parse(text.format("2.0")), parse(text.format("2.0").replace("Mul(x, c)", "Add(x, x)")), {})
    _, regions = prove_regions(*right)
    (key,) = regions.of
    sound = round_places(*right, regions, [make_inputs(right[0])])
    assert sound[0].measured is not None
    assert sound[0].bound is not None
    assert sound[0].measured <= sound[0].bound
    old, new = (model.graph.tensors() for model in pair)
    region = regions.of[key]._replace(
        before=old[key[1]],
        after=new[key[1]],
        old=frozenset(pair[0].graph.nodes),
        new=frozenset(pair[1].graph.nodes),
    )
    wrong = round_places(
        *pair, regions._replace(of={key: region}, partner=lambda t: old[t.name]), [make_inputs(pair[0])]
    )
    assert wrong[0].measured is not None
    assert wrong[0].bound is not None
    assert wrong[0].measured > wrong[0].bound


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    model = chain.build(20)
    regraft.save(model, tmp_path / "a.onnx")
    manager.run(model, "fuse-gelu,fuse-layer-norm")
    regraft.save(model, tmp_path / "b.onnx")
    return [str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")]


def test_the_command_shows_the_worst_places(files: list[str]) -> None:
    result = CliRunner().invoke(cli, ["verify", *files, "--prove", "--rounding", "--trials", "2"])
    assert result.exit_code == 0, result.output
    assert "rounding moved  at most" in result.output
    found = json.loads(CliRunner().invoke(cli, ["verify", *files, "--prove", "--rounding", "--json"]).output)
    assert {one["value"] for one in found["rounding"]} <= {one["value"] for one in found["places"]}
    assert all(one["measured"] <= one["bound"] for one in found["rounding"] if one["bound"] is not None)


def test_rounding_needs_a_proof(files: list[str]) -> None:
    result = CliRunner().invoke(cli, ["verify", *files, "--rounding"])
    assert result.exit_code == 2
    assert "--rounding goes with --prove" in result.output


def test_a_model_that_cannot_run_is_one_line(tmp_path: Path) -> None:
    text = "g (float[n, 4] x) => (float[n, 4] y) {{ y = local.{} (x) }}"
    for name in ("Some", "Other"):
        regraft.save(parse(text.format(name)), tmp_path / f"{name}.onnx")
    words = ["verify", *(str(tmp_path / f"{name}.onnx") for name in ("Some", "Other")), "--prove", "--rounding"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_no_range_is_wider_than_it_was_seen() -> None:
    """Inputs of one number leave no more than rounding of that number."""
    before, after = comparable(*_pair("float"), {})
    _, regions = prove_regions(before, after)
    (wide,) = round_places(before, after, regions, [{"x": np.full((2, 4), 3.0, np.float32)}])
    before, after = comparable(*_pair("float"), {})
    _, regions = prove_regions(before, after)
    (narrow,) = round_places(before, after, regions, [{"x": np.zeros((2, 4), np.float32)}])
    assert narrow.bound is not None
    assert wide.bound is not None
    assert narrow.bound < wide.bound / 100
