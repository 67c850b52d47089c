"""What each operator means here is what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from regraft.ir.graph import Variable
from regraft.proving.denote import Denotation
from regraft.proving.domain import Domain
from regraft.proving.meanings import MEANINGS
from regraft.proving.reach import OutOfReach
from regraft.proving.writer import written
from regraft.rewriting.facts import Axes, Operand
from regraft.rewriting.term import Apply, Given, Number, Term, Var, op, term
from regraft.runtime import Session
from tests.proving.evaluate import Numbers

SIZES = {"A": (2, 2), "B": (2,), "C": (3,), "a": (3,), "b": (2,), "k": (4,), "m": (2,), "n": (3,), "r": (3,), "c": (4,)}
RANKS = [SIZES, {**SIZES, "A": (3,), "B": (2, 1)}, {**SIZES, "A": (2,), "B": (), "C": ()}]


class Case(NamedTuple):
    """An operator on operands with some axes; `concrete` has the attributes as ONNX Runtime takes them.

    Operands that are no text are numbers.
    """

    op: str
    operands: tuple[Any, ...]
    attrs: Mapping[str, Any] = MappingProxyType({})
    concrete: dict[str, Any] | None = None
    kind: Any = "real"
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.op}({', '.join(map(str, self.operands))}) {dict(self.attrs) or ''}"


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


CASES = [*arithmetic(), *truths(), *along_axes(), *matrices(), *shapes()]


def operand_names(case: Case) -> tuple[dict[str, Any], list[Term | None]]:
    """The facts of the operands, and the terms that stand for them."""
    names: dict[str, Any] = {}
    terms: list[Term | None] = []
    for number, one in enumerate(case.operands):
        if isinstance(one, str):
            kind = "boolean" if case.op == "Where" and not number else case.kind
            names[f"x{number}"] = Operand(one, kind)
            terms.append(Var(f"x{number}"))
        else:
            given = np.array(one, np.int64) if case.op == "Trilu" else one
            terms.append(None if one is None else term(given))
    return names, terms


def drawn(operand: Operand, sizes: Any, random: np.random.Generator, positive: bool) -> np.ndarray:
    shape = [n for name in operand.axes.split() for n in ((1,) if name == "1" else sizes[name])]
    if operand.kind == "boolean":
        return random.random(shape) < 0.5
    if operand.kind == "integer":
        return random.integers(-2, 3, shape)
    values = random.normal(size=shape)
    return np.asarray(np.abs(values) + 0.1 if positive else values, np.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sizes", RANKS, ids=["ranks 2 1", "ranks 1 2", "ranks 1 0"])
def test_a_meaning_is_what_onnx_runtime_computes(case: Case, sizes: Any) -> None:
    random = np.random.default_rng(len(str(case)))
    names, terms = operand_names(case)
    values = {name: drawn(one, sizes, random, case.positive) for name, one in names.items()}
    meant = Denotation(names)(Apply(case.op, tuple(terms), dict(case.attrs)))
    concrete = dict(case.attrs if case.concrete is None else case.concrete)
    if concrete.get("axes") == "A":
        concrete["axes"] = list(range(1, 1 + len(sizes["A"])))
    inputs = tuple(Given(Variable(one.name)) if isinstance(one, Var) else one for one in terms)
    model = written(Apply(case.op, inputs, concrete), values, np.float32)
    expected = Session(model, threads=1).run(values)["result"]
    found = Numbers(values, {name: one.axes for name, one in names.items()}, sizes).array(meant)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected.astype(np.float64), rtol=2e-5, atol=2e-6)
    assert {"b": "boolean", "i": "integer", "f": "real"}[expected.dtype.kind] == meant.kind


def test_every_operator_is_held_against_onnx_runtime() -> None:
    others = {"Range", "Shape", "Gather"}
    assert MEANINGS.keys() == {case.op for case in CASES} | others


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
        (Apply("Div", (Var("i"), Var("i"))), "Div of whole numbers"),
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
