"""lower-one-hot: rows of a table, comparisons, whatever the axis, the types, the depth and the values."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.passes.lower_one_hot import CLIPS_INTEGERS, SMALL, LowerOneHot
from regraft.pipelines.pass_base import Context
from regraft.verification.runtime import Session

INDICES = np.array([[0, 1, 2, -1], [-3, -4, 3, 100], [-100, 2, 0, -2]])
"""In range from either end, and out of it on both sides; the depth is 3."""
TABLE = np.array([[1.5, -2.0], [0.25, -0.0], [-7.0, 3.0]])


def one_hot(
    index: np.ndarray, depth: object, values: object, *, axis: int = -1, opset: int = 17, stated: bool = True, **held
) -> Model:
    """OneHot of an input; of `depth` and `values` those are inputs too that are names of inputs, in `held`."""
    numbers = {"depth": depth, "values": values}
    inputs = {"i": index, **held}
    made = [numpy_helper.from_array(np.asarray(v), k) for k, v in numbers.items() if not isinstance(v, str)]
    names = [v if isinstance(v, str) else k for k, v in numbers.items()]
    kind = held[values] if isinstance(values, str) else np.asarray(values)
    to = helper.np_dtype_to_tensor_dtype(kind.dtype) if kind.dtype.kind != "O" else TensorProto.STRING
    nodes = [helper.make_node("OneHot", ["i", *names], ["y"], axis=axis)]
    given = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(v.dtype), [f"{name}{n}" for n in range(v.ndim)] if stated else None
        )
        for name, v in inputs.items()
    ]
    given = [value for value in given if value.name in ("i", *names)]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("y", to, None)], made)
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


def times_table(
    depth: int = 3,
    table: np.ndarray | None = None,
    *,
    opset: int = 17,
    axis: int = -1,
    values=(0, 1),
    cast: bool = False,
) -> Model:
    table = (TABLE if table is None else table).astype(np.float32)
    kind = np.int64 if cast else np.float32
    held = [
        numpy_helper.from_array(np.array(depth, np.int64), "depth"),
        numpy_helper.from_array(np.array(values, kind), "values"),
        numpy_helper.from_array(table, "table"),
    ]
    nodes = [helper.make_node("OneHot", ["i", "depth", "values"], ["hot"], axis=axis)]
    if cast:
        nodes.append(helper.make_node("Cast", ["hot"], ["floats"], to=1))
    nodes.append(helper.make_node("MatMul", ["floats" if cast else "hot", "table"], ["y"]))
    given = [helper.make_tensor_value_info("i", TensorProto.INT64, ["b", "s"])]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("y", 1, None)], held)
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 17, 21])
@pytest.mark.parametrize("cast", [False, True])
def test_a_row_of_a_table_is_looked_up(apply, opset, cast):
    found = apply(times_table(opset=opset, cast=cast), LowerOneHot(), inputs={"i": INDICES})
    assert "OneHot" not in found.ops
    assert opset < CLIPS_INTEGERS or found.ops == ["Clip", "Gather"]


def test_a_column_of_numbers_is_a_table_too(apply):
    assert apply(times_table(table=TABLE[:, 0]), LowerOneHot(), inputs={"i": INDICES}).ops == ["Clip", "Gather"]


@pytest.mark.parametrize(
    "model",
    [
        times_table(table=np.array([[np.inf, 1], [0, 1], [2, 3]])),  # 0 · inf is NaN
        times_table(values=(0, 2)),
        times_table(values=(1, 0)),
        times_table(axis=1, table=np.ones((4, 2))),  # what is hot stands along the other axis
        times_table(table=np.ones((3, SMALL // 3))),
    ],
    ids=["infinite", "other values", "turned", "other axis", "large"],
)
def test_other_products_stay(apply, model):
    found = apply(model, LowerOneHot(), inputs={"i": INDICES})
    assert "OneHot" not in found.ops
    assert found.ops[-1] == "MatMul"


@pytest.mark.parametrize(
    "reader", ["z = Neg(hot)", "z = Identity(hot)", "c = Cast <to = 7> (hot) z = Cast <to = 1> (c)"]
)
def test_one_that_something_else_reads_is_compared(apply, parse, reader):
    model = parse(
        "g (int64[3,4] i) => (float[3,4,2] y, float[3,4,3] z) <int64 d = {3}, float[2] v = {0, 1},"
        f" float[3,2] t = {{1, 2, 3, 4, 5, 6}}> {{ hot = OneHot(i, d, v) y = MatMul(hot, t) {reader} }}"
    )
    found = apply(model, LowerOneHot(), inputs={"i": INDICES})
    assert {"Equal", "MatMul"} <= set(found.ops)
    assert "OneHot" not in found.ops


def test_two_tables_are_looked_up_by_one(apply, parse):
    model = parse(
        "g (int64[3,4] i) => (float[3,4,2] y, float[3,4] z) <int64 d = {3}, float[2] v = {0, 1},"
        " float[3,2] t = {1, 2, 3, 4, 5, 6}, float[3] u = {1, 2, 3}>"
        " { hot = OneHot(i, d, v) y = MatMul(hot, t) z = MatMul(hot, u) }"
    )
    found = apply(model, LowerOneHot(), inputs={"i": INDICES})
    assert sorted(set(found.ops)) == ["Clip", "Gather"]


KINDS = [(np.int64, np.float32), (np.int32, np.float32), (np.float32, np.float32), (np.int64, np.int64)]
VALUES = [(0, 1), (1, 0), (-0.0, 1), (2.5, -3), (5, 5)]


@pytest.mark.parametrize(("values", "kinds", "axis"), [*product(VALUES, KINDS, (-1, 0, 1, -2))])
def test_values_types_and_axes(apply, values, kinds, axis):
    index, value = kinds
    values = np.array(values).astype(value)
    found = apply(
        one_hot(INDICES.astype(index), np.array(3, index), values, axis=axis),
        LowerOneHot(),
        inputs={"i": INDICES.astype(index)},
    )
    assert "OneHot" not in found.ops
    assert ("Where" in found.ops) == (values.tobytes() != np.array([0, 1], value).tobytes())


def test_indices_that_are_no_whole_numbers_are_cut(apply):
    index = np.array([[0.5, 1.0, -0.5, 2.0, np.nan, np.inf, -3.0, 2.9999]], np.float32)
    found = apply(
        one_hot(index, np.array(3.0, np.float32), np.array([0, 1], np.float32)), LowerOneHot(), inputs={"i": index}
    )
    assert "OneHot" not in found.ops


@pytest.mark.parametrize("opset", [9, 10, 11, 13])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_old_opsets(apply, opset, axis):
    model = one_hot(INDICES, np.array(3), np.array([0, 1], np.float32), axis=axis, opset=opset)
    assert "Equal" in apply(model, LowerOneHot(), inputs={"i": INDICES}).ops


@pytest.mark.parametrize("depth", [np.array(3), np.array([3]), np.array(1)])
def test_a_depth_of_any_form(apply, depth):
    model = one_hot(INDICES, depth, np.array([0, 1], np.float32))
    assert "OneHot" not in apply(model, LowerOneHot(), inputs={"i": INDICES}).ops


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("depth", [np.array(3), np.array([3])])
def test_a_depth_and_values_that_are_computed(apply, axis, depth):
    held = {"d": depth, "v": np.array([7, 9], np.float32)}
    model = one_hot(INDICES, "d", "v", axis=axis, **held)
    found = apply(model, LowerOneHot(), inputs={"i": INDICES, **held})
    assert {"Range", "Where"} <= set(found.ops)


def test_words_as_values():
    model = one_hot(INDICES, np.array(3), np.array(["no", "yes"], object))
    before = Session(model).run({"i": INDICES})["y"]
    LowerOneHot().run(model, Context("lower-one-hot"))
    assert [node.op for node in model.graph.nodes][-1] == "Where"
    assert np.array_equal(Session(model).run({"i": INDICES})["y"], before)


def test_a_rank_that_is_not_known(apply):
    model = one_hot(INDICES, np.array(3), np.array([0, 1], np.float32), axis=0, stated=False)
    found = apply(model, LowerOneHot(), inputs={"i": INDICES})
    assert found.ops == ["OneHot"]
    assert "the rank of 'i' is not known" in found.notes[0]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, np.uint32, np.uint64, np.float16])
def test_types_that_onnx_runtime_has_no_kernel_for_are_cast_to_one_that_holds_them(kind):
    """Held against what ONNX says, in numpy."""
    index = np.array([[0, 1, 2, 3, 100]]).astype(kind)
    if np.dtype(kind).kind != "u":
        index = np.concatenate([index, -index], axis=1)
    elif kind == np.uint64:
        index[0, 0] = 2**64 - 1
    model = one_hot(index, np.array(3), np.array([0, 1], np.float32))
    LowerOneHot().run(model, Context("lower-one-hot"))
    found = Session(model).run({"i": index})["y"]
    expected = np.zeros((*index.shape, 3), np.float32)
    for place, number in np.ndenumerate(index):
        if -3 <= int(number) <= 2:
            expected[(*place, int(number))] = 1
    assert np.array_equal(found, expected)


def test_google_bert_looks_its_token_types_up(artifacts, lower):
    model = regraft.load(artifacts / "tensorflow/tiny_seq32_op18.onnx")
    assert "OneHot" not in lower(model, LowerOneHot()).ops
