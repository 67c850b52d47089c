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
from regraft.inspection.layers import in_layers
from regraft.inspection.places import layer_of
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
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


def test_the_record_of_another_model_says_nothing(artifacts):
    before, after = (regraft.load(artifacts / name) for name in (MODELS[2], MODELS[0]))
    manager.run(after, "lower-gelu,lower-layer-norm")
    found = diff(before, after)
    assert {entry.text for entry in found.passes} == {"lower-gelu", "lower-layer-norm"}  # by the marks on nodes
    assert sum(len(edit.removed) for entry in found.passes for edit in entry.edits) == 0
    for node in after.nodes():
        node.metadata = {}
    assert diff(before, after).passes == ()


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


def body_of(nodes, opset=17, opsets=(), inputs=("x",), shape=(4,)) -> regraft.Model:
    graph = helper.make_graph(nodes, "g", [info(name, shape) for name in inputs], [info("y", None)])
    every = [helper.make_opsetid("", opset), *(helper.make_opsetid(*one) for one in opsets)]
    return convert.from_proto(helper.make_model(graph, opset_imports=every))


@pytest.mark.parametrize(
    ("op", "stated", "opset", "same"),
    [
        ("Softmax", {"axis": -1}, 17, True),
        ("Softmax", {"axis": 1}, 17, False),
        ("Softmax", {"axis": 1}, 11, True),
        ("LeakyRelu", {"alpha": 0.01}, 17, True),
        ("LeakyRelu", {"alpha": 0.02}, 17, False),
        ("ReduceSum", {"keepdims": 1, "noop_with_empty_axes": 0}, 17, True),
        ("ReduceSum", {"keepdims": 0}, 17, False),
        ("Flatten", {"axis": 1}, 17, True),
        ("Gelu", {"approximate": "none"}, 20, True),
        ("Gelu", {"approximate": "tanh"}, 20, False),
    ],
)
def test_a_default_that_is_stated_is_no_difference(op, stated, opset, same):
    before, after = (
        body_of([helper.make_node(op, ["x"], ["y"], "n", **attributes)], opset) for attributes in ({}, stated)
    )
    found = diff(before, after)
    assert found.same is same
    assert len(found.changed) == (not same)


def test_a_default_that_another_opset_has_is_a_difference():
    before, after = (body_of([helper.make_node("Softmax", ["x"], ["y"], "n")], opset) for opset in (11, 13))
    assert [n.details for n in diff(before, after).changed] == [("axis: 1 -> -1",)]
    (stated,) = diff(before, body_of([helper.make_node("Softmax", ["x"], ["y"], "n", axis=1)], 13)).opsets
    assert (stated.before, stated.after) == (11, 13)


def test_an_opset_that_no_node_uses_is_no_difference():
    node = helper.make_node("Relu", ["x"], ["y"], "n")
    assert diff(body_of([node]), body_of([node], opsets=[("com.microsoft", 1)])).same
    own = helper.make_node("Swish", ["x"], ["y"], "n", domain="own")
    found = diff(body_of([own], opsets=[("own", 1)]), body_of([own], opsets=[("own", 2)]))
    assert [(c.name, c.before, c.after) for c in found.opsets] == [("own", 1, 2)]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (["batch", 4], ["N", 4], True),
        (["batch", 4], [None, 4], True),
        (["batch", 4], [2, 4], False),
        (["batch", 4], ["batch", 5], False),
        (["batch", 4], ["batch", 4, 1], False),
    ],
)
def test_names_of_unknown_dimensions_are_no_difference(before, after, same):
    node = helper.make_node("Relu", ["x"], ["y"], "n")
    assert diff(*(body_of([node], shape=shape) for shape in (before, after))).same is same


def layers(number: int, fused: bool, named: bool = True) -> regraft.Model:
    """Products that are scaled, in layers, with the scale in the product where `fused`."""
    nodes, value = [], "x"
    for i in range(number):
        scope = f"/encoder/layer.{i}/" if named else f"n{i} "
        if fused:
            nodes.append(helper.make_node("FusedMatMul", [value] * 2, [f"p{i}"], f"fused {i}", domain="com.microsoft"))
        else:
            nodes.append(helper.make_node("Mul", [value, "scale"], [f"a{i}"], f"{scope}Mul"))
            nodes.append(helper.make_node("MatMul", [f"a{i}", value], [f"p{i}"], f"{scope}MatMul"))
        nodes.append(helper.make_node("Softmax", [f"p{i}"], [f"s{i}"], f"{scope}Softmax"))
        value = f"s{i}"
    nodes.append(helper.make_node("Relu", [value], ["y"], "last"))
    return body_of(nodes, opsets=[("com.microsoft", 1)], inputs=("x", "scale"), shape=(4, 4))


@pytest.mark.parametrize(
    ("number", "named", "said"),
    [
        (12, True, "12 × Mul, MatMul -> com.microsoft.FusedMatMul  1 in each of layer.0-11"),
        (12, False, "12 × Mul, MatMul -> com.microsoft.FusedMatMul"),
        (1, True, "1 × Mul, MatMul -> com.microsoft.FusedMatMul  at fused 0"),
    ],
)
def test_what_took_the_place_of_what_is_a_region(number, named, said):
    found = diff(layers(number, False, named), layers(number, True, named))
    assert len(found.regions) == number
    assert [(len(edit.removed), len(edit.added)) for edit in found.regions] == [(2, 1)] * number
    assert f"  {said}" in str(found).splitlines()
    back = diff(layers(number, True, named), layers(number, False, named))
    assert {edit.kind for edit in back.regions} == {"com.microsoft.FusedMatMul -> Mul, MatMul"}


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("/encoder/layer.3/output/Add", "layer.3"),
        ("/encoder/layer.3/Add_30/LayerNormalization", "layer.3"),
        ("Add_30/LayerNormalization", ""),
        ("Add_30", ""),
        ("bert/encoder/layer_11/MatMul", "layer.11"),
    ],
)
def test_a_node_that_is_counted_is_no_layer(name, layer):
    assert layer_of(Node("Add", name)) == layer


def test_regions_have_every_node_that_went_or_came_once(artifacts):
    before = regraft.load(artifacts / MODELS[0])
    after = regraft.load(artifacts / MODELS[0])
    manager.run(after, "lower-layer-norm,lower-gelu,fuse-gemm")
    after.metadata.clear()
    for node in after.nodes():
        node.metadata = {}
    found = diff(before, after)
    for side in ("removed", "added"):
        placed = [str(node) for edit in found.regions for node in getattr(edit, side)]
        assert len(placed) == len(set(placed)) == len(getattr(found, side)) > 5
    assert found.passes == ()
    norms = [edit for edit in found.regions if "LayerNormalization" in {node.operator for node in edit.removed}]
    assert len(norms) == 5
    assert {len(edit.removed) for edit in norms} == {1}


def test_pairs_are_the_names_of_what_both_have():
    before, after = chain(5), chain(5, "m", "Relu", 2)
    found = diff(before, after)
    assert found.pairs == (("n0", "m0"), ("n1", "m1"), ("n3", "m3"), ("n4", "m4"))
    assert len(found.pairs) == found.unchanged


def test_a_difference_shows_itself(artifacts):
    before, after = (regraft.load(artifacts / MODELS[0]) for _ in range(2))
    assert str(diff(before, after)) == f"the same: {len(list(before.nodes()))} nodes"
    manager.run(after, "lower-gelu")
    found = diff(before, after)
    assert str(found).startswith("lower-gelu:\n  2 × Gelu -> ")
    assert str(found).endswith(" unchanged")
    assert "<caption>lower-gelu</caption>" in found._repr_html_()


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([], ""),
        (["", ""], ""),
        (["layer.0", "layer.1", "layer.2"], "1 in each of layer.0-2"),
        (["h.0", "h.0", "h.2", "h.2"], "2 in each of h.0,2"),
        (["h.0", "h.0", "h.2"], "in h.0,2"),
        (["h.3"], "in h.3"),
        (["h.3", ""], "in h.3, 1 elsewhere"),
        (["h.0", "", "h.1", ""], "1 in each of h.0-1, 2 elsewhere"),
        (["h.10", "h.9", "h.11", "b.1"], "1 in each of h.9-11, b.1"),
    ],
)
def test_layers_in_few_words(places, said):
    assert in_layers(places) == said
