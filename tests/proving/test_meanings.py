"""What each operator means here is what ONNX Runtime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from regraft.proving.call import Call, Known
from regraft.proving.denote import Denotation
from regraft.proving.domain import Domain
from regraft.proving.meanings import MEANINGS, meaning
from regraft.proving.reach import OutOfReach
from regraft.proving.tensor import axes_of, operand
from regraft.rewriting.facts import Axes, Operand
from regraft.rewriting.term import Apply, Number, Term, Var, op
from regraft.runtime import Session
from tests.proving import index_cases, network_cases, number_cases
from tests.proving.cases import SIZES, Case, hold, sized
from tests.proving.evaluate import Numbers

PAIRS = [("A",), ("A", "A"), ("B a", "a"), ("B a", "1"), ("a", ""), ("a 1", "b"), ("1 1", "B")]
UNARY = ["", "a", "B a", "A 1"]


def arithmetic() -> list[Case]:
    found = [Case(name, axes) for name in ("Add", "Sub", "Mul", "Div") for axes in PAIRS[1:6]]
    found += [Case(name, axes) for name in ("Max", "Min", "Sum") for axes in (*PAIRS[:6], ("a", "", "B a"))]
    plain = ("Neg", "Abs", "Relu", "Exp", "Asinh", "Atan", "Erf", "Sin", "Sinh", "Sigmoid", "Tanh", "Softplus")
    plain = (*plain, "Softsign", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Gelu", "Identity", "Reciprocal")
    found += [Case(name, (axes,)) for name in plain for axes in UNARY]
    found += [Case(name, ("B a",), positive=True) for name in ("Sqrt", "Log")]
    found += [Case("Pow", ("B a", e), positive=e % 1 != 0) for e in (2.0, 3.0, -1.0, 0.5, -1.5, 0.0, 1.0)]
    found += [Case("Clip", ("B a", low, high)) for low, high in ((-0.5, 0.5), (None, 0.3), (0.2, None), (0.5, -0.5))]
    found += [Case("HardSigmoid", ("a",), {"alpha": 0.3, "beta": 0.25}), Case("LeakyRelu", ("a",), {"alpha": 0.2})]
    return [*found, Case("Gelu", ("B a",), {"approximate": "tanh"})]


def truths() -> list[Case]:
    relations = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
    found = [Case(name, ("B a", "a"), kind=kind) for name in relations for kind in ("real", "integer")]
    found += [Case(name, ("B a", "a"), kind="boolean") for name in ("And", "Or", "Xor")]
    found += [Case("Not", ("B a",), kind="boolean"), Case("IsNaN", ("B a",))]
    found += [Case("Cast", ("B a",), {"to": to}, kind="boolean") for to in (1, 7)]
    found += [Case("Cast", ("B a",), {"to": to}, kind="integer") for to in (1, 9)]
    found += [Case("Cast", ("B a",), {"to": to}) for to in (1, 7, 9)]
    return [*found, Case("Where", ("c B a", "a", "")), Case("Where", ("a", "B a", "1")), Case("CastLike", ("a", "b"))]


def along_axes() -> list[Case]:
    found = []
    for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare"):
        for keep in (0, 1):
            found += [
                Case(name, ("B a",), {"axes": [-1], "keepdims": keep}),
                Case(name, ("a b k",), {"axes": [0, 2], "keepdims": keep}),
                Case(name, ("a 1 b",), {"axes": [1], "keepdims": keep}),
                Case(name, ("a b",), {"keepdims": keep}),
                Case(name, ("b A k",), {"axes": Axes("A"), "keepdims": keep}, {"axes": "A", "keepdims": keep}),
            ]
    for name in ("Softmax", "LogSoftmax"):
        found += [Case(name, ("B a",), {"axis": -1}), Case(name, ("a b",), {"axis": 0}), Case(name, ("a 1",), {})]
    norm = Case("LayerNormalization", ("B a", "a", "a"), {"axis": -1, "epsilon": 0.1})
    found += [norm, norm._replace(operands=("B a", "a")), norm._replace(operands=("k a b", "a b"), attrs={"axis": 1})]
    return found


def matrices() -> list[Case]:
    found = [Case("MatMul", axes) for axes in (("m k", "k n"), ("k", "k n"), ("m k", "k"), ("k", "k"))]
    found += [
        Case("MatMul", axes) for axes in (("B m k", "B k n"), ("B m k", "k n"), ("b m k", "1 k n"), ("B m k", "k"))
    ]
    for flags in ({}, {"transA": 1}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}):
        a, b = "k m" if "transA" in flags else "m k", "n k" if "transB" in flags else "k n"
        found += [Case("Gemm", (a, b, c), flags) for c in ("n", "m n", "m 1", "")] + [Case("Gemm", (a, b), flags)]
    equations = (("ij,jk->ik", "m k", "k n"), ("bij,bkj->bik", "b m k", "b n k"), ("ij->ji", "m k"), ("ij->", "m k"))
    return [*found, *(Case("Einsum", axes, {"equation": equation}) for equation, *axes in equations)]


def shapes() -> list[Case]:
    found = [Case("Transpose", ("a b k",), {"perm": [2, 0, 1]}), Case("Transpose", ("a b",), {})]
    found += [Case("Unsqueeze", ("a b",), {"axes": axes}) for axes in ([0], [1], [-1], [0, 3])]
    found += [Case("Squeeze", ("1 a 1",), {"axes": axes}) for axes in ([0], [-1], [0, 2])]
    found += [Case("Trilu", ("B r c",), {"upper": upper}) for upper in (0, 1)]
    return found + [Case("Trilu", ("B r c", k), {"upper": upper}) for upper in (0, 1) for k in (-1, 2)]


CASES = [
    *arithmetic(),
    *truths(),
    *along_axes(),
    *matrices(),
    *shapes(),
    *index_cases.CASES,
    *network_cases.CASES,
    *number_cases.CASES,
]
LATER = [*((case, 23) for case in network_cases.LATER), *((case, 24) for case in number_cases.LATER)]


@pytest.mark.parametrize(("case", "sizes"), sized(CASES), ids=lambda one: str(one) if isinstance(one, Case) else "")
def test_a_meaning_is_what_onnx_runtime_computes(case: Case, sizes: Any) -> None:
    hold(case, sizes)


@pytest.mark.parametrize(("case", "opset"), LATER, ids=str)
def test_a_meaning_of_a_later_operator_is_what_onnx_runtime_computes(case: Case, opset: int) -> None:
    hold(case, SIZES, opset)


def test_every_operator_is_held_against_onnx_runtime() -> None:
    assert MEANINGS.keys() == {case.op for case in (*CASES, *(case for case, _ in LATER))} | {
        "Split",
        "DynamicQuantizeLinear",
    }


@pytest.mark.parametrize(
    ("axis", "attrs", "sizes"),
    [(0, {}, [3, 3]), (0, {"split": [1, 5]}, [1, 5]), (1, {"split": [3, 1]}, [3, 1]), (-1, {}, [2, 2])],
)
def test_each_part_of_a_split(axis: int, attrs: dict[str, Any], sizes: list[int]) -> None:
    x = np.arange(24.0).reshape(6, 4)
    tensor = operand("x", axes_of("6 4"))
    for place, part in enumerate(np.split(x, np.cumsum(sizes)[:-1], axis)):
        call = Call("Split", (tensor,), {"axis": axis, **attrs}, (Var("x"),), outputs=2, place=place)
        found = MEANINGS["Split"](call)
        assert Numbers({"x": x}, {"x": "6 4"}, {}).array(found).tolist() == part.tolist()


@pytest.mark.parametrize("sign", [1.0, -1.0, None])
def test_each_output_of_a_dynamic_quantization(sign: float | None) -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    x = drawn if sign is None else np.abs(drawn) * np.float32(sign)
    outputs = [helper.make_empty_tensor_value_info(name) for name in "ysz"]
    node = helper.make_node("DynamicQuantizeLinear", ["x"], list("ysz"))
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    expected = Session(model, threads=1).run({"x": x})
    tensor = operand("x", axes_of("3 4"))
    for place, name in enumerate("ysz"):
        term = meaning(Call("DynamicQuantizeLinear", (tensor,), {}, (Known(tensor),), outputs=3, place=place))
        assert isinstance(term, Term)
        found = Numbers({"x": x}, {"x": "3 4"}, {}).array(Denotation({})(term))
        np.testing.assert_allclose(found, expected[name], rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_range_over_an_axis(rows: int) -> None:
    numbers = op.Range(np.array(0), op.Gather(op.Shape(Var("x")), np.array(-2)), np.array(1))
    meant = Denotation({"x": Operand("B r c")})(numbers)
    assert Numbers({}, {}, {"r": (rows,)}).array(meant).tolist() == list(range(rows))


@pytest.mark.parametrize("axes", PAIRS[1:4])
def test_operands_of_any_shape_broadcast(axes: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    shapes = {"x": (2, 3), "y": (3,) if "a" in axes else (1, 3)}
    values = {name: random.normal(size=shape) for name, shape in shapes.items()}
    meant = Denotation({"x": Operand(), "y": Operand()})(Var("x") * Var("y") - Var("x"))
    found = Numbers(values, {"x": "*", "y": "*"}, {"*": (2, 3)}).array(meant)
    np.testing.assert_allclose(found, values["x"] * values["y"] - values["x"])


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (Apply("Foo", (Var("x"),)), "no meaning in the table"),
        (Apply("Gelu", (Var("x"),), {}, "com.microsoft"), "com.microsoft::Gelu"),
        (Apply("Clip", (Var("x"), None, Var("y"))), "no scalars"),
        (Apply("Softmax", (Var("x"),), {"axis": 0}), "capitals are groups"),
        (Apply("Softmax", (Var("x"),), {"axis": Var("axis")}), "do not say what 'axis'"),
        (Apply("Softmax", (Var("x"),), {"axis": -1, "temperature": 2.0}), "has no 'temperature'"),
        (Apply("Pow", (Var("x"), Var("y"))), "Pow of real numbers by y"),
        (Apply("Log", (Var("i"),)), "Log of whole numbers"),
        (Apply("ReduceMean", (Var("i"),), {"axes": [-1]}), "ReduceMean of whole numbers"),
        (Apply("Pow", (Var("x"), Number(1e9))), r"a power of 1e\+09"),
        (Apply("Pow", (Apply("Add", (Var("x"), Var("y"))), Number(65.0))), "a power of 65"),
        (Apply("MatMul", (Var("y"), Var("z"))), "sums over a and b"),
        (Apply("Add", (Var("x"), Var("z"))), "a and b do not fit"),
        (Apply("Add", (Var("x"), Var("any"))), "any shape"),
        (Apply("ReduceSum", (Var("any"),), {"axes": [-1]}), "any shape"),
        (Apply("ReduceSum", (Var("x"),), {"axes": Axes("C")}), "no axis C"),
        (Apply("Transpose", (Var("x"),)), "groups"),
        (Apply("Squeeze", (Var("x"),), {"axes": [-1]}), "not known to be of size one"),
        (Apply("LayerNormalization", (Var("x"), Var("z")), {"axis": -1}), "other axes than it normalizes"),
        (Apply("LayerNormalization", (Var("x"), Var("y")), {"axis": Axes("B")}), "other axes than the last"),
    ],
    ids=str,
)
def test_what_is_not_known_is_out_of_reach(one: Term, reason: str) -> None:
    names = {"x": Operand("B a"), "y": Operand("a"), "z": Operand("b"), "i": Operand("a", "integer"), "any": Operand()}

    def element() -> None:
        meant = Denotation(names)(one)
        meant.elements(tuple(0 for _ in meant.axes), Domain())

    with pytest.raises(OutOfReach, match=reason):
        element()
