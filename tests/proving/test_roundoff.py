"""Bounds of rounding errors hold on every run, and are not far above what is there."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from regraft.analysis.value_ranges import ValueRanges
from regraft.models import chain
from regraft.ops.traits import MOVES
from regraft.passes.lower_softmax import log_softmax, softmax
from regraft.pipelines import manager
from regraft.proving.intervals import erf
from regraft.proving.roundoff import Rounding, Roundings, apart, box, recorded
from regraft.proving.roundoff_elementwise import UNITS
from regraft.proving.roundoff_rules import RULES
from regraft.proving.writer import RESULT
from regraft.rewriting import formula
from regraft.rewriting.term import Apply, op
from regraft.verification.runtime import Session
from tests.growth import calls
from tests.proving.regions import Ranges, bound, computed, drawn, evaluated, exact, loaded, proto

HALF, SINGLE = np.float16, np.float32
EPS = 1e-5


class Case(NamedTuple):
    """One region in several forms, the first of which double precision has.

    Attributes:
        loose: the bound is at most so many times the largest error that was seen.
        dtypes: in which all forms have a bound.
    """

    forms: tuple[Any, ...]
    shapes: dict[str, tuple[int, ...]]
    ranges: Ranges
    loose: float = 1000.0
    dtypes: tuple[Any, ...] = (SINGLE, HALF)


def norm(form: str) -> Any:
    return lambda x, scale, bias: formula.layer_norm(x, scale, bias, [-1], EPS, form)  # type: ignore[arg-type]


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    return op.LayerNormalization(x, scale, bias, axis=-1, epsilon=EPS)


def heads(q: Any, k: Any, v: Any, weights: Any) -> Any:
    scores = q @ op.Transpose(k, perm=[0, 2, 1]) * 0.25
    return weights(scores) @ v


def filled_like(x: Any) -> Any:
    return op.CastLike(op.ConstantOfShape(op.Shape(x)), x)


def written_out(x: Any) -> Any:
    return softmax(x, [-1])


def feed_forward(gelu: Any) -> Any:
    return lambda x, v, w: gelu(x @ v) @ w


X = {"x": (4, 16)}
NORM = {"x": (8, 64), "scale": (64,), "bias": (64,)}
HEADS = {"q": (2, 8, 16), "k": (2, 8, 16), "v": (2, 8, 16)}
WIDE = {"x": (-4.0, 4.0)}
NORM_BOX = {"x": (-4.0, 4.0), "scale": (0.5, 2.0), "bias": (-1.0, 1.0)}
HEADS_BOX = {"q": (-2.0, 2.0), "k": (-2.0, 2.0), "v": (-2.0, 2.0)}

PADS = np.array([0, 0, 1, 0, 0, 1])

CASES = {
    "softmax": Case((written_out, lambda x: op.Softmax(x, axis=-1)), X, WIDE),
    "log-softmax": Case((lambda x: log_softmax(x, [-1]), lambda x: op.LogSoftmax(x, axis=-1)), X, WIDE),
    "gelu": Case((formula.erf_gelu, lambda x: op.Gelu(x)), X, WIDE),
    "gelu by tanh": Case((formula.tanh_gelu, lambda x: op.Gelu(x, approximate="tanh")), X, WIDE),
    "sigmoid": Case((lambda x: 1.0 / (1.0 + op.Exp(-x)), lambda x: op.Sigmoid(x)), X, WIDE),
    "mean": Case((lambda x: op.ReduceMean(x, axes=[-1]), lambda x: op.ReduceSum(x, axes=[-1]) * (1 / 16)), X, WIDE),
    "sum of 1,000": Case(
        (lambda x: op.ReduceSum(x, axes=[0, 1]), lambda x: op.ReduceSum(op.ReduceSum(x, axes=[0]), axes=[1])),
        {"x": (40, 25)},
        WIDE,
        3000,
    ),
    "norm": Case(
        (norm("pow"), norm("mul"), norm("rsqrt"), layer_norm),
        NORM,
        NORM_BOX,
        20_000,
    ),
    "norm, folded": Case((norm("pow"), norm("fold")), NORM, NORM_BOX, math.inf, (SINGLE,)),
    "products": Case(
        (lambda x, v, w: x @ v @ w, lambda x, v, w: x @ (v @ w)),
        {"x": (4, 16), "v": (16, 32), "w": (32, 8)},
        {"x": (-1.0, 1.0), "v": (-0.5, 0.5), "w": (-0.5, 0.5)},
    ),
    "feed-forward": Case(
        (feed_forward(formula.erf_gelu), feed_forward(lambda x: op.Gelu(x))),
        {"x": (4, 16), "v": (16, 32), "w": (32, 8)},
        {"x": (-1.0, 1.0), "v": (-0.5, 0.5), "w": (-0.5, 0.5)},
    ),
    "attention": Case(
        (
            lambda q, k, v: heads(q, k, v, written_out),
            lambda q, k, v: heads(q, k, v, lambda x: op.Softmax(x, axis=-1)),
            lambda q, k, v: heads(q * 0.25, k, v, lambda x: op.Softmax(x * 4.0, axis=-1)),
        ),
        HEADS,
        HEADS_BOX,
        10_000,
    ),
    "division": Case(
        (lambda x, y: x / y, lambda x, y: x * op.Reciprocal(y)), {"x": (4, 16), "y": (4, 16)}, {**WIDE, "y": (0.5, 3.0)}
    ),
    "roots and powers": Case(
        (lambda x: op.Sqrt(x) * x, lambda x: x**1.5, lambda x: op.Exp(1.5 * op.Log(x))), X, {"x": (0.1, 4.0)}
    ),
    "clip": Case((lambda x: op.Clip(x * 0.3, -0.5, 0.5), lambda x: op.Max(op.Min(x * 0.3, 0.5), -0.5)), X, WIDE),
    "one of two": Case(
        (lambda x, y: op.Where(op.Greater(x, y), x, y) * 0.1, lambda x, y: op.Max(x, y) * 0.1),
        {"x": (4, 16), "y": (4, 16)},
        {**WIDE, "y": (-4.0, 4.0)},
    ),
    "Gemm": Case(
        (
            lambda x, v, c: op.Transpose(x, perm=[1, 0]) @ op.Transpose(v, perm=[1, 0]) * 0.5 + c * 2.0,
            lambda x, v, c: op.Gemm(x, v, c, alpha=0.5, beta=2.0, transA=1, transB=1),
            lambda x, v, c: op.Einsum(x, v, equation="ki,jk->ij") * 0.5 + c * 2.0,
        ),
        {"x": (16, 4), "v": (8, 16), "c": (8,)},
        {**WIDE, "v": (-1.0, 1.0), "c": (-1.0, 1.0)},
    ),
    "convolution": Case(
        (lambda x, w, b: op.Conv(x, w, b, pads=[1, 1]), lambda x, w, b: op.Conv(op.Pad(x, PADS), w, b)),
        {"x": (1, 3, 8), "w": (4, 3, 3), "b": (4,)},
        {**WIDE, "w": (-1.0, 1.0), "b": (-1.0, 1.0)},
    ),
    "squares": Case(
        (
            lambda x: op.ReduceSum(x * x, axes=[-1]) - op.ReduceMin(op.Abs(x), axes=[-1]),
            lambda x: op.ReduceSumSquare(x, axes=[-1]) + op.Neg(op.ReduceMin(op.Abs(x), axes=[-1])),
        ),
        X,
        WIDE,
    ),
    "merged": Case(
        (
            lambda x: op.Trilu(op.Concat(x * 0.3, op.Relu(x), axis=0), upper=1),
            lambda x: op.Trilu(op.Concat(op.Sum(x * 0.1, x * 0.1, x * 0.1), op.Max(x, 0.0), axis=0), upper=1),
            lambda x: op.Trilu(op.Concat(x * 0.3, op.Max(x, filled_like(x)), axis=0), upper=1),
        ),
        X,
        WIDE,
    ),
    "widened": Case(
        (
            lambda x: op.Softplus(x) * 0.3,
            lambda x: op.CastLike(op.Cast(op.Softplus(x), to=1) * np.array(0.3, SINGLE), x),
        ),
        X,
        WIDE,
        dtypes=(SINGLE,),
    ),
    "waves": Case((lambda x: op.Sin(x) - op.Cos(x), lambda x: -(op.Cos(x) - op.Sin(x))), X, WIDE),
}
SEEDS = range(24)


def measured(case: Case, dtype: Any) -> tuple[list[Rounding], list[float], list[float]]:
    """The bounds of the forms, the largest errors seen of each, and the largest distances from the first."""
    first = drawn(case.ranges, case.shapes, dtype, 0)
    models = [proto(form, first, dtype) for form in case.forms]
    bounds = [bound(model, case.ranges) for model in models]
    errors, distances = [0.0] * len(models), [0.0] * len(models)
    for seed in SEEDS:
        inputs = drawn(case.ranges, case.shapes, dtype, seed)
        reference = exact(case.forms[0], inputs)
        plain = computed(models[0], inputs)
        for number, model in enumerate(models):
            found = [computed(model, inputs)]
            if case.forms[number] is not layer_norm or dtype is SINGLE:  # which numpy computes in half precision
                found.append(evaluated(model, inputs))
            errors[number] = max(errors[number], *(float(np.abs(one - reference).max()) for one in found))
            distances[number] = max(distances[number], *(float(np.abs(one - plain).max()) for one in found))
    return bounds, errors, distances


@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name, case in CASES.items() for dtype in case.dtypes])
def test_no_error_is_above_its_bound(name: str, dtype: Any) -> None:
    case = CASES[name]
    bounds, errors, distances = measured(case, dtype)
    assert [found.reason for found in bounds] == [None] * len(bounds)
    for found, error, distance in zip(bounds, errors, distances, strict=True):
        assert error <= found.error  # type: ignore[operator]
        assert distance <= apart(bounds[0], found).error  # type: ignore[operator]
        assert found.error <= case.loose * error  # type: ignore[operator]


def test_every_rule_is_held_against_onnx_runtime() -> None:
    seen = {
        node.op_type
        for case in CASES.values()
        for form in case.forms
        for node in proto(form, drawn(case.ranges, case.shapes, SINGLE, 0), SINGLE).graph.node
    }
    assert RULES.keys() <= seen | MOVES


def test_bounds_in_double_precision_are_those_in_single_with_more_digits() -> None:
    for name in ("gelu", "softmax", "feed-forward", "division", "roots and powers"):
        case = CASES[name]
        single, double = (
            bound(proto(case.forms[0], drawn(case.ranges, case.shapes, dtype, 0), dtype), case.ranges).error
            for dtype in (SINGLE, np.float64)
        )
        assert double == pytest.approx(single * 2.0**-29, rel=1e-2)  # type: ignore[operator]


def test_the_folded_form_of_a_norm_has_no_bound_in_half_precision() -> None:
    """It divides by a deviation that nothing keeps away from what rounding moves it by."""
    case = CASES["norm, folded"]
    found = bound(proto(case.forms[1], drawn(case.ranges, case.shapes, HALF, 0), HALF), case.ranges)
    assert found.error is None
    assert found.reason is not None
    assert found.reason.why == "division"


# ------------------------------------------------------------------------------------------------- terms at random


UNARY = (
    lambda x: op.Exp(op.Clip(x, -2.0, 2.0)),
    lambda x: op.Tanh(x),
    lambda x: op.Erf(x),
    lambda x: op.Sigmoid(x),
    lambda x: op.Sqrt(op.Abs(x) + 0.1),
    lambda x: op.Log(op.Abs(x) + 0.5),
    lambda x: op.Relu(x),
    lambda x: -x,
    lambda x: x * x * 0.25,
    lambda x: x**2.0 * 0.25,
    lambda x: op.Softmax(x, axis=-1),
    lambda x: x - op.ReduceMean(x, axes=[-1]),
    lambda x: x - op.ReduceMax(x, axes=[-1]),
    lambda x: op.ReduceSum(x, axes=[-1]) * 0.1,
    lambda x: norm("pow")(x, 1.0, 0.0),
    formula.erf_gelu,
)
BINARY = (
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y * 0.5,
    lambda x, y: x / (op.Abs(y) + 0.5),
    lambda x, y: op.Max(x, y),
    lambda x, y: op.Min(x, y),
    lambda x, y: op.Where(op.Less(op.Relu(x) * 0.0, 1.0), x, y),
    lambda x, y: x @ op.Transpose(y, perm=[1, 0]) @ y * 0.05,
)


def grown(seed: int) -> Any:
    """A term of two inputs, of up to eight steps."""

    def form(x: Any, y: Any) -> Any:
        random = np.random.default_rng(seed)
        known = [x, y]
        for _ in range(int(random.integers(2, 9))):
            one, other = (known[int(random.integers(len(known)))] for _ in range(2))
            if random.random() < 0.5:
                known.append(UNARY[int(random.integers(len(UNARY)))](one))
            else:
                known.append(BINARY[int(random.integers(len(BINARY)))](one + x * 0.0, other + y * 0.0))
        return known[-1]

    return form


@pytest.mark.parametrize("dtype", [SINGLE, HALF], ids=["single", "half"])
def test_bounds_of_random_terms_hold(dtype: Any) -> None:
    ranges, shapes = {"x": (-2.0, 2.0), "y": (-1.0, 3.0)}, {"x": (4, 8), "y": (4, 8)}
    bounded = 0
    for seed in range(120):
        form = grown(seed)
        made = proto(form, drawn(ranges, shapes, dtype, 0), dtype)
        found = bound(made, ranges)
        if found.error is None:
            assert found.reason is not None
            assert found.reason.why in ("division", "domain", "overflow")
            continue
        bounded += 1
        for trial in range(4):
            inputs = drawn(ranges, shapes, dtype, seed * 4 + trial)
            reference = exact(form, inputs)
            assert found.low - 1e-9 <= reference.min()
            assert reference.max() <= found.high + 1e-9
            for run in (computed, evaluated):
                assert np.abs(run(made, inputs) - reference).max() <= found.error, seed
    assert bounded >= (110 if dtype is SINGLE else 70)


# ------------------------------------------------------------------------------------------- what stands in the way


def result_of(form: Any, ranges: Ranges, dtype: Any = SINGLE, **shapes: tuple[int, ...]) -> Rounding:
    inputs = {name: np.zeros(shapes.get(name, (4, 8)), dtype) for name in ranges}
    return bound(proto(form, inputs, dtype), ranges)


BOX = {"x": (-2.0, 2.0)}


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (lambda x: 1.0 / x, "division"),
        (lambda x: 1.0 / op.ReduceSum(x, axes=[-1]), "division"),
        (lambda x: op.Log(x), "domain"),
        (lambda x: op.Sqrt(x), "domain"),
        (lambda x: op.Exp(x * 1000.0), "domain"),
        (lambda x: op.Pow(x, 0.3), "domain"),
        (lambda x: op.Asinh(x), "operator"),
        (lambda x: op.Where(op.Greater(x * 0.3, 0.1), x, 0.0), "choice"),
        (lambda x: op.Where(op.Greater(x, 0.1), x, 0.0), "choice"),  # where 0.1 is rounded
        (lambda x: op.Cast(op.Cast(x * 0.3, to=7), to=1), "choice"),
        (lambda x: op.Gather(x, op.ArgMax(x * 0.3, axis=0, keepdims=0)), "choice"),
        (lambda x: x + float("-inf"), "range"),
        (lambda x: op.Exp(op.Exp(op.Exp(x * 0.5))) ** 8.0, "overflow"),
    ],
)
def test_what_has_no_bound_says_why(form: Any, why: str) -> None:
    found = result_of(form, BOX)
    assert found.error is None
    assert found.reason is not None
    assert found.reason.why == why


@pytest.mark.parametrize(
    "form",
    [
        lambda x: op.Where(op.Greater(x * 0.3, 0.7), x, 0.0),  # of which rounding changes nothing
        lambda x: op.Where(op.Greater(x, 0.5), x * 0.3, 0.0),  # of what is given
        lambda x: op.Gather(x, op.ArgMax(x, axis=0, keepdims=0)),
        lambda x: op.Cast(op.Cast(x, to=7), to=1),
        lambda x: op.Reshape(x * 0.3, op.Shape(op.Transpose(x * 0.7, perm=[1, 0]))),
        lambda x: 1.0 / (op.Abs(x) + 0.5),
    ],
)
def test_what_is_chosen_by_exact_numbers_has_a_bound(form: Any) -> None:
    assert result_of(form, BOX).error is not None


def test_a_range_that_is_not_known_infinite_or_empty() -> None:
    made = proto(lambda x, y: x + y, {"x": np.zeros(3, SINGLE), "y": np.zeros(3, SINGLE)}, SINGLE)
    found = bound(made, {"x": (0.0, 1.0)})
    assert found.reason == ("range", "y", "its range is not known")
    assert bound(made, {"x": (0.0, 1.0), "y": (0.0, math.inf)}).reason == found.reason
    assert bound(made, {"x": (0.0, 1.0), "y": (1.0, 0.0)}).reason == found.reason


def test_a_sum_of_open_size_has_no_bound() -> None:
    made = proto(lambda x: op.ReduceSum(x, axes=[-1]), {"x": np.zeros((2, 3), SINGLE)}, SINGLE)
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "n"
    found = bound(made, BOX)
    assert found.reason is not None
    assert found.reason.why == "size"


@pytest.mark.parametrize("is_first", [True, False])
def test_of_weights_that_are_known_the_sums_count(is_first: bool) -> None:
    x = np.random.default_rng(0).uniform(-2, 2, (4, 16)).astype(SINGLE)
    w = np.random.default_rng(1).normal(size=(16, 8)).astype(SINGLE)

    def form(x: Any) -> Any:
        return op.MatMul(w.T, op.Transpose(x, perm=[1, 0])) if is_first else op.MatMul(x, w)

    made = proto(form, {"x": x}, SINGLE)
    found = bound(made, BOX)
    any_weights = bound(proto(lambda x, w: x @ w, {"x": x, "w": w}, SINGLE), {**BOX, "w": (-3.0, 3.0)})
    expected = x.astype(np.float64) @ w.astype(np.float64)
    assert np.abs(computed(made, {"x": x}) - (expected.T if is_first else expected)).max() <= found.error  # type: ignore[operator]
    most = 2.0 * float(np.abs(w).sum(0).max())
    assert found.high == pytest.approx(most, rel=1e-5)
    assert found.error < 0.75 * any_weights.error  # type: ignore[operator]


def test_a_region_ends_at_its_leaves() -> None:
    made = proto(lambda x: op.Asinh(x) * 0.3, {"x": np.zeros(3, SINGLE)}, SINGLE)
    model, values = loaded(made)
    inner = next(node for node in model.graph.nodes if node.op == "Asinh").outputs[0]
    found = Roundings(model).bound(values[RESULT], {inner: box(-1, 1)})
    assert found.error == pytest.approx(2 * 2**-24 * 0.3, rel=1e-3)  # the constant's rounding, and the product's


def test_ranges_of_a_run_and_of_the_analysis() -> None:
    made = proto(lambda x: op.Sigmoid(x) * 0.3, {"x": np.zeros(3, SINGLE)}, SINGLE)
    model, values = loaded(made)
    inner = next(node for node in model.graph.nodes if node.op == "Sigmoid").outputs[0]
    seen = Roundings(model).bound(values[RESULT], {inner: recorded(np.array([0.25]), np.array([0.5, 0.3]))})
    known = Roundings(model).bound(values[RESULT], {inner: model.facts(ValueRanges)[inner]})
    assert seen.low == pytest.approx(0.075)
    assert seen.error == pytest.approx(known.error / 2)  # type: ignore[operator]
    nothing = Roundings(model).bound(values[RESULT], {inner: recorded(np.array([0.25, math.nan]))})
    assert nothing.reason == ("range", inner.name, "its range is not known")


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("text", ["fuse-layer-norm", "fuse-gelu", "lower-pow", "lower-div"])
def test_what_a_pass_makes_differs_by_no_more_than_both_bounds(text: str, opset: int) -> None:
    """At opset 13 functions stand for the operators that are fused to."""
    models, bounds, results = [], [], []
    for passes in ((), (text,)):
        model = chain.build(12, opset=opset, parts=(chain.layer_norm, chain.gelu))
        (x,) = model.graph.inputs
        x.shape = [2, 3, chain.WIDTH]
        if passes:
            assert manager.run(model, ",".join(("infer-shapes", *passes))).changed
        models.append(model)
        bounds.append(Roundings(model).bound(model.graph.outputs[0], {x: box(-2, 2)}))
    given = np.random.default_rng(0).uniform(-2, 2, (2, 3, chain.WIDTH)).astype(SINGLE)
    for model in models:
        results.append(Session(model, threads=1).run({"x": given})["y"])
    found = apart(*bounds)
    assert found.reason is None
    assert 0 <= np.abs(results[0] - results[1]).max() <= found.error  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------------- overflow


@pytest.mark.parametrize("dtype", [SINGLE, HALF], ids=["single", "half"])
@pytest.mark.parametrize(("form", "far"), [
    (lambda x: x * x * 0.001, 300.0),
    (lambda x: op.Sqrt(op.ReduceMean(x**2.0, axes=[-1])), 300.0),
    (lambda x: op.ReduceSum(x, axes=[-1]) * 0.01, 9000.0),
    (lambda x: op.ReduceMean(x, axes=[-1]), 9000.0),
    (lambda x: x @ op.Transpose(x, perm=[1, 0]) * 0.001, 100.0),
    (lambda x: op.Exp(x) * 0.0, 12.0),
    (lambda x: x * 0.5, 70_000.0),
])  # fmt: skip
def test_overflow_is_found_in_half_precision_and_not_in_single(form: Any, far: float, dtype: Any) -> None:
    """The bound has a value at the first that overflows, and there is one where ONNX Runtime has infinity."""
    wide, narrow = (result_of(form, {"x": (-size, size)}, dtype) for size in (far, far / 20))
    assert narrow.overflow == ""
    assert narrow.error is not None
    assert bool(wide.overflow) == (dtype is HALF)
    assert (wide.error is None) == (dtype is HALF)


def test_the_first_value_that_overflows_is_named() -> None:
    made = proto(lambda x: op.Sqrt(x * x * 1.0 + 1.0), {"x": np.zeros(3, HALF)}, HALF)
    model, values = loaded(made)
    square = next(node for node in model.graph.nodes if node.op == "Mul").outputs[0]
    found = Roundings(model).bound(values[RESULT], {values["x"]: box(-300, 300)})
    assert found.overflow == square.name
    assert found.reason is not None
    assert "65504" in found.reason.detail
    with np.errstate(over="ignore"):
        assert not np.isfinite(evaluated(made, {"x": np.full(3, 300, HALF)})).all()


# ------------------------------------------------------------------------------------------------- what it takes


def halved(nodes: int) -> tuple[Roundings, Any, Any]:
    """A chain of additions and halvings, its end and the range where it begins."""
    steps = [("Mul", "half"), ("Add", "tenth")] * (nodes // 2)
    made = [helper.make_node(op, [str(n), by], [str(n + 1)]) for n, (op, by) in enumerate(steps)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("0", str(nodes))]
    numbers = [numpy_helper.from_array(np.array(v, SINGLE), n) for n, v in (("half", 0.5), ("tenth", 0.1))]
    model, values = loaded(helper.make_model(helper.make_graph(made, "chain", ends[:1], ends[1:], numbers)))
    return Roundings(model), values[str(nodes)], {values["0"]: box(-1, 1)}


def test_a_bound_of_a_long_chain_takes_as_long_as_the_chain_is() -> None:
    counts, errors = [], []
    for nodes in (500, 5000):
        roundings, value, leaves = halved(nodes)
        roundings.bound(value, leaves)  # types and ranges are found out once
        counts.append(calls(lambda b=roundings.bound, v=value, at=leaves: errors.append(b(v, at).error)))  # type: ignore[misc]
    assert counts[1] < 11 * counts[0]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)  # what came before is halved


def test_library_functions_are_off_by_no_more_than_is_stated() -> None:
    random = np.random.default_rng(0)
    small = np.sign(random.uniform(-1, 1, 50_000)) * 10.0 ** random.uniform(-20, 0, 50_000)
    whole: dict[str, tuple[Any, tuple[float, float], bool]] = {
        "Exp": (np.exp, (-80, 80), True),
        "Log": (np.log, (1e-30, 100), True),
        "Erf": (erf, (-6, 6), True),
        "Tanh": (np.tanh, (-12, 12), True),
        "Sigmoid": (lambda x: 0.5 * (1 + np.tanh(x / 2)), (-30, 30), False),
        "Sin": (np.sin, (-10, 10), False),
        "Cos": (np.cos, (-10, 10), False),
        "Pow": (lambda x: x**1.7, (0.01, 50), True),
    }
    assert whole.keys() == UNITS.keys()
    for name, (function, (low, high), is_share) in whole.items():
        points = np.concatenate([random.uniform(low, high, 200_000), small, 1 + small * 1e-3])
        x = points[(points >= low) & (points <= high)].astype(SINGLE)
        x = x[x != 1]
        term = (lambda x: x**1.7) if name == "Pow" else lambda x, n=name: Apply(n, (x,))
        expected = function(x.astype(np.float64)) if name != "Pow" else x.astype(np.float64) ** float(SINGLE(1.7))
        off = np.abs(computed(proto(term, {"x": x}, SINGLE), {"x": x}) - expected)
        most = float((off / (np.abs(expected) if is_share else 1.0)).max()) * 2**24
        assert 0.1 < most <= UNITS[name], (name, most)
