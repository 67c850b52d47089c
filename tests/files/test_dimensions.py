"""Dimensions that say nothing are unknown wherever a file states them."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, parser

import regraft
from regraft.cli import cli
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.verification.signature import Port

NOTHING = [-1, -7, "None", "?", "unk", "-1"]


def info(name, *shape):
    """A value of floats; negative numbers too are written as they are."""
    made = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(shape))
    for entry, dim in zip(made.type.tensor_type.shape.dim, shape, strict=True):
        if isinstance(dim, str):
            entry.dim_param = dim
        else:
            entry.dim_value = dim
    return made


def model(nodes, inputs, outputs, values=(), functions=(), **constants):
    initializers = [onnx.numpy_helper.from_array(np.array(v, np.int64), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers, value_info=list(values))
    imports = [helper.make_opsetid("", 13), *([helper.make_opsetid("own", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def every_dim(message):
    """All dimensions in a message, at any depth."""
    if isinstance(message, onnx.TensorShapeProto.Dimension):
        yield message.dim_value if message.HasField("dim_value") else message.dim_param or None
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for item in value if field.is_repeated else [value]:
                yield from every_dim(item)


@pytest.mark.parametrize("dim", NOTHING)
def test_unknown_wherever_it_stands(dim):
    node = helper.make_node
    then, other = (
        helper.make_graph([node("Identity", ["t"], [name])], name, [], [info(name, dim, 4)], value_info=[])
        for name in ("a", "b")
    )
    function = helper.make_function(
        "own", "F", ["p"], ["q"], [node("Relu", ["p"], ["m"]), node("Neg", ["m"], ["q"])], [helper.make_opsetid("", 13)]
    )
    function.value_info.append(info("m", dim, 4))
    inner = info("", dim, 4).type
    many = helper.make_value_info("many", helper.make_sequence_type_proto(inner))
    maybe = helper.make_value_info("maybe", helper.make_optional_type_proto(helper.make_sequence_type_proto(inner)))
    nodes = [
        node("Relu", ["x"], ["t"]),
        node("If", ["c"], ["i"], then_branch=then, else_branch=other),
        node("F", ["i"], ["y"], domain="own"),
        node("Identity", ["many"], ["many2"]),
        node("Optional", [], ["none"], type=inner),
    ]
    inputs = [info("x", dim, 4), helper.make_tensor_value_info("c", TensorProto.BOOL, []), many, maybe]
    outputs = [info("y", dim, 4), helper.make_value_info("many2", many.type)]
    proto = model(nodes, inputs, outputs, [info("t", dim, 4)], [function])
    assert [*every_dim(proto)].count(dim) == 10
    written = to_proto(from_proto(proto))
    assert set(every_dim(written)) == {None, 4}
    ports = [Port.of(i) for i in (*proto.graph.input, *proto.graph.output)]
    assert {d for p in ports if p.tensor.shape for d in p.tensor.shape} <= {None, 4}
    assert Port.of_runtime("x", "tensor(float)", [dim, 4]).shape == (None, 4)


def test_a_negative_dimension_is_not_written():
    loaded = from_proto(model([helper.make_node("Relu", ["x"], ["y"])], [info("x", 3, 4)], [info("y", 3, 4)]))
    loaded.graph.inputs[0].shape = [-1, 4]
    assert Port.of(to_proto(loaded).graph.input[0]).shape == (None, 4)


KEPT = {  # what stays, since a dimension of -1 may be any: nodes, the input's shape, other constants
    "Slice": (["x", "s", "e", "s"], [-1, 6], {"s": [0], "e": [1]}),
    "Squeeze": (["x"], [-1, 4], {}),
    "Reshape": (["x", "to"], [-1, 4], {"to": [1, 4]}),
    "Expand": (["x", "to"], [-1, 4], {"to": [3, 4]}),
}


@pytest.mark.parametrize("op", KEPT)
@pytest.mark.parametrize("dim", NOTHING)
def test_no_node_is_removed_for_it(op, dim):
    inputs, shape, constants = KEPT[op]
    shape = [dim if d == -1 else d for d in shape]
    nodes = [helper.make_node(op, inputs, ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    proto = model(nodes, [info("x", *shape)], [info("y")], **constants)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for pipeline in ("eliminate-identity", "infer-shapes,fold-constants,eliminate-identity"):
        loaded = from_proto(proto)
        regraft.run(loaded, pipeline)
        assert [n.op for n in loaded.graph.nodes] == [op, "Relu"]


def test_split_of_it_keeps_its_sizes():
    nodes = [helper.make_node("Split", ["x"], ["a", "b"], axis=0)]
    proto = model(nodes, [info("x", -1, 4)], [info("a", -1, 4), info("b", -1, 4)])
    loaded = from_proto(proto)
    regraft.run(
        loaded, "lower-split,infer-shapes,fold-constants", verify="each", inputs={"x": np.ones((6, 4), np.float32)}
    )


def test_same_generic_name_is_no_same_size():
    text = """<ir_version: 8, opset_import: ["" : 13]>
      g (float[None,4] x, float[None,4] z) => (float[None,4] y)
      { a = Add (x, z)  s = Shape (a)  e = Expand (x, s)  y = Relu (e) }"""
    loaded = from_proto(parser.parse_model(text))
    given = {"x": np.ones((1, 4), np.float32), "z": np.ones((3, 4), np.float32)}
    pipeline = "infer-shapes,fold-constants,lower-expand,eliminate-identity,simplify-mask"
    regraft.run(loaded, pipeline, verify="each", inputs=given)


def test_a_name_that_given_inputs_contradict_is_forgotten():
    text = """<ir_version: 8, opset_import: ["" : 13]>
      g (float[N,M] x, float[N,M] z) => (float[N,M] y)
      { a = Add (x, z)  s = Shape (a)  e = Expand (x, s)  y = Relu (e) }"""
    given = {"x": np.ones((1, 4), np.float32), "z": np.ones((3, 4), np.float32)}
    pipeline = "infer-shapes,fold-constants,lower-expand,eliminate-identity"
    loaded = from_proto(parser.parse_model(text))
    report = regraft.run(loaded, pipeline, verify="each", inputs=given)
    assert report.notes == ["dimension 'N' is 1 and 3 in the given inputs: name dropped"]
    assert [t.shape for t in loaded.graph.inputs] == [[None, "M"], [None, "M"]]
    loaded = from_proto(parser.parse_model(text))
    assert not regraft.run(loaded, pipeline, verify="each", inputs={**given, "x": given["z"]}).notes
    assert "Expand" not in [n.op for n in loaded.graph.nodes]


@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["check", "--target", "onnxruntime"],
        ["verify", ...],
        ["diff", ...],
        ["run"],
        ["bench", ..., "--runs", "1"],
    ],
)
def test_commands_take_it(tmp_path, words):
    path = tmp_path / "m.onnx"
    proto = model([helper.make_node("Relu", ["x"], ["y"])], [info("x", -1, 3)], [info("y", -1, 3)])
    path.write_bytes(proto.SerializeToString())
    done = CliRunner().invoke(cli, [words[0], str(path), *(str(path) if w is ... else w for w in words[1:])])
    assert done.exit_code == 0, done.output
