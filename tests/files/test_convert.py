"""What goes in comes out: each field of a model, read and written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from google.protobuf import text_format
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from regraft.errors import GraphError, ModelError
from regraft.files import wire
from regraft.files.convert import clone, export, from_proto
from regraft.files.saving import to_proto
from regraft.ir import verifier
from regraft.ir.graph import Constant, Variable, subgraphs
from regraft.ir.model import Model
from regraft.ir.weights import Derived
from tests.shares import diagonal

FLOAT = TensorProto.FLOAT
LARGE = np.arange(wire.LARGE, dtype=np.float32)
ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))


def value(name: str, shape: Sequence[int | str | None] | None = ("n", 4), elem: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, elem, shape)


def make(
    nodes: list[onnx.NodeProto],
    inputs: list[ValueInfoProto] | None = None,
    outputs: list[ValueInfoProto] | None = None,
    initializers: list[TensorProto] | None = None,
    opset: int = 21,
    **fields: object,
) -> ModelProto:
    inputs = [value("x", ["n", 4])] if inputs is None else inputs
    outputs = [value("y")] if outputs is None else outputs
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **fields)


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"{op}_{outputs}", **attributes)


def body(nodes: list[onnx.NodeProto], outputs: str, **kwargs: object) -> GraphProto:
    return helper.make_graph(nodes, "body", [], [value(o) for o in outputs.split()], **kwargs)


_ABSENT = re.compile(r'\s*(name|doc_string|domain|producer_name|producer_version|overload): ""')


def lines(proto: ModelProto) -> list[str]:
    """The content of `proto`, an empty string and an absent one being the same."""
    return [line for line in text_format.MessageToString(proto).splitlines() if not _ABSENT.fullmatch(line)]


def same(proto: ModelProto) -> Model:
    """Assert that `proto` survives; the model between."""
    before = lines(proto)
    model = from_proto(proto)
    assert lines(proto) == before, "the source was changed"
    assert lines(to_proto(model)) == before
    assert lines(to_proto(clone(model))) == before
    return model


# ------------------------------------------------------------------------------------------------ the model


def test_fields_of_the_model_survive() -> None:
    proto = make(
        [node("Relu", "x", "y")],
        producer_name="p",
        producer_version="1",
        model_version=7,
        doc_string="model doc",
        domain="org.example",
    )
    helper.set_model_props(proto, {"author": "a", "empty": ""})
    proto.opset_import.append(helper.make_opsetid("com.example", 3))
    model = same(proto)
    assert model.metadata == {"author": "a", "empty": ""}
    assert model.header.doc_string == "model doc"
    assert (model.opset, model.header.ir_version) == (21, 10)


def test_training_info_survives_whole() -> None:
    proto = make([node("Relu", "x", "y")])
    training = proto.training_info.add()
    training.algorithm.CopyFrom(body([node("Relu", "a", "b")], "b"))
    training.algorithm.initializer.append(numpy_helper.from_array(LARGE, "a"))
    training.update_binding.add(key="w", value="b")
    same(proto)


def test_the_producer_and_ir_version_can_be_changed() -> None:
    model = from_proto(make([node("Relu", "x", "y")], producer_name="p"))
    model.graph.producer_name = "regraft"
    model.graph.ir_version = 8
    proto = to_proto(model)
    assert (proto.producer_name, proto.ir_version) == ("regraft", 8)


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_the_default_domain_has_one_name(domain: str) -> None:
    proto = make([helper.make_node("Relu", ["x"], ["y"], domain=domain)])
    proto.opset_import[0].domain = domain
    model = from_proto(proto)
    assert model.opset == 21
    assert model.graph.nodes[0].domain is None
    written = to_proto(model)
    assert [(o.domain, o.version) for o in written.opset_import] == [("", 21)]
    assert written.graph.node[0].domain == ""


def test_a_domain_that_nodes_use_is_declared() -> None:
    model = from_proto(make([node("Relu", "x", "y")]))
    model.graph.nodes[0].domain = "com.example"
    assert [(o.domain, o.version) for o in to_proto(model).opset_import] == [("", 21), ("com.example", 1)]


def test_the_opset_is_set_everywhere() -> None:
    cond = numpy_helper.from_array(np.array(True), "c")
    branches = {f"{b}_branch": body([node("Relu", "x", b)], b) for b in ("then", "else")}
    model = from_proto(make([node("If", "c", "y", **branches)], initializers=[cond]))
    model.opset = 18
    assert {graph.opset for graph in model.graphs()} == {18}
    assert to_proto(model).opset_import[0].version == 18


# ------------------------------------------------------------------------------------------------ graph and values


def test_metadata_of_graph_node_and_value_survives() -> None:
    proto = make([node("Relu", "x", "h"), node("Relu", "h", "y")])
    graph = proto.graph
    graph.doc_string = "graph doc"
    graph.metadata_props.add(key="graph", value="1")
    graph.node[0].doc_string = "node doc"
    graph.node[0].metadata_props.add(key="node", value="2")
    graph.node[0].device_configurations.add(configuration_id="d")
    graph.value_info.append(value("h", ["n", 4]))
    for info in (graph.value_info[0], graph.input[0], graph.output[0]):
        info.doc_string = f"doc of {info.name}"
        info.metadata_props.add(key=info.name, value="3")
    graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    graph.input[0].type.denotation = "IMAGE"
    annotation = graph.quantization_annotation.add(tensor_name="h")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    model = same(proto)
    assert model.graph.nodes[0].metadata == {"node": "2"}
    assert model.graph.nodes[0].doc_string == "node doc"


def test_a_changed_shape_is_written_and_keeps_what_else_is_known() -> None:
    proto = make([node("Relu", "x", "y")])
    proto.graph.input[0].doc_string = "doc"
    proto.graph.input[0].type.tensor_type.shape.dim[1].denotation = "DATA_FEATURE"
    model = from_proto(proto)
    model.graph.inputs[0].shape = [2, 8]
    model.graph.inputs[0].dtype = np.dtype(np.float16)
    info = to_proto(model).graph.input[0]
    assert info.doc_string == "doc"
    assert info.type.tensor_type.elem_type == TensorProto.FLOAT16
    assert [d.dim_value for d in info.type.tensor_type.shape.dim] == [2, 8]
    assert info.type.tensor_type.shape.dim[1].denotation == "DATA_FEATURE"


@pytest.mark.parametrize("shape", [None, [], [None], ["n"], [0], [3, "m", None]])
def test_shapes_survive(shape: list[int | str | None] | None) -> None:
    model = same(make([node("Relu", "x", "y")], inputs=[value("x", shape)]))
    assert model.graph.inputs[0].shape == shape


TENSOR = helper.make_tensor_type_proto(FLOAT, [2])
TYPES = {
    "sequence": helper.make_sequence_type_proto(TENSOR),
    "optional": helper.make_optional_type_proto(TENSOR),
    "optional sequence": helper.make_optional_type_proto(helper.make_sequence_type_proto(TENSOR)),
    "map": helper.make_map_type_proto(TensorProto.INT64, TENSOR),
    "sparse": helper.make_sparse_tensor_type_proto(FLOAT, [2, 3]),
}


@pytest.mark.parametrize("kind", [*TYPES, "none"])
def test_types_survive(kind: str) -> None:
    infos = [ValueInfoProto(name=name, type=TYPES.get(kind)) for name in "xyh"]
    proto = make([node("Identity", "x", "h"), node("Identity", "h", "y")], infos[:1], infos[1:2])
    if kind != "none":
        proto.graph.value_info.append(infos[2])
    same(proto)


def test_an_outer_value_that_a_body_lists_stays_the_outer_one() -> None:
    branch = body([node("Relu", "h", "b")], "b", value_info=[value("h", [4])])
    proto = make(
        [node("Relu", "x", "h"), node("If", "c", "y", then_branch=branch, else_branch=branch)],
        inputs=[value("x"), value("c", [], TensorProto.BOOL)],
    )
    model = from_proto(proto)
    verifier.check(model)
    relu, branching = model.graph.nodes
    assert all(inner.nodes[0].inputs[0] is relu.outputs[0] for inner in subgraphs(branching))


def test_omitted_inputs_and_outputs_stay_omitted() -> None:
    proto = make([helper.make_node("Dropout", ["x", "", "t"], ["y", ""])], inputs=[value("x"), value("t")])
    model = same(proto)
    only = model.graph.nodes[0]
    assert only.inputs[1].is_empty()
    assert only.outputs[1].is_empty()
    assert only.inputs[1] is not only.outputs[1]


# ------------------------------------------------------------------------------------------------ attributes

TENSORS = [numpy_helper.from_array(np.arange(3), "a"), numpy_helper.from_array(np.arange(2.0), "")]
SPARSE = helper.make_sparse_tensor(TENSORS[0], TENSORS[0], [9])
ATTRIBUTES = {
    "int": 3,
    "float": 0.1,
    "string": "text",
    "bytes": b"\xff\xfe",
    "tensor": TENSORS[0],
    "ints": [1, 2],
    "floats": [1.0, 2.0],
    "strings": ["a", "b"],
    "mixed": [b"\xff", "b"],
    "tensors": TENSORS,
    "type": TENSOR,
    "types": [TENSOR, TYPES["map"]],
    "sparse": SPARSE,
    "sparses": [SPARSE, SPARSE],
    "graph": body([node("Relu", "x", "b")], "b"),
    "graphs": [body([node("Relu", "x", "b")], "b"), body([node("Abs", "x", "b")], "b")],
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_attributes_survive(kind: str) -> None:
    same(make([node("Op", "x", "y", a=ATTRIBUTES[kind])]))


@pytest.mark.parametrize("kind", ["INTS", "FLOATS", "STRINGS", "TENSORS", "GRAPHS", "TYPE_PROTOS", "SPARSE_TENSORS"])
def test_an_empty_list_keeps_its_type(kind: str) -> None:
    proto = make([node("Op", "x", "y")])
    proto.graph.node[0].attribute.add(name="a", type=AttributeProto.AttributeType.Value(kind))
    assert same(proto).graph.nodes[0].attrs == {"a": []}


def test_the_doc_of_an_attribute_survives() -> None:
    proto = make([node("Op", "x", "y", a=1, b=2)])
    proto.graph.node[0].attribute[1].doc_string = "doc"
    same(proto)


@pytest.mark.parametrize("kind", [0, 99])
def test_an_attribute_of_unknown_type_is_named(kind: int) -> None:
    proto = make([node("Op", "x", "y")])
    attribute = b"\x0a\x01a" + (b"\xa0\x01" + bytes([kind]) if kind else b"")
    proto.graph.node[0].attribute.add().MergeFromString(attribute)
    with pytest.raises(ModelError, match=r"node 'Op_y' \(Op\): attribute 'a' has no type"):
        from_proto(proto)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (np.float32, TensorProto.FLOAT),
        (np.dtype(np.int64), TensorProto.INT64),
        (ml_dtypes.bfloat16, TensorProto.BFLOAT16),
    ],
)
def test_a_dtype_as_attribute_is_its_number(given: object, written: int) -> None:
    model = from_proto(make([node("Cast", "x", "y", to=1)]))
    model.graph.nodes[0].attrs["to"] = given
    assert to_proto(model).graph.node[0].attribute[0].i == written


def test_an_array_as_attribute_is_a_tensor() -> None:
    model = from_proto(make([node("Constant", "", "y")], inputs=[]))
    model.graph.nodes[0].attrs["value"] = np.arange(3)
    attribute = to_proto(model).graph.node[0].attribute[0]
    np.testing.assert_array_equal(numpy_helper.to_array(attribute.t), np.arange(3))


# ------------------------------------------------------------------------------------------------ constants


@pytest.mark.parametrize("code", [c for c in TensorProto.DataType.values() if c])
@pytest.mark.parametrize("shape", [[], [0], [3]])
def test_small_constants_survive_as_they_are(code: int, shape: list[int]) -> None:
    values = [1] * int(np.prod(shape))
    tensor = helper.make_tensor("w", code, shape, [b"s" for _ in values] if code == TensorProto.STRING else values)
    tensor.doc_string = "doc"
    same(make([node("Op", "x w", "y")], initializers=[tensor]))


def test_initializers_keep_their_order_read_or_not() -> None:
    names = ["b", "unused", "a", "c"]
    tensors = [numpy_helper.from_array(np.float32(i), name) for i, name in enumerate(names)]
    model = same(make([node("Op", "x a c b", "y")], initializers=tensors))
    assert [c.name for c in model.graph.unused] == ["unused"]


def test_a_constant_can_be_an_output() -> None:
    tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), "y")
    same(make([], inputs=[], outputs=[value("y", [4])], initializers=[tensor]))


def test_a_sparse_initializer_survives_with_large_values() -> None:
    places = numpy_helper.from_array(np.arange(LARGE.size), "")
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(LARGE, "w"), places, [5000])
    proto = make([node("Op", "x w", "y")])
    proto.graph.sparse_initializer.append(sparse)
    model = same(proto)
    np.testing.assert_array_equal(model.graph.nodes[0].inputs[1].values[: LARGE.size], LARGE)


def test_an_input_with_an_initializer_has_a_default_and_is_no_constant() -> None:
    tensor = numpy_helper.from_array(np.float32(3), "w")
    model = same(make([node("Mul", "x w", "y")], [value("x"), value("w", [])], initializers=[tensor]))
    weight = model.graph.inputs[1]
    assert isinstance(weight, Variable)
    assert weight is model.graph.nodes[0].inputs[1]
    assert weight.default is not None
    assert weight.default.values == 3


def test_an_input_with_an_initializer_is_a_constant_before_ir_4() -> None:
    proto = make(
        [node("Mul", "x w", "y")],
        [value("x"), value("w", [])],
        initializers=[numpy_helper.from_array(np.float32(3), "w")],
    )
    proto.ir_version = 3
    model = from_proto(proto)
    assert [t.name for t in model.graph.inputs] == ["x"]
    assert isinstance(model.graph.nodes[0].inputs[1], Constant)
    written = to_proto(model)
    assert written.ir_version == 4
    onnx.checker.check_model(written)


def branches(then: str, otherwise: str) -> onnx.NodeProto:
    inner = [
        body([node("Mul", f"x {name}", f"{side}_y")], f"{side}_y")
        for side, name in (("then", then), ("else", otherwise))
    ]
    return node("If", "c", "y", then_branch=inner[0], else_branch=inner[1])


@pytest.mark.parametrize("nested", [False, True])
def test_a_constant_of_several_graphs_is_written_once_around_them(nested: bool) -> None:
    tensors = [numpy_helper.from_array(np.array(True), "c"), numpy_helper.from_array(np.float32(2), "w")]
    deepest = branches("w", "w")
    if nested:
        deepest = node("If", "c", "y", then_branch=body([deepest], "y"), else_branch=body([node("Abs", "x", "y")], "y"))
    model = from_proto(make([deepest], initializers=tensors))
    proto = to_proto(model)
    text = str(proto)
    assert text.count("initializer {") == 2
    onnx.checker.check_model(proto, full_check=True)
    verifier.check(from_proto(proto))


def test_a_constant_shared_by_body_and_graph_is_the_same_object() -> None:
    tensors = [numpy_helper.from_array(np.array(True), "c"), numpy_helper.from_array(np.float32(2), "w")]
    proto = make([node("Mul", "x w", "h"), branches("w", "h")], initializers=tensors)
    model = same(proto)
    first, branching = model.graph.nodes
    then, otherwise = branching.attrs["then_branch"].nodes[0], branching.attrs["else_branch"].nodes[0]
    assert (then.inputs[1], otherwise.inputs[1]) == (first.inputs[1], first.outputs[0])
    assert set(first.inputs[1].outputs) == {first, then}


def test_a_body_can_hide_an_outer_name() -> None:
    inner = body([node("Mul", "x w", "b")], "b", initializer=[numpy_helper.from_array(np.float32(5), "w")])
    proto = make(
        [node("Mul", "x w", "h"), node("If", "c", "y", then_branch=inner, else_branch=inner)],
        inputs=[value("x"), value("c", [], TensorProto.BOOL)],
        initializers=[numpy_helper.from_array(np.float32(2), "w")],
    )
    model = same(proto)
    outer, branching = model.graph.nodes
    assert outer.inputs[1].values == 2
    assert subgraphs(branching)[0].nodes[0].inputs[1].values == 5


def test_large_values_are_left_out_of_the_header() -> None:
    large = numpy_helper.from_array(LARGE, "large")
    constant = node("Constant", "", "k", value=large)
    proto = make(
        [constant, node("Op", "x large ints k", "y", many=[large])],
        initializers=[large, helper.make_tensor("ints", TensorProto.INT64, [2000], range(2000))],
    )
    model = from_proto(proto)
    header, values = export(model)
    assert header.ByteSize() < 2000
    assert len(values) == 4
    tensors = [
        *header.graph.initializer,
        header.graph.node[0].attribute[0].t,
        header.graph.node[1].attribute[0].tensors[0],
    ]
    for tensor in tensors:
        index = wire.slot(tensor)
        assert index is not None
        held = values[index]
        array = held if isinstance(held, np.ndarray) else held.load()
        np.testing.assert_array_equal(array, np.arange(2000) if tensor.name == "ints" else LARGE)


@pytest.mark.parametrize(
    "values",
    [
        np.float32(1),
        np.array(["a", "b"]),
        np.array([b"a", "b"], object),
        np.ones(3, ml_dtypes.bfloat16),
        np.ones((2, 3)).T,
        Derived([np.ones(3)], lambda x: x * 2, [3], np.float64),
    ],
    ids=lambda v: type(v).__name__,
)
def test_new_values_are_written(values: object) -> None:
    model = from_proto(make([node("Op", "x w", "y")], initializers=[numpy_helper.from_array(np.float32(1), "w")]))
    constant = model.graph.nodes[0].inputs[1]
    constant.values = values if isinstance(values, Derived) else np.asarray(values)
    expected = values.load() if isinstance(values, Derived) else np.asarray(values)
    written = numpy_helper.to_array(to_proto(model).graph.initializer[0])
    assert written.tolist() == [v.decode() if isinstance(v, bytes) else v for v in expected.ravel().tolist()] or (
        written.tolist() == expected.tolist()
    )


def test_tensors_turned_by_graphsurgeon_are_written() -> None:
    model = from_proto(
        make(
            [node("Relu", "x", "h"), node("Mul", "h w", "y")],
            initializers=[numpy_helper.from_array(np.float32(1), "w")],
        )
    )
    mul = model.graph.nodes[1]
    hidden, weight = mul.inputs
    hidden.inputs.clear()
    hidden.to_constant(np.ones(4, np.float32))
    weight.to_variable(np.dtype(np.float32), [])
    model.graph.inputs.append(weight)
    proto = to_proto(model)
    assert [t.name for t in proto.graph.initializer] == ["h"]
    assert [t.name for t in proto.graph.input] == ["x", "w"]
    assert isinstance(mul.inputs[0], Constant)
    assert isinstance(mul.inputs[1], Variable)


# ------------------------------------------------------------------------------------------------ functions


def function_model() -> ModelProto:
    inner = helper.make_function(
        "f", "Inner", ["a"], ["b"], [node("Relu", "a", "b")], [helper.make_opsetid("", 20)], overload="v2"
    )
    leaky = helper.make_node("LeakyRelu", ["a"], ["l"])
    leaky.attribute.add(name="alpha", ref_attr_name="slope", type=AttributeProto.FLOAT)
    outer = helper.make_function(
        "f",
        "Outer",
        ["a", "unread"],
        ["c"],
        [leaky, helper.make_node("Inner", ["l"], ["c"], domain="f", overload="v2")],
        [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)],
        ["slope", "other"],
        [helper.make_attribute("gain", 2.0)],
        doc_string="function doc",
        value_info=[value("l", ["n"])],
    )
    outer.metadata_props.add(key="k", value="v")
    proto = make([node("Outer", "x x", "y", domain="f", slope=0.5)], functions=[inner, outer])
    proto.opset_import.append(helper.make_opsetid("f", 1))
    return proto


def test_functions_survive() -> None:
    model = same(function_model())
    inner, outer = model.functions
    assert (inner.overload, outer.opset) == ("v2", 20)
    assert outer.attrs == {"slope": None, "other": None, "gain": 2.0}
    assert outer.nodes[0].attrs["alpha"].name == "slope"
    assert len(list(model.nodes())) == 4


def test_a_constant_in_a_function_becomes_a_node() -> None:
    model = from_proto(function_model())
    relu = model.functions[0].nodes[0]
    relu.op = "Mul"
    relu.inputs.append(Constant("two", np.array(2, np.float32)))
    nodes = to_proto(model).functions[0].node
    assert [(n.op_type, *n.output) for n in nodes] == [("Constant", "two"), ("Mul", "b")]
    verifier.check(from_proto(to_proto(model)))


def test_a_large_constant_in_a_function_is_left_out() -> None:
    proto = function_model()
    proto.functions[0].node.insert(0, node("Constant", "", "k", value=numpy_helper.from_array(LARGE)))
    header, values = export(from_proto(proto))
    assert len(values) == 1
    assert wire.slot(header.functions[0].node[0].attribute[0].t) == 0


# ------------------------------------------------------------------------------------------------ order


def chain(order: list[int]) -> list[onnx.NodeProto]:
    names = ["x", "a", "b", "c", "y"]
    return [node("Relu", names[i], names[i + 1]) for i in order]


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 0, 3, 2], [0, 2, 1, 3]])
def test_unsorted_nodes_are_sorted(order: list[int]) -> None:
    model = from_proto(make(chain(order)))
    assert [n.outputs[0].name for n in model.graph.nodes] == ["a", "b", "c", "y"]
    verifier.check(model)


def test_what_a_body_reads_counts_for_the_order() -> None:
    proto = make(
        [branches("h", "h"), node("Relu", "x", "h")], initializers=[numpy_helper.from_array(np.array(True), "c")]
    )
    model = from_proto(proto)
    assert [n.op for n in model.graph.nodes] == ["Relu", "If"]
    verifier.check(model)


def test_a_function_is_sorted() -> None:
    proto = function_model()
    proto.functions[1].node.insert(0, proto.functions[1].node.pop())
    assert [n.op for n in from_proto(proto).functions[1].nodes] == ["LeakyRelu", "Inner"]


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")],
        [node("Add", "x y", "y")],
        [branches("x", "y")],
    ],
    ids=["loop", "itself", "its body"],
)
def test_a_cycle_is_refused(nodes: list[onnx.NodeProto]) -> None:
    proto = make(nodes, initializers=[numpy_helper.from_array(np.array(True), "c")])
    with pytest.raises(GraphError, match="the graph has a cycle through node '"):
        from_proto(proto)


# ------------------------------------------------------------------------------------------------ copies, peers


def test_a_clone_shares_only_weights() -> None:
    proto = make([node("Mul", "x w", "h"), node("Relu", "h", "y")], initializers=[numpy_helper.from_array(LARGE, "w")])
    model = from_proto(proto)
    model.metadata["a"] = "b"
    before = to_proto(model)
    copy = clone(model)
    assert copy.graph.nodes[0].inputs[1].lazy is model.graph.nodes[0].inputs[1].lazy
    copy.metadata.clear()
    copy.header.doc_string = "changed"
    copy.graph.name = "changed"
    copy.graph.nodes[0].attrs["a"] = 1
    copy.graph.nodes[0].inputs[1].values = LARGE * 2
    copy.graph.inputs[0].shape = [1]
    copy.graph.nodes.pop()
    assert to_proto(model) == before


def test_graphsurgeon_works_on_the_graph() -> None:
    proto = make([node("Relu", "x", "y"), node("Relu", "x", "dead"), node("Abs", "dead", "end")])
    model = from_proto(proto)
    graph = model.graph
    graph.nodes.append(
        gs.Node("Neg", "new", inputs=[graph.outputs[0]], outputs=[gs.Variable("z", np.float32, ["n", 4])])
    )
    graph.outputs.append(graph.nodes[-1].outputs[0])
    graph.cleanup().toposort()
    assert [n.op for n in graph.nodes] == ["Relu", "Neg"]
    written = to_proto(model)
    onnx.checker.check_model(written, full_check=True)
    assert type(graph.nodes[-1]) is type(graph.nodes[0])


def with_types_of_results(proto: ModelProto) -> ModelProto:
    """Without the types of constants and in the order of the nodes, as they are written."""
    places = {name: i for i, name in enumerate(name for n in proto.graph.node for name in n.output)}
    infos = sorted((i for i in proto.graph.value_info if i.name in places), key=lambda i: places[i.name])
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(infos)
    return proto


@pytest.mark.parametrize("path", diagonal(3, ARTIFACTS), ids=lambda p: p.stem)
def test_exported_models_survive(path: Path) -> None:
    proto = onnx.load(path)
    header, values = export(from_proto(proto))
    written = ModelProto()
    written.CopyFrom(header)
    for tensor in (*written.graph.initializer, *(a.t for n in written.graph.node for a in n.attribute)):
        index = wire.slot(tensor)
        if index is not None:
            held = values[index]
            tensor.raw_data = (held if isinstance(held, np.ndarray) else held.load()).tobytes()
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    assert lines(written) == lines(with_types_of_results(proto))
