"""Facts that are kept in step with a model say what a new analysis says, whoever edited it and however."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import parser

import regraft
from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.ir.graph import Constant, Node, Variable
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines.pipeline import Pipeline
from regraft.shapes.analysis import InferredTypes, Walker
from tests.random_graphs.generate import generate
from tests.random_graphs.pipelines import DEFAULT, pipeline
from tests.shapes.test_keys import said

ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))


def agree(model: Model) -> None:
    kept = said(model, model.facts(InferredTypes))
    assert kept == said(model, InferredTypes(model))


def run(model: Model, text: str) -> None:
    """Run pass after pass; what one refuses another may take."""
    agree(model)
    for one in Pipeline.read(text):
        with contextlib.suppress(RegraftError):
            regraft.run(model, [one])
        agree(model)


@pytest.mark.parametrize(
    "path",
    [p if n % 4 == 0 else pytest.param(p, marks=pytest.mark.slow) for n, p in enumerate(ARTIFACTS)],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_of_exported_models(path: Path) -> None:
    run(regraft.load(path), DEFAULT)


@pytest.mark.parametrize("seed", [*range(60), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(60, 400))])
def test_of_random_models_and_passes(seed: int) -> None:
    proto = generate(seed)
    run(from_proto(proto), DEFAULT if seed % 3 == 0 else pipeline(seed, proto.graph.output[0].name))


@pytest.mark.parametrize("model", [bert.build(), chain.build(300), chain.build(300, opset=13)], ids=repr)
def test_of_made_models(model: Model) -> None:
    run(model, DEFAULT)


TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    main (float[n, 6] x, float[k] z, bool c) => (float y)
    <int64[2] target = {2, -1}, float[1] far = {3.0}, int64[3] sizes = {1, 2, 3}>
    {
        picked = NonZero (x)
        seen = Shape (picked)
        moved = Transpose <perm = [1, 0]> (x)
        two = Reshape (moved, target)
        held = Constant <value = float[1] {4.0}> ()
        whole = Cast <to = 7> (held)
        filled = ConstantOfShape (whole)
        number = Cast <to = 7> (far)
        other = ConstantOfShape (number)
        chosen = If (c) <
            then_branch = then () => (a) { a = Reshape (x, target) },
            else_branch = otherwise () => (b) { b = Identity (two) }
        >
        sum = Concat <axis = 0> (filled, other, z)
        last = Shape (sum)
        y = ReduceSum (chosen)
    }
"""


def built() -> Model:
    return from_proto(parser.parse_model(TEXT))


def node(model: Model, name: str) -> Node:
    """The node that makes the value `name`."""
    return next(one for one in model.nodes() if any(t.name == name for t in one.outputs))


def value(model: Model, name: str) -> Variable | Constant:
    return next(t for one in model.nodes() for t in (*one.inputs, *one.outputs) if t.name == name)


def permute(model: Model) -> None:
    node(model, "moved").attrs["perm"][:] = [0, 1]


def assign(model: Model) -> None:
    value(model, "target").values = np.array([3, -1])


def assign_floats(model: Model) -> None:
    value(model, "far").values = np.array([5], np.float32)


def assign_in_constant_node(model: Model) -> None:
    node(model, "held").attrs["value"].values = np.array([5], np.float32)


def exchange_constant_node(model: Model) -> None:
    node(model, "held").attrs["value"] = Constant("v", np.array([6], np.float32))


def declare(model: Model) -> None:
    model.graph.inputs[1].shape = [9]


def declare_in_place(model: Model) -> None:
    model.graph.inputs[0].shape[0] = 4


def edit_body(model: Model) -> None:
    body = node(model, "chosen").attrs["then_branch"]
    body.nodes[0].inputs[1] = Constant("wide", np.array([1, 1, -1]))


def read_another(model: Model) -> None:
    node(model, "last").inputs[0] = value(model, "moved")


def rename_operator(model: Model) -> None:
    node(model, "seen").op = "Identity"


def turn_to_constant(model: Model) -> None:
    made = node(model, "number")
    tensor = made.outputs[0]
    model.graph.nodes.remove(made)
    made.outputs.clear()
    made.inputs.clear()
    tensor.to_constant(np.array([8]))


def insert(model: Model) -> None:
    before = node(model, "last")
    with regraft.Editor(model) as edit:
        made = edit.insert(before, "Concat", [before.inputs[0], before.inputs[0]], {"axis": 0})
        before.inputs[0] = made.outputs[0]


def end_in_another(model: Model) -> None:
    body = node(model, "chosen").attrs["else_branch"]
    body.outputs = [value(model, "moved")]


def take_another_opset(model: Model) -> None:
    model.opset = 18


EDITS = [
    permute,
    assign,
    assign_floats,
    assign_in_constant_node,
    exchange_constant_node,
    declare,
    declare_in_place,
    edit_body,
    read_another,
    rename_operator,
    turn_to_constant,
    insert,
    end_in_another,
    take_another_opset,
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_no_edit_goes_unseen(edit: Callable[[Model], None]) -> None:
    model = built()
    before = said(model, model.facts(InferredTypes))
    edit(model)
    agree(model)
    assert edit is take_another_opset or said(model, model.facts(InferredTypes)) != before


def walked(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators of the nodes that an analysis looks at."""
    seen: list[str] = []
    looked = Walker.node

    def look(walker: Walker, node: Node, opset: int, attrs: dict[str, object]) -> None:
        seen.append(node.op)
        looked(walker, node, opset, attrs)

    with monkeypatch.context() as patch:
        patch.setattr(Walker, "node", look)
        model.facts(InferredTypes)
    return seen


def test_only_what_an_edit_reaches_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain.build(2_000)
    assert len(walked(model, monkeypatch)) >= 2_000
    assert walked(model, monkeypatch) == []
    node = next(n for n in model.graph.nodes[1000:] if n.op == "Sigmoid")
    node.op = "Tanh"  # of the same shape
    assert walked(model, monkeypatch) == ["Tanh"]
    node.inputs[0].producer.op = "Whatever"  # of no operator that anybody knows
    assert 2 < len(walked(model, monkeypatch)) < 1_500


def test_a_failed_analysis_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built()
    model.facts(InferredTypes)
    permute(model)
    with monkeypatch.context() as patch:
        patch.setattr(Walker, "node", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.facts(InferredTypes)
    agree(model)
