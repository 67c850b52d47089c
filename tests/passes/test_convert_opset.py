"""convert-opset: what each node becomes, that the outputs stay, and that a refusal touches nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

import regraft
from regraft.errors import PassError
from regraft.files.convert import clone, from_proto
from regraft.files.saving import to_proto
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.passes.convert_opset import ConvertOpset
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import Contract, exact, reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from tests.shares import diagonal

TARGETS = (11, 13, 14, 17, 18, 20, 21, 23, 24, 25, 26)
EXPORTS = (
    "pytorch/bert-cls-eager-dynamo.onnx",
    "pytorch/bert-cls-eager-ts.onnx",
    "pytorch/bert-cls-sdpa-dynamo.onnx",
    "pytorch/bert-cls-sdpa-ts.onnx",
    "pytorch/bert-qa-eager-dynamo.onnx",
    "pytorch/distilbert-sdpa-dynamo.onnx",
    "pytorch/distilbert-sdpa-ts.onnx",
    "pytorch/transformers-4.25.1-bert-qa/model.onnx",
    "tensorflow/tiny_seq32_op18.onnx",
)


def parse(text: str, opset: int) -> Model:
    return from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "local" : 1]>\n{text}'))


def convert(model: Model, version: int) -> Context:
    context = Context("convert-opset")
    ConvertOpset(version=version).run(model, context)
    check(model)
    with tempfile.TemporaryDirectory() as folder:
        onnx.checker.check_model(regraft.save(model, Path(folder, "model.onnx")), full_check=True)
    assert {graph.opset for graph in model.graphs()} == {version}
    return context


def ops(model: Model) -> list[str]:
    return [node.op for node in model.graph.nodes]


def assert_same(old: Model, new: Model, contract: Contract = exact, inputs: dict[str, Any] | None = None) -> None:
    inputs = make_inputs(old) if inputs is None else inputs
    drift = contract.check(snapshot(old, inputs), snapshot(new, inputs))
    assert drift.passed, str(drift)


def refusal(model: Model, version: int) -> str:
    """What is said, and that nothing was done."""
    before = to_proto(model).SerializeToString()
    with pytest.raises(PassError) as error:
        ConvertOpset(version=version).run(model, Context("convert-opset"))
    assert to_proto(model).SerializeToString() == before
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ real models


@pytest.mark.parametrize(("name", "version"), diagonal(3, EXPORTS, [11, 17, 26]))
def test_exports_compute_the_same(name: str, version: int, artifacts: Path) -> None:
    _export(artifacts / name, version)


@pytest.mark.slow
@pytest.mark.parametrize("version", [v for v in TARGETS if v not in (11, 17, 26)])
@pytest.mark.parametrize("name", EXPORTS)
def test_exports_compute_the_same_in_every_opset(name: str, version: int, artifacts: Path) -> None:
    _export(artifacts / name, version)


def _export(path: Path, version: int) -> None:
    model = regraft.load(path)
    source, before = model.opset, clone(model)
    convert(model, version)
    stays = "LayerNormalization" not in ops(before) or version >= 20
    assert_same(before, model, exact if stays and source <= version else reassociation.through(30))


@pytest.mark.parametrize("version", [11, 13, 17, 18, 23])
def test_there_and_back(version: int, artifacts: Path) -> None:
    model = regraft.load(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx")
    before, source = clone(model), model.opset
    convert(model, version)
    convert(model, source)
    assert ops(model) == ops(before)
    assert_same(before, model)


# ------------------------------------------------------------------------------------------------ form and meaning

FORMS = {
    "unsqueeze": (11, 13, "g (float[3] x) => (float[1,3,1] y) { y = Unsqueeze<axes=[0,2]>(x) }", ["Unsqueeze"]),
    "squeeze all": (11, 13, "g (float[1,3,1] x) => (float[3] y) { y = Squeeze(x) }", ["Squeeze"]),
    "mean": (17, 18, "g (float[2,3] x) => (float[2,1] y) { y = ReduceMean<axes=[-1]>(x) }", ["ReduceMean"]),
    "sum": (11, 13, "g (float[2,3] x) => (float[3] y) { y = ReduceSum<axes=[0],keepdims=0>(x) }", ["ReduceSum"]),
    "split": (11, 13, "g (float[5] x) => (float[2] y, float[3] z) { y, z = Split<split=[2,3]>(x) }", ["Split"]),
    "equal split": (13, 18, "g (float[4] x) => (float[2] y, float[2] z) { y, z = Split(x) }", ["Split"]),
    "clip": (9, 11, "g (float[5] x) => (float[5] y) { y = Clip<min=-0.5,max=0.5>(x) }", ["Clip"]),
    "pad": (9, 11, "g (float[5] x) => (float[8] y) { y = Pad<pads=[1,2],value=0.5>(x) }", ["Pad"]),
    "slice": (9, 11, "g (float[5,4] x) => (float[2,4] y) { y = Slice<axes=[0],starts=[1],ends=[3]>(x) }", ["Slice"]),
    "topk": (9, 11, "g (float[5] x) => (float[2] y, int64[2] i) { y, i = TopK<k=2>(x) }", ["TopK"]),
    "softmax of the last": (12, 13, "g (float[2,3] x) => (float[2,3] y) { y = Softmax(x) }", ["Softmax"]),
}


@pytest.mark.parametrize(("low", "high", "text", "expected"), FORMS.values(), ids=FORMS)
def test_attributes_become_inputs_and_back(low: int, high: int, text: str, expected: list[str]) -> None:
    before = parse(text, low)
    model = clone(before)
    convert(model, high)
    assert ops(model) == expected
    assert_same(before, model)
    convert(model, low)
    assert ops(model) == expected
    assert_same(before, model)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
def test_the_old_softmax_flattens(op: str) -> None:
    before = parse(f"g (float[2,3,4] x) => (float[2,3,4] y) {{ y = {op}<axis=1>(x) }}", 11)
    model = clone(before)
    convert(model, 17)
    assert sorted(ops(model)) == sorted(["Shape", "Flatten", op, "Reshape"])
    assert_same(before, model)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
def test_the_new_softmax_takes_an_inner_axis(op: str) -> None:
    before = parse(f"g (float[2,3,4] x) => (float[2,3,4] y) {{ y = {op}<axis=1>(x) }}", 13)
    model = clone(before)
    convert(model, 11)
    assert ops(model) == ["Transpose", op, "Transpose"]
    assert_same(before, model, reassociation)


DOWN = {
    "shape from": (17, 14, "g (float[2,3,4] x) => (int64[2] y) { y = Shape<start=1>(x) }", ["Shape", "Slice"]),
    "uneven split": (
        18,
        13,
        "g (float[5] x) => (float[3] y, float[2] z) { y, z = Split<num_outputs=2>(x) }",
        ["Split"],
    ),
    "integer clip": (
        12,
        11,
        "g (int64[5] x) => (int64[5] y) { a = Constant<value_int=-1>() b = Constant<value_int=2>() y = Clip(x,a,b) }",
        ["Constant", "Constant", "Less", "Where", "Greater", "Where"],
    ),
    "integer max": (12, 11, "g (int64[5] x, int64[5] z) => (int64[5] y) { y = Max(x, z) }", ["Greater", "Where"]),
    "allowzero": (
        14,
        13,
        "g (float[2,3] x) => (float[6] y) { s = Constant<value_ints=[6]>() y = Reshape<allowzero=1>(x, s) }",
        ["Constant", "Reshape"],
    ),
    "8-bit sum": (14, 13, "g (int8[5] x, int8[5] z) => (int8[5] y) { y = Add(x, z) }", ["Cast", "Cast", "Add", "Cast"]),
    "last index": (
        12,
        11,
        "g (int32[2,3] x) => (int64[2,1] y) { y = ArgMax<axis=1,select_last_index=1>(x) }",
        ["Slice", "Shape", "ArgMax", "Gather", "Sub", "Sub"],
    ),
    "trilu": (14, 13, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Trilu<upper=0>(x) }", None),
    "trilu of booleans": (14, 13, "g (bool[2,3,4] x) => (bool[2,3,4] y) { y = Trilu(x) }", None),
    "mish": (18, 11, "g (float[5] x) => (float[5] y) { y = Mish(x) }", None),
    "cast like": (19, 13, "g (float[5] x, int32[1] z) => (int32[5] y) { y = CastLike(x, z) }", ["Cast"]),
}


@pytest.mark.parametrize(("high", "low", "text", "expected"), DOWN.values(), ids=DOWN)
def test_what_is_new_is_written_out(high: int, low: int, text: str, expected: list[str] | None) -> None:
    before = parse(text, high)
    model = clone(before)
    convert(model, low)
    if expected is not None:
        assert sorted(ops(model)) == sorted(expected)
    assert_same(before, model, reassociation)


@pytest.mark.parametrize(
    ("opset", "text"),
    [
        (17, "g (float[2,3,4] x, float[4] s, float[4] b) => (float[2,3,4] y) { y = LayerNormalization(x, s, b) }"),
        (17, "g (float[2,3,4] x, float[3,4] s) => (float[2,3,4] y) { y = LayerNormalization<axis=1>(x, s) }"),
        (20, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Gelu(x) }"),
        (20, 'g (float[2,3,4] x) => (float[2,3,4] y) { y = Gelu<approximate="tanh">(x) }'),
        (23, "g (float[2,3,4] x, float[4] s) => (float[2,3,4] y) { y = RMSNormalization(x, s) }"),
        (24, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Swish<alpha=0.5>(x) }"),
        (23, "g (float[1,2,3,4] q, float[1,2,5,4] k, float[1,2,5,4] v) => (float[1,2,3,4] y) { y = Attention(q,k,v) }"),
    ],
)
@pytest.mark.parametrize("target", [11, 13, 16])
def test_operators_that_are_missing_are_written_out(opset: int, text: str, target: int) -> None:
    before = parse(text, opset)
    model = clone(before)
    convert(model, target)
    assert not {"LayerNormalization", "Gelu", "RMSNormalization", "Swish", "Attention"} & {*ops(model)}
    assert_same(before, model, reassociation.through(4))


def test_a_variance_does_not_cancel() -> None:
    before = parse("g (float[2,64] x, float[64] s) => (float[2,64] y) { y = LayerNormalization(x, s) }", 17)
    model = clone(before)
    convert(model, 13)
    random = np.random.default_rng(0)
    inputs = {"x": (1000 + random.normal(size=(2, 64))).astype(np.float32), "s": np.ones(64, np.float32)}
    assert_same(before, model, Contract("near", "", atol=1e-3), inputs)


def test_a_shared_constant_is_made_once() -> None:
    body = "y = Unsqueeze<axes=[0]>(x) z = Unsqueeze<axes=[0]>(x)"
    before = parse(f"g (float[3] x) => (float[1,3] y, float[1,3] z) {{ {body} }}", 11)
    model = clone(before)
    convert(model, 13)
    assert model.graph.nodes[0].inputs[1] is model.graph.nodes[1].inputs[1]
    assert_same(before, model)


def test_constants_that_nobody_reads_any_more_go() -> None:
    model = parse("g (float[3] x) => (float[1,3] y) { a = Constant<value_ints=[0]>() y = Unsqueeze(x, a) }", 13)
    convert(model, 11)
    assert ops(model) == ["Unsqueeze"]
    assert model.graph.nodes[0].attrs == {"axes": [0]}


# ------------------------------------------------------------------------------------------------ the whole model


def test_subgraphs_are_converted() -> None:
    before = parse(
        """g (float[3] x, bool c) => (float[1,3] y) {
            y = If(c) <then_branch = t () => (float[1,3] a) { a = Unsqueeze<axes=[0]>(x) },
                       else_branch = e () => (float[1,3] b) { n = Neg(x) b = Unsqueeze<axes=[0]>(n) }>
        }""",
        11,
    )
    model = clone(before)
    convert(model, 18)
    for flag in (True, False):
        assert_same(before, model, inputs={"x": np.ones(3, np.float32), "c": np.array(flag)})
    convert(model, 11)
    assert_same(before, model, inputs={"x": np.ones(3, np.float32), "c": np.array(True)})


FUNCTION = """g (float[2,3] x) => (float[2,1] y) { y = local.mean<axes=[1]>(x) }
<domain: "local", opset_import: ["" : 17]> mean <axes> (a) => (b) { n = Relu(a) b = ReduceMean<axes: ints = @axes>(n) }
"""


def test_functions_are_converted_with_their_attributes() -> None:
    before = parse(FUNCTION, 17)
    model = clone(before)
    convert(model, 20)
    assert [n.op for n in model.functions[0].nodes] == ["Relu", "Constant", "ReduceMean"]
    assert_same(before, model)
    convert(model, 17)
    assert [n.op for n in model.functions[0].nodes] == ["Relu", "ReduceMean"]
    assert_same(before, model)


def test_functions_take_their_types_from_their_calls() -> None:
    text = """g (float[2,3] x, float[3] s) => (float[2,3] y) { y = local.norm(x, s) }
    <domain: "local", opset_import: ["" : 17]> norm (a, s) => (b) { b = LayerNormalization(a, s) }"""
    before = parse(text, 17)
    model = clone(before)
    convert(model, 13)
    assert "LayerNormalization" not in [n.op for n in model.functions[0].nodes]
    assert_same(before, model, reassociation)


def test_a_function_of_the_name_of_an_operator_is_left_alone() -> None:
    text = """g (float[3] x) => (float[3] y) { y = Squeeze(x) }
    <opset_import: ["" : 11]> Squeeze (a) => (b) { b = Neg(a) }"""
    model = parse(text, 11)
    assert not convert(model, 13).changes


def test_metadata_and_names_stay() -> None:
    model = parse("g (float[3] x) => (float[1,3] y) { y = Unsqueeze<axes=[0]>(x) }", 11)
    node = model.graph.nodes[0]
    node.name, node.metadata, node.doc_string = "here", {"layer": "1"}, "why"
    context = convert(model, 13)
    assert model.graph.nodes[0] is node
    assert (node.name, node.metadata["layer"], node.doc_string) == ("here", "1", "why")
    assert [(c.removed, c.added) for c in context.changes] == [(("here",), ("here",))]


def test_what_is_added_inherits_the_metadata() -> None:
    model = parse("g (float[2,3] x) => (float[2,3] y) { y = Gelu(x) }", 20)
    model.graph.nodes[0].metadata = {"layer": "1"}
    convert(model, 17)
    assert all(n.metadata["layer"] == "1" for n in model.graph.nodes)


@pytest.mark.parametrize(("version", "expected"), [(9, 8), (17, 8), (21, 10), (25, 13)])
def test_the_ir_version_is_raised_and_never_lowered(version: int, expected: int) -> None:
    model = parse("g (float[3] x) => (float[3] y) { y = Relu(x) }", 13)
    convert(model, version)
    assert to_proto(model).ir_version == expected


def test_weights_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 11]> g (float[2,64] x) => (float[2,64,1] y) '
        "{ m = MatMul(x, w) y = Unsqueeze<axes=[2]>(m) }"
    )
    proto.graph.initializer.append(weight)
    onnx.save(proto, tmp_path / "m.onnx")
    model = regraft.load(tmp_path / "m.onnx")
    monkeypatch.setattr("regraft.ir.weights.Stored.load", lambda self: pytest.fail("a weight was read"))
    ConvertOpset(version=18).run(model, Context("convert-opset"))
    assert ops(model) == ["MatMul", "Unsqueeze"]


def test_nothing_happens_in_the_same_opset() -> None:
    model = parse("g (float[3] x) => (float[3] y) { y = Relu(x) }", 13)
    before = to_proto(model).SerializeToString()
    assert not convert(model, 13).changes
    assert to_proto(model).SerializeToString() == before


# ------------------------------------------------------------------------------------------------ refusals


SCATTERED = "float[3] x, int64[1,1] i, float[1] u"


@pytest.mark.parametrize(
    ("opset", "version", "text", "said"),
    [
        (13, 11, "g (float[3] x, int64[1] a) => (float[N,M] y) { y = Unsqueeze(x, a) }", "axes 'a' is no constant"),
        (18, 17, "g (int32[3] x) => (int32[3] y) { y = BitwiseNot(x) }", "BitwiseNot came with opset 18"),
        (19, 18, 'g (float[3] x, int64[2] p) => (float[N] y) { y = Pad<mode="wrap">(x, p) }', "mode=wrap"),
        (14, 13, "g (float[0,3] x, int64[2] s) => (float[N,M] y) { y = Reshape<allowzero=1>(x, s) }", "allowzero"),
        (13, 11, "g (float[3] x, bool t) => (float[3] y) { y = Dropout(x, , t) }", "strip-dropout"),
        (9, 12, "g (float[3] x) => (float[3] m) { y, m = Dropout(x) }", "its mask is undefined in inference"),
        (16, 15, f'g ({SCATTERED}) => (float[3] y) {{ y = ScatterND<reduction="add">(x, i, u) }}', "reduction"),
        (13, 8, "g (float[3] x) => (float[3] y) { y = Relu(x) }", "9 to"),
        (13, 99, "g (float[3] x) => (float[3] y) { y = Relu(x) }", "opset 99"),
        (19, 13, "g (string[3] x, string[3] z) => (bool[3] y) { y = Equal(x, z) }", "no Equal of tensor(string)"),
        (5, 11, "g (float[3] x, float[3] z) => (float[3] y) { y = Add(x, z) }", "opset 5"),
    ],
)
def test_what_cannot_be_said_is_refused(opset: int, version: int, text: str, said: str) -> None:
    message = refusal(parse(text, opset), version)
    assert said in message


def test_what_a_branch_gives_is_not_widened() -> None:
    branches = "then_branch = t () => (bfloat16[n] a) { a = Identity(x) }, else_branch = e () => (bfloat16[n] b)"
    text = f"g (bfloat16[n] x, bool c) => (bfloat16[n] y) {{ y = If (c) <{branches} {{ b = Add(x, x) }}> }}"
    assert "it has no If of tensor(bfloat16)" in refusal(parse(text, 18), 13)


def test_a_refusal_names_the_node() -> None:
    model = parse("g (float[3] x, int64[1] a) => (float[N,M] y) { y = Unsqueeze(x, a) }", 13)
    model.graph.nodes[0].name = "culprit"
    assert refusal(model, 11).startswith("node 'culprit' (Unsqueeze): opset 12 cannot express it: ")


def foreign(op: str, opset: int) -> Model:
    """A model of one node whose operator ONNX does not define in `opset`."""
    info = [helper.make_tensor_value_info(name, 1, [2, 3]) for name in "xy"]
    scale = numpy_helper.from_array(np.ones(3, np.float32), "s")
    graph = helper.make_graph([helper.make_node(op, ["x", "s"], ["y"])], "g", info[:1], info[1:], [scale])
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


def test_an_operator_of_a_runtime_is_left_as_it_is() -> None:
    for version in (9, 17, 20):
        model = foreign("SimplifiedLayerNormalization", 13)
        regraft.run(model, [ConvertOpset(version=version)])
        (node,) = to_proto(model).graph.node
        assert (node.op_type, node.domain, model.opset) == ("SimplifiedLayerNormalization", "", version)


def test_what_onnx_took_over_becomes_its_own() -> None:
    model = foreign("LayerNormalization", 13)
    regraft.run(model, [ConvertOpset(version=16)])
    assert model.graph.nodes[0].domain
    convert(model, 20)
    assert model.graph.nodes[0].domain is None
    convert(model, 13)
    assert "LayerNormalization" not in [node.op for node in model.graph.nodes]


def test_a_runtimes_own_operator_is_not_taken_for_one_that_onnx_has_later() -> None:
    model = foreign("GroupNormalization", 13)
    assert "need not be the one that is meant" in refusal(model, 20)
    regraft.run(model, [ConvertOpset(version=17)])
    assert model.opset == 17


@pytest.mark.parametrize(
    ("op", "attrs", "shape"),
    [
        ("ScaledTanh", {"alpha": 1.5, "beta": 0.5}, [2, 3]),
        ("ParametricSoftplus", {"alpha": 1.5, "beta": 0.5}, [2, 3]),
        ("Affine", {"alpha": 1.5, "beta": 0.5}, [2, 3]),
        ("Scale", {"scale": 2.0}, [2, 3]),
        ("Crop", {"border": [1, 1, 1, 1]}, [1, 2, 4, 5]),
        ("ImageScaler", {"scale": 0.5, "bias": [1.0, 2.0]}, [1, 2, 3, 3]),
    ],
)
def test_what_onnx_runtime_takes_in_old_opsets_only_keeps_the_opset(op: str, attrs: Any, shape: list[int]) -> None:
    info = [helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, [None] * len(shape))]
    nodes = [helper.make_node(op, ["x"], ["t"], **attrs), helper.make_node("Neg", ["t"], ["y"])]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=8)
    model = from_proto(proto)
    assert "takes it up to opset 9" in refusal(model, 11)
    regraft.run(model, "convert-opset{version=20,otherwise=keep}", verify="final")
    assert model.opset == 7
    regraft.run(model, "convert-opset{version=9}", verify="each")
    assert model.opset == 9


def test_a_node_that_cannot_follow_may_keep_the_opset() -> None:
    model = parse("g (float[N,2,h,w] x, float[4] s) => (float[N,2,H,W] y) { y = Resize(x, s) }", 10)
    before = to_proto(model).SerializeToString()
    (one,) = regraft.run(model, "convert-opset{version=20,only=older,otherwise=keep}").passes
    assert to_proto(model).graph.SerializeToString() == onnx.ModelProto.FromString(before).graph.SerializeToString()
    assert model.opset == 10
    assert "kept opset 10: node 'y' (Resize)" in one.notes[0]
    with pytest.raises(PassError, match="not among those"):
        regraft.run(model, "convert-opset{version=99,otherwise=keep}")


@pytest.mark.parametrize("rounding", ["floor", "round_prefer_floor"])
@pytest.mark.parametrize(("size", "new"), [(4, 8), (5, 15), (6, 3), (8, 2), (7, 10), (5, 3), (9, 4), (3, 7)])
def test_resize_of_tensorflow(rounding: str, size: int, new: int) -> None:
    text = (
        f"g (float[1,1,{size},3] x) => (float[a,b,c,d] y) <float[0] none = {{}}, int64[4] s = {{1,1,{new},6}}> {{ y ="
        f'Resize<coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="{rounding}">(x, none, none, s) }}'
    )
    model = parse(text, 12)
    x = {"x": np.arange(size * 3, dtype=np.float32).reshape(1, 1, size, 3)}
    before = snapshot(model, x)
    convert(model, 20)
    assert np.array_equal(snapshot(model, x)["y"], before["y"])


@pytest.mark.parametrize("attrs", ['nearest_mode="ceil"', 'mode="linear"'])
def test_resize_of_tensorflow_without_a_form(attrs: str) -> None:
    resize = f'Resize<coordinate_transformation_mode="tf_half_pixel_for_nn", {attrs}>(x, none, s)'
    constants = "float[0] none = {}, float[4] s = {1,1,2,2}"
    model = parse(f"g (float[1,1,4,3] x) => (float[a,b,c,d] y) <{constants}> {{ y = {resize} }}", 12)
    assert "tf_half_pixel_for_nn" in refusal(model, 13)


def test_a_note_tells_of_a_doubt() -> None:
    model = parse("g (float[N,3] x, int64[1] s) => (float[M] y) { y = Reshape<allowzero=1>(x, s) }", 14)
    assert "copy a dimension" in convert(model, 13).notes[0]


@pytest.mark.parametrize(("opset", "only", "expected"), [(13, "older", 17), (18, "older", 18), (18, "newer", 17)])
def test_older_or_newer_models_alone_are_converted(opset: int, only: str, expected: int) -> None:
    model, context = parse("main (float[2] x) => (float[2] y) { y = Relu(x) }", opset), Context("convert-opset")
    ConvertOpset(version=17, only=only).run(model, context)
    assert model.opset == expected
    assert any("opset" in note for note in context.notes) == (expected == opset)
