"""Values that follow from shapes: whatever is known of one is what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import onnx.parser
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from regraft import shapes
from regraft.files.convert import clone, from_proto
from regraft.ir.model import Model
from regraft.passes.fold_constants import FoldConstants
from regraft.pipelines.pass_base import Context
from regraft.shapes import dims
from regraft.verification.runtime import RuntimeFailure, Session

BINARY = ["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min"]
COMPARE = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]


@st.composite
def arithmetic(draw: st.DrawFn) -> Model:
    """A graph that computes with the shape of its input `a`, n x m x 4; every value is an output."""
    constants = {f"c{k}": np.array([k], np.int64) for k in (-2, -1, 0, 1, 2, 7)}
    constants |= {f"s{k}": np.array(k, np.int64) for k in (-1, 0, 1)}
    nodes = [helper.make_node("Shape", ["a"], ["shape"])]
    vectors = ["shape", *(name for name in constants if name[0] == "c")]
    for i in range(draw(st.integers(1, 8))):
        out = f"v{i}"
        kind = draw(
            st.sampled_from(["binary", "compare", "slice", "gather", "concat", "reduce", "range", "reshape", "neg"])
        )
        x, y, z = (draw(st.sampled_from(vectors)) for _ in range(3))
        lo, hi, step = (draw(st.sampled_from(["c-2", "c-1", "c0", "c1", "c2", "c7"])) for _ in range(3))
        if kind == "binary":
            nodes.append(helper.make_node(draw(st.sampled_from(BINARY)), [x, y], [out]))
        elif kind == "compare":
            nodes.append(helper.make_node(draw(st.sampled_from(COMPARE)), [x, y], [f"{out}_b"]))
            nodes.append(helper.make_node("Not", [f"{out}_b"], [f"{out}_n"]))
            nodes.append(helper.make_node("Where", [draw(st.sampled_from([f"{out}_b", f"{out}_n"])), x, z], [out]))
        elif kind == "slice":
            nodes.append(helper.make_node("Slice", [x, lo, hi, "c0", step if step != "c0" else "c1"], [out]))
        elif kind == "gather":
            nodes.append(
                helper.make_node("Gather", [x, draw(st.sampled_from(["s-1", "s0", "c0", "c-1"]))], [f"{out}_g"])
            )
            nodes.append(helper.make_node("Reshape", [f"{out}_g", "c-1"], [out]))
        elif kind == "concat":
            nodes.append(helper.make_node("Concat", [x, y, z], [out], axis=0))
        elif kind == "reduce":
            op = draw(st.sampled_from(["ReduceProd", "ReduceSum"]))
            nodes.append(helper.make_node(op, [x], [out], keepdims=1))
        elif kind == "range":
            nodes.append(helper.make_node("Gather", [x, "s0"], [f"{out}_l"]))
            nodes.append(helper.make_node("Range", ["s0", f"{out}_l", draw(st.sampled_from(["s1", "s-1"]))], [out]))
        elif kind == "reshape":
            nodes.append(helper.make_node("Unsqueeze", [x, "c0"], [f"{out}_u"]))
            nodes.append(helper.make_node("Flatten", [f"{out}_u"], [f"{out}_f"], axis=0))
            nodes.append(helper.make_node("Squeeze", [f"{out}_f", "c0"], [out]))
        else:
            nodes.append(helper.make_node("Neg", [x], [out]))
        vectors.append(out)
    made = [name for node in nodes for name in node.output]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", "m", 4])],
        [helper.make_value_info(name, helper.make_tensor_type_proto(_type(name), None)) for name in made],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return from_proto(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]))


def _type(name: str) -> int:
    return TensorProto.BOOL if name.endswith(("_b", "_n")) else TensorProto.INT64


@settings(max_examples=150, deadline=None)
@given(arithmetic(), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_what_is_known_is_what_is_computed(model: Model, n: int, m: int, static: bool) -> None:
    if static:
        model.graph.inputs[0].shape = [n, m, 4]
    feeds = {"a": np.zeros((n, m, 4), np.float32)}
    try:
        expected = Session(model).run(feeds)
    except RuntimeFailure:  # a division by zero, shapes that do not fit: nothing to compare
        return
    facts = shapes.analyse(model)
    for tensor in model.graph.outputs:
        fact, value = facts[tensor], expected[tensor.name]
        if fact.dims is not None:
            assert all(_at(d, n, m) in (None, size) for d, size in zip(fact.dims, value.shape, strict=True)), (
                tensor.name
            )
        for known, element in zip([] if fact.value is None else fact.value.flat, value.flat, strict=False):
            assert _at(known, n, m) in (None, element), (tensor.name, known)
    folded = clone(model)
    FoldConstants().run(folded, Context())
    results = Session(folded).run(feeds)
    assert all(np.array_equal(expected[name], results[name]) for name in expected)


def _at(dim: dims.Dim, n: int, m: int) -> int | None:
    """What `dim` is; None where it is unknown."""
    if not dims.is_named(dim):
        return None
    return int(eval(str(dim), {"min": min, "max": max, "floor": lambda x: x // 1, "n": n, "m": m}))


def test_a_product_of_dimensions_over_one_of_them_is_the_other() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[batch, seq] x) => (int64[k] y)
    <int64 zero = {0}, int64 one = {1}, float three = {3.5}> {
        s = Shape(x)  b = Gather(s, zero)  l = Gather(s, one)  all = Mul(l, b)  q = Div(all, b)
        first = CastLike(three, b)  step = CastLike(one, b)  y = Range(first, q, step)
    }"""
    facts = shapes.analyse(model := from_proto(onnx.parser.parse_model(text)))
    found = {t.name: facts[t].value for node in model.graph.nodes for t in node.outputs}
    assert [str(found[name]) for name in ("q", "first", "step")] == ["seq", "3", "1"]
