from __future__ import annotations

import json
import random

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import regraft
from regraft.files import convert
from regraft.inspection.diff import diff
from regraft.ir.editor import Editor
from regraft.pipelines import manager

FLOAT = onnx.TensorProto.FLOAT
MODELS = ("pytorch/bert-cls-eager-ts.onnx", "pytorch/distilbert-sdpa-dynamo.onnx", "tensorflow/tiny_seq32_op18.onnx")


def info(name, shape=(4,)):
    return helper.make_tensor_value_info(name, FLOAT, shape)


def chain(length: int, prefix: str = "n", op: str = "Relu", at: int = -1) -> regraft.Model:
    """Sigmoids in a row; ``op`` stands in place ``at``."""
    nodes = [
        helper.make_node(
            op if i == at else "Sigmoid", [f"{prefix}{i}" if i else "x"], [f"{prefix}{i + 1}"], f"{prefix}{i}"
        )
        for i in range(length)
    ]
    nodes[-1].output[0] = "y"
    return convert.from_proto(helper.make_model(helper.make_graph(nodes, "g", [info("x")], [info("y")])))


def rename(model: regraft.Model, seed: int = 0) -> None:
    """Give every node, every value inside and every weight another's name or a new one."""
    tensors = {t for node in model.nodes() for t in (*node.inputs, *node.outputs) if t.name}
    tensors -= {*model.graph.inputs, *model.graph.outputs}
    nodes = list(model.nodes())
    names = [f"v{i}" for i in range(len(tensors))]
    random.Random(seed).shuffle(names)
    for tensor, name in zip(sorted(tensors, key=lambda t: t.name), names, strict=True):
        tensor.name = name
    labels = [node.name for node in nodes]
    random.Random(seed).shuffle(labels)
    for node, name in zip(nodes, labels, strict=True):
        node.name = name


@pytest.mark.parametrize("name", MODELS)
def test_a_model_does_not_differ_from_itself(artifacts, name):
    found = diff(regraft.load(artifacts / name), regraft.load(artifacts / name))
    assert found.same
    assert found.renamed == 0


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layout", ["inline", "external"])
def test_a_model_does_not_differ_from_its_copy(artifacts, name, layout, tmp_path):
    model = regraft.load(artifacts / name)
    assert diff(model, regraft.load(regraft.save(model, tmp_path / "m.onnx", layout))).same


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_names_make_no_difference(artifacts, name, seed):
    renamed = regraft.load(artifacts / name)
    rename(renamed, seed)
    found = diff(regraft.load(artifacts / name), renamed)
    assert (found.removed, found.added, found.changed, found.weights) == ((), (), (), ())
    assert found.renamed > 0


@pytest.mark.parametrize("place", [0, 7, 19])
def test_one_node_in_a_chain_is_found_wherever_it_is(place):
    found = diff(chain(20), chain(20, "other", "Relu", place))
    assert [n.operator for n in found.removed] == ["Sigmoid"]
    assert [n.operator for n in found.added] == ["Relu"]
    assert [edit.kind for edit in found.regions] == ["Sigmoid -> Relu"]
    assert found.unchanged == 19
    assert {c.name: (c.before, c.after) for c in found.operators} == {"Sigmoid": (20, 19), "Relu": (None, 1)}


@pytest.mark.parametrize("place", [0, 7, 19])
def test_another_operator_under_its_name_is_a_change(place):
    found = diff(chain(20), chain(20, "n", "Relu", place))
    assert (found.removed, found.added) == ((), ())
    assert [(n.name, n.operator, n.details) for n in found.changed] == [
        (f"n{place}", "Relu", ("operator: Sigmoid -> Relu",))
    ]
    assert found.unchanged == 19


def test_an_inserted_node_does_not_change_its_neighbours():
    model = chain(6)
    with Editor(model) as edit:
        third = model.graph.nodes[3]
        new = edit.insert(third, "Neg", [third.inputs[0]])
        third.inputs[0] = new.outputs[0]
    found = diff(chain(6), model)
    assert [n.operator for n in found.added] == ["Neg"]
    assert (found.removed, found.changed) == ((), ())


def test_changed_attributes_and_inputs_are_named():
    def build(axis, swapped):
        nodes = [
            helper.make_node("Relu", ["x"], ["a"], "a"),
            helper.make_node("Neg", ["x"], ["b"], "b"),
            helper.make_node("Concat", ["b", "a"] if swapped else ["a", "b"], ["c"], "c", axis=axis),
            helper.make_node("Exp", ["c"], ["y"], "y"),
        ]
        return convert.from_proto(helper.make_model(helper.make_graph(nodes, "g", [info("x")], [info("y")])))

    found = diff(build(0, False), build(-1, True))
    (changed,) = found.changed
    assert changed.name == "c"
    assert changed.details == ("axis: 0 -> -1", "input 0: a -> b", "input 1: b -> a")


def test_interface_opset_and_metadata(artifacts):
    before, after = (regraft.load(artifacts / MODELS[0]) for _ in range(2))
    after.metadata["who"] = "me"
    after.graph.inputs[0].shape = [8, 128]
    after.graph.outputs[0].name = "result"
    after.graph.producer_name = "hand"
    found = diff(before, after)
    assert [(c.name, c.before, c.after) for c in found.metadata] == [("who", None, "me")]
    assert [(c.name, c.after) for c in found.inputs] == [("input_ids", "int64[8, 128]")]
    assert {c.name for c in found.outputs} == {"logits", "result"}
    assert [c.name for c in found.model] == ["producer"]
    assert (found.removed, found.added, found.changed) == ((), (), ())


def matmul(weight: np.ndarray, name: str = "w") -> regraft.Model:
    node = helper.make_node("MatMul", ["x", name], ["y"], "m")
    tensor = numpy_helper.from_array(weight, name)
    return convert.from_proto(
        helper.make_model(helper.make_graph([node], "g", [info("x", [64])], [info("y", [8])], [tensor]))
    )


def test_weights_are_compared_by_dtype_shape_and_content(tmp_path):
    weight = np.random.default_rng(0).standard_normal((64, 8), np.float32)
    other = weight.copy()
    other[-1, -1] += 1
    files = [
        regraft.save(matmul(w, name), tmp_path / f"{i}.onnx")
        for i, (w, name) in enumerate([(weight, "w"), (other, "v")])
    ]
    a, b = map(regraft.load, files)
    (change,) = diff(a, b).weights
    assert (change.name, change.content) == ("v", True)
    assert diff(matmul(weight), matmul(weight, "v")).weights == ()
    (change,) = diff(matmul(weight), matmul(weight.astype(np.float64))).weights
    assert (change.before, change.after, change.content) == ("float32[64, 8]", "float64[64, 8]", False)


def test_a_lifted_constant_is_no_difference_of_weights():
    weight = np.ones((64, 8), np.float32)
    node = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight))
    graph = helper.make_graph(
        [node, helper.make_node("MatMul", ["x", "w"], ["y"], "m")], "g", [info("x", [64])], [info("y", [8])]
    )
    found = diff(convert.from_proto(helper.make_model(graph)), matmul(weight))
    assert found.weights == ()
    assert [n.operator for n in found.removed] == ["Constant"]


def with_body(op: str) -> regraft.Model:
    def body(name, op):
        return helper.make_graph([helper.make_node(op, ["x"], [f"{name}_y"], name)], name, [], [info(f"{name}_y")])

    node = helper.make_node("If", ["flag"], ["y"], "if", then_branch=body("then", "Relu"), else_branch=body("else", op))
    flag = helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, [])
    return convert.from_proto(helper.make_model(helper.make_graph([node], "g", [flag, info("x")], [info("y")])))


def test_bodies_are_compared():
    assert diff(with_body("Neg"), with_body("Neg")).same
    found = diff(with_body("Neg"), with_body("Exp"))
    assert [(str(n), n.details) for n in found.changed] == [("if/else/else", ("operator: Neg -> Exp",))]
    assert ("if/then/then", "if/then/then") in found.pairs


def with_function(op: str | None) -> regraft.Model:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    functions = (
        [helper.make_function("own", "F", ["a"], ["b"], [helper.make_node(op, ["a"], ["b"])], opsets[:1])] if op else []
    )
    node = helper.make_node("F", ["x"], ["y"], "f", domain="own") if op else helper.make_node("Neg", ["x"], ["y"], "f")
    graph = helper.make_graph([node], "g", [info("x")], [info("y")])
    return convert.from_proto(helper.make_model(graph, opset_imports=opsets, functions=functions))


def test_functions_are_compared():
    assert diff(with_function("Neg"), with_function("Neg")).same
    found = diff(with_function("Neg"), with_function("Exp"))
    assert [str(edit.added[0]) for edit in found.regions] == ["own.F/%b"]
    assert [edit.kind for edit in found.regions] == ["Neg -> Exp"]
    assert found.functions == ()


def test_the_nodes_of_a_new_function_do_not_count_one_by_one():
    found = diff(with_function(None), with_function("Exp"))
    assert [n.details for n in found.changed] == [("operator: Neg -> own.F",)]
    assert [(c.name, c.before) for c in found.functions] == [("own.F", None)]


def test_changes_are_laid_to_the_pass_that_made_them(artifacts):
    name = "pytorch/transformers-4.25.1-bert-qa/model.onnx"
    before, after = (regraft.load(artifacts / name) for _ in range(2))
    manager.run(after, "fuse-gelu,eliminate-common-subexpressions")
    found = diff(before, after)
    assert [p.text for p in found.passes] == ["fuse-gelu", "eliminate-common-subexpressions"]
    edit = found.passes[0].edits[0]
    assert {n.operator for n in edit.removed} == {"Mul", "Add", "Erf", "Div"}
    assert [n.operator for n in edit.added] == ["regraft.Gelu"]
    assert (found.removed, found.added, found.changed) == ((), (), ())


def test_only_the_passes_between_the_two_models_count(artifacts):
    before, after = (regraft.load(artifacts / MODELS[0]) for _ in range(2))
    for model in (before, after):
        manager.run(model, "lower-gelu")
    manager.run(after, "lower-layer-norm")
    assert [p.text for p in diff(before, after).passes] == ["lower-layer-norm"]
    undone = diff(after, before).passes
    assert [(p.text, p.undone) for p in undone] == [("lower-layer-norm", True)]


def test_marks_on_nodes_serve_where_the_record_is_lost(artifacts):
    before, after = (regraft.load(artifacts / MODELS[0]) for _ in range(2))
    manager.run(after, "lower-gelu")
    after.metadata.clear()
    found = diff(before, after)
    assert [p.text for p in found.passes] == ["lower-gelu"]
    assert found.removed == ()


def test_the_json_has_every_attribute(artifacts):
    found = json.loads(diff(chain(3), chain(3, "m", op="Relu", at=1)).to_json())
    assert found["version"] == 2
    assert found["same"] is False
    assert found["added"] == [{"name": "m1", "operator": "Relu", "path": "", "layer": ""}]
    assert "pairs" not in found
    assert found["operators"][0] == {"name": "Sigmoid", "before": 3, "after": 2}


def test_one_change_among_many_nodes():
    length = 5_000
    assert diff(chain(length), chain(length, "m", "Relu", length // 2)).unchanged == length - 1
