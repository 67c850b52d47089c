"""set-shapes: inputs, what follows from them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

import regraft
from regraft.errors import GraphError, PipelineError, RegraftError
from regraft.files.convert import clone, from_proto
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.passes.set_shapes import SetShapes
from regraft.pipelines.pass_base import Context
from regraft.shapes import declare_types
from regraft.splitting import to_host
from regraft.verification.contract import interface
from regraft.verification.runtime import Session

EXPORTS = [
    "pytorch/bert-cls-eager-dynamo.onnx",
    "pytorch/bert-cls-sdpa-ts.onnx",
    "pytorch/distilbert-sdpa-ts.onnx",
    "pytorch/transformers-4.25.1-bert-qa/model.onnx",
]


def parse(text: str) -> Model:
    return from_proto(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}'))


def shapes(model: Model, **given: object) -> dict[str, list[int | str | None] | None]:
    """Run the pass; the shapes of inputs and outputs."""
    SetShapes(**given).run(model, Context())
    check(model)
    return {t.name: t.shape for t in (*model.graph.inputs, *model.graph.outputs)}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_frozen_export_is_static_and_computes_the_same(artifacts: Path, name: str) -> None:
    model = regraft.load(artifacts / name)
    before = clone(model)
    first = model.graph.inputs[0].name
    SetShapes(**{first: "2x16"}).run(model, Context())
    every = [t for node in model.graph.nodes for t in node.outputs if t.name] + list(model.graph.inputs)
    assert all(isinstance(d, int) for t in every for d in t.shape)
    feeds = {t.name: np.ones(t.shape, t.dtype) for t in model.graph.inputs}
    old, new = Session(before).run(feeds), Session(model).run(feeds)
    assert all(np.array_equal(old[name], new[name]) for name in old)


ADD = "g (float[n,m] a, float[n,m] b) => (float[n,m] x) { x = Add(a, b) }"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": "8x128"}, {"a": [8, 128], "b": [8, 128], "x": [8, 128]}),
        ({"a": "8x?"}, {"a": [8, "m"], "b": [8, "m"], "x": [8, "m"]}),
        ({"n": "8"}, {"a": [8, "m"], "b": [8, "m"], "x": [8, "m"]}),
        ({"n": "8", "m": "size"}, {"a": [8, "size"], "b": [8, "size"], "x": [8, "size"]}),
        ({"a": "mxn"}, {"a": ["m", "n"], "b": ["m", "n"], "x": ["m", "n"]}),
    ],
)
def test_a_dimension_changes_wherever_its_name_stands(given: dict[str, str], expected: dict[str, list[int]]) -> None:
    assert shapes(parse(ADD), **given) == expected


def test_an_unnamed_dimension_is_named() -> None:
    assert shapes(parse("g (float[?,4] a) => (float[?,4] x) { x = Relu(a) }"), a=["batch", 4]) == {
        "a": ["batch", 4],
        "x": ["batch", 4],
    }


def test_a_body_follows() -> None:
    model = parse(
        """g (bool c, float[n] a) => (float[n] x) {
             x = If (c) < then_branch = t () => (float[n] p) { p = Relu(a) },
                          else_branch = e () => (float[n] q) { q = Abs(a) } >
           }"""
    )
    shapes(model, n="3")
    assert all(t.shape == [3] for g in model.graphs() for t in g.outputs)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"aa": "8x128"}, ["no input or dimension named 'aa'", "did you mean 'a'?"]),
        ({"a": "8"}, ["input 'a'", "2 dimensions", "not 1"]),
        ({"a": "8x128", "b": "9x128"}, ["input 'b'", "'n'", "8 and 9"]),
        ({"n": "8x128"}, ["'n' is one dimension", "8x128"]),
        ({"c": "5"}, ["dimension 0 of input 'c' is 4", "not 5"]),
    ],
)
def test_a_wrong_shape_is_one_clear_line(given: dict[str, str], words: list[str]) -> None:
    model = parse("g (float[n,m] a, float[n,m] b, float[4] c) => (float[n,m] x) { x = Add(a, b) }")
    with pytest.raises(RegraftError) as caught:
        SetShapes(**given).run(model, Context())
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_shapes_that_the_graph_cannot_take_are_refused(artifacts: Path) -> None:
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-dynamo.onnx")
    with pytest.raises(GraphError, match=r"Add"):  # 65 tokens, 64 positions
        SetShapes(input_ids="1x65").run(model, Context())


def test_shapes_must_be_given() -> None:
    with pytest.raises(PipelineError, match="must be given"):
        SetShapes()


def test_both_sides_of_a_split_model_follow(artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-sdpa-ts.onnx")
    declare_types(model)
    before = clone(model)
    words = next(n for n in model.graph.nodes if n.op == "Gather" and list(n.inputs[0].shape or ()) == [200, 64])
    to_host(model, {"words": words.outputs[0]}, Context())
    SetShapes(batch=2, seq=8).run(model, Context())
    assert {t.name: t.shape for t in model.graph.inputs}["words"] == [2, 8, 64]
    assert [t.shape for t in model.inputs] == [[2, 8]] * 3
    assert [t.shape for t in model.outputs] == [[2, 2]]
    verdict = regraft.compare(before, model, {"input_ids": np.ones((2, 8), np.int64)}, contract=interface)
    assert verdict.passed
    assert len(verdict.interface) == 3
