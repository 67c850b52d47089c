"""What a difference is held against: rounding noise, places that mean nothing, float32 twins, tables, the interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import regraft
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.verification.contract import (
    Contract,
    approximation,
    combine,
    exact,
    interface,
    promise,
    reassociation,
    recorded,
)
from regraft.verification.interface import Interface, differences
from regraft.verification.noise import Noise, movable, moved
from regraft.verification.runtime import Session
from regraft.verification.second_look import Fault, SecondLook
from regraft.verification.tables import differing_rows, tables
from regraft.verification.twin import float32_twin, is_half
from regraft.verification.unseeing import blinded

RANDOM = np.random.default_rng(0)


def parse(text: str, opset: int = 20, **weights: np.ndarray) -> Model:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]>\n{text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return from_proto(proto)


def weight(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(dtype)


W = weight(16, 16)
PRODUCT = "g (float[n, 16] x) => (float[n, 16] y) { y = MatMul(x, w) }"


def noise_of(model: Model, x: np.ndarray) -> Noise:
    session = Session(model)
    return Noise(model, lambda wide=False, **options: Session(model, **options), [{"x": x}], [session.run({"x": x})])


def test_noise_is_of_the_size_of_rounding() -> None:
    noise = noise_of(parse(PRODUCT, w=W), weight(8, 16))
    noise.measure(6)
    unit = noise.unit(0, "y")
    assert unit is not None
    assert 1e-8 < np.median(unit) < 2e-6


def test_noise_follows_the_channels() -> None:
    scale = np.where(np.arange(16) < 8, 1e-3, 1e3).astype(np.float32)
    noise = noise_of(parse(PRODUCT, w=W * scale), weight(8, 16))
    noise.measure(6)
    unit = noise.unit(0, "y")
    assert unit is not None
    assert unit[:, :8].max() < 1e-8 < unit[:, 8:].min()


def test_what_many_share_and_what_sizes_depend_on_is_not_moved() -> None:
    products = "a = MatMul(x, w) b = MatMul(a, shared) c = MatMul(b, shared) y = Mul(c, k)"
    text = f"g (float[n, 16] x) => (float[] y) {{ {products} }}"
    assert movable(parse(text, w=W, shared=W, k=np.float32(2))) == ["w"]
    resize = 'g (float[1, 1, 4, 4] x) => (float[] y) { y = Resize <mode = "nearest"> (x, , scales) }'
    assert movable(parse(resize, scales=np.float32([1, 1, 2, 2]))) == []


def test_no_element_is_moved_by_more_than_an_ulp() -> None:
    values = weight(100_000)
    off = np.abs(moved(values, np.random.default_rng(1)) - values)
    assert (off <= 2 * np.spacing(np.abs(values))).all()
    assert 0.5 < (off > 0).mean() < 0.8


@pytest.mark.parametrize(("by", "passed"), [(0, True), (1e-7, True), (1e-3, False)])
def test_a_rewrite_may_be_as_far_as_rounding_explains(by: float, passed: bool) -> None:
    assert regraft.compare(parse(PRODUCT, w=W), parse(PRODUCT, w=W * np.float32(1 + by))).passed is passed


MASKED = """g (float[b, s, 8] x, int64[b, s] attention_mask) => (float[] y) {
    f = Cast <to = 1> (attention_mask) n = Sub(one, f) far = Mul(n, lowest) mask = Unsqueeze(far, axis)
    t = Transpose <perm = [0, 2, 1]> (x) scores = MatMul(x, t) masked = Add(scores, mask) p = Softmax(masked)
    y = MatMul(p, x) }"""


def masked(lowest: float) -> Model:
    return parse(MASKED, one=np.float32(1), lowest=np.float32(lowest), axis=np.array([1]))


def test_what_a_query_gives_that_sees_no_key_means_nothing() -> None:
    verdict = regraft.compare(masked(-3.4e38), masked(-1e5))
    assert verdict.passed
    assert verdict.drift.outputs[0].meaningless > 0
    assert "values of padding, or where a query sees no key, differ and mean nothing" in verdict.summary


def test_attention_in_a_function_is_blind_too() -> None:
    pair = [masked(lowest) for lowest in (-3.4e38, -1e5)]
    for model in pair:
        regraft.run(model, "fuse-attention", verify="none")
    assert pair[0].functions
    verdict = regraft.compare(*pair)
    assert verdict.passed
    assert verdict.drift.outputs[0].meaningless > 0


def test_but_a_number_stays_a_number_there() -> None:
    assert not regraft.compare(masked(-1e9), masked(-np.inf)).passed


def test_and_what_sees_a_key_is_judged() -> None:
    assert not regraft.compare(masked(-1e9), masked(-10)).passed


def test_a_model_without_softmax_is_blind_nowhere() -> None:
    assert blinded(parse(PRODUCT, w=W)) is None


HALF = "g (float16[n, 64] x) => (float16[] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }"


def half(factor: float = 1) -> Model:
    random = np.random.default_rng(3)
    w, v = (random.standard_normal((64, 64)) / 8 for _ in range(2))
    return parse(HALF, w=(w * factor).astype(np.float16), v=v.astype(np.float16))


def test_half_precision_is_judged_by_twins() -> None:
    assert is_half(half())
    twin = float32_twin(half())
    assert not is_half(twin)
    assert {str(np.dtype(t.dtype)) for t in (*twin.inputs, *twin.outputs)} == {"float32"}
    assert regraft.compare(half(), half(), contract=exact).passed
    assert not regraft.compare(half(), half(1.004)).passed


def table(rows: dict[int, float]) -> Model:
    values = np.random.default_rng(5).standard_normal((5000, 4)).astype(np.float32)
    for row, by in rows.items():
        values[row] += by
    return parse("g (int64[b, s] ids) => (float[] y) { y = Gather(table, ids) }", table=values)


def test_a_row_that_no_trial_looks_up_is_compared() -> None:
    assert differing_rows(tables(table({})), tables(table({1234: 1, 4321: 2}))) == {"ids": pytest.approx([4321, 1234])}
    assert regraft.compare(table({}), table({})).passed
    assert not regraft.compare(table({}), table({1234: 1e-3})).passed


def ports(text: str) -> Interface:
    return Interface.of(parse(f"g {text} {{ y = Identity(x) }}"))


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ("(float[n, 4] x) => (float[n, 4] y)", []),
        ("(float[batch, 4] x) => (float[batch, 4] y)", []),
        ("(float[2, 4] x) => (float[2, 4] y)", ["input 'x' was float32[n, 4], and is float32[2, 4]"]),
        ("(double[n, 4] x) => (double[n, 4] y)", ["input 'x' was", "output 'y' was"]),
        ("(float[n, 4] x, float z) => (float[n, 4] y)", ["input 'z' is new"]),
    ],
)
def test_what_a_caller_sees(after: str, says: list[str]) -> None:
    found = differences(ports("(float[n, 4] x) => (float[n, 4] y)"), ports(after))
    assert len(found) == len(says)
    assert all(line.startswith(start) for line, start in zip(found, says, strict=True))


def test_an_output_that_is_not_as_declared() -> None:
    before, after = ports("(float[n, 4] x) => (float[n, 4] y)"), ports("(float[n, 4] x) => (float[3, 4] y)")
    assert differences(before, after, [{"y": np.zeros((3, 4))}]) == []
    (line,) = differences(before, after, [{"y": np.zeros((2, 4))}])
    assert line == "output 'y' is declared float32[3, 4], and came out as [2, 4]"


def test_what_passes_promised_travels_with_the_model() -> None:
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    promise(after, reassociation)
    assert recorded(before, after) == combine([reassociation])
    second = dict(after)
    promise(second, approximation(1e-3))
    assert recorded(after, second) == combine([approximation(1e-3)])
    assert recorded(second, before) is None
    both = recorded(before, second)
    assert both is not None
    assert (both.bound, both.name) == (1e-3, "reassociation+approximation(0.001)")


@pytest.mark.parametrize("text", ["{", "3", "[3]", '[{"no": 1}]'])
def test_damaged_promises_are_said_so(text: str) -> None:
    with pytest.raises(regraft.RegraftError, match=r"the metadata regraft\.contracts are damaged"):
        recorded({}, {"regraft.contracts": text})


def test_what_a_contract_assumes_is_not_tried() -> None:
    wide: Contract = exact.assuming("integers fit 32 bits")
    before = parse("g (int64[n] x) => (int64[] y) { y = Neg(x) }")
    after = parse("g (int64[n] x) => (int64[] y) { a = Cast <to = 6> (x) b = Neg(a) y = Cast <to = 7> (b) }")
    assert regraft.compare(before, after, contract=wide).passed
    assert not regraft.compare(before, after, contract=exact).passed


def test_an_interface_contract_lets_outputs_go() -> None:
    two = parse("g (float[n] x) => (float[] y, float[] z) { y = Neg(x) z = Abs(x) }")
    one = parse("g (float[n] x) => (float[] y) { y = Neg(x) }")
    assert regraft.compare(two, one, contract=interface).passed
    verdict = regraft.compare(two, one)
    assert not verdict.passed
    assert "output 'z' is gone" in verdict.interface


def test_a_second_look_at_types() -> None:
    good = parse("g (float[2, 3] x) => (float[2, 3] y) { y = Neg(x) }")
    bad = parse("g (float[2, 3] x) => (float[2, 4] y) { y = Neg(x) }")
    with SecondLook() as look:
        assert look.types(good) is None
        fault = look.types(bad)
        assert isinstance(fault, Fault)
        assert fault.kind == "refused"
        assert look.types(good) is None


def test_a_second_look_survives_what_crashes_and_what_does_not_end(tmp_path: Any) -> None:
    minus = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 20]> g (float[a] x) => (float[b] y) <int64[1] s = {5}, int64[1] e = {9}>
        { y = Slice(x, s, e) }"""
    )
    minus.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -7
    regraft.save(parse("g (float[n] x) => (float[] y) { y = Neg(x) }"), tmp_path / "m.onnx")
    with SecondLook() as look:
        crashed = look._ask("types", minus.SerializeToString())
        assert isinstance(crashed, Fault)
        assert crashed.kind == "crashed"
        found = look.run(tmp_path / "m.onnx", {"x": np.float32([1])})
        assert isinstance(found, dict)
        assert found["y"] == [-1]
    with SecondLook(seconds=0) as look:
        endless = look.types(parse("g (float[n] x) => (float[] y) { y = Neg(x) }"))
        assert endless is not None
        assert endless.kind == "endless"


EMPTY = "g (float[n, 4] x) => (float[] y) {{ s = {} (x) y = Slice(s, none, none) }}"


def test_outputs_without_values_are_not_compared() -> None:
    verdict = regraft.compare(*(parse(EMPTY.format(op), none=np.array([0])) for op in ("Sin", "Cos")))
    assert not verdict.passed
    assert verdict.summary == "undecided: every output is empty; give real inputs"
