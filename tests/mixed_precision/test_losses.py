"""Constants that lose or vanish are judged by the element, and by what is done with them."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.ir.graph import Constant
from regraft.mixed_precision.overflow import Constants, FloatLimits
from tests.mixed_precision.conftest import build, halve

RNG = np.random.default_rng(2)
W = (RNG.standard_normal((16, 16)) / 4).astype(np.float32)
X = RNG.standard_normal((5, 16)).astype(np.float32)
TEXT = "float[5, 16] x, float[16, 16] w, float[16, 16] v, float[16] c"


def vector(small: float, share: float = 1.0) -> np.ndarray:
    """Sixteen numbers about `small`; but for a `share` of them about 1."""
    values = np.where(np.arange(16) < 16 * share, small, 1.0)
    return (values * (1 + 0.3 * RNG.random(16))).astype(np.float32)


@pytest.mark.parametrize("small", [1e-8, 3e-6])
@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("way", ["n = Div (h, c)", "i = Reciprocal (c)  n = Mul (h, i)"])
def test_a_divisor_that_vanishes(small, share, way):
    c = vector(small, share)
    model = build(
        f"g ({TEXT}) => (float[5, 16] y) {{ h = MatMul (x, w)  {way}  y = MatMul (n, v) }}",
        {"w": (W * c).astype(np.float32), "v": W, "c": c},
    )
    done = halve(model, {"x": X})
    assert done.off < 5e-3


@pytest.mark.parametrize(
    "way",
    [
        "u = Unsqueeze (c, zero)  n = Div (h, u)",
        "e = Add (c, c)  n = Div (h, e)",
        "q = Mul (c, c)  d = Sqrt (q)  n = Div (h, d)",
        "u = Unsqueeze (c, zero)  i = Reciprocal (u)  n = Mul (h, i)",
    ],
)
def test_a_divisor_that_nobody_folded(way):
    c = vector(1e-8)
    model = build(
        f"g ({TEXT}, int64[1] zero) => (float[5, 16] y) {{ h = MatMul (x, w)  {way}  y = MatMul (n, v) }}",
        {"w": (W * c).astype(np.float32), "v": W, "c": c, "zero": np.array([0])},
    )
    assert halve(model, {"x": X}).off < 5e-3


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_factor_that_vanishes(share):
    c = vector(2e-8, share)
    model = build(
        f"""g ({TEXT}, float[16] d) => (float[5, 16] y)
        {{ h = MatMul (x, w)  r = Relu (h)  n = Mul (r, c)  m = Div (n, d)  y = MatMul (m, v) }}""",
        {"w": W, "v": W, "c": c, "d": c[::-1].copy() if share == 1 else c},
    )
    assert halve(model, {"x": X}).off < 5e-3


@pytest.mark.parametrize("variance", [1e-16, 1e-8, 1e-6, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("mean", [0.0, 1.0, 300.0])
@pytest.mark.parametrize("epsilon", [1e-20, 1e-10, 1e-5])
def test_a_normalization_by_constants(variance, mean, epsilon):
    deviation = np.sqrt(variance)
    spread = (1 + RNG.random(8)).astype(np.float32)
    model = build(
        f"""g (float[2, 4, 8, 8] x, float[8, 4, 1, 1] w, float[8] shift, float[8] s, float[8] b, float[8] m, float[8] v,
        float[2, 8, 1, 1] z) => (float[2, 2, 8, 8] y)
        {{ c = Conv (x, w, shift)  n = BatchNormalization <epsilon = {epsilon}> (c, s, b, m, v)  r = Relu (n)
           y = Conv (r, z) }}""",
        {
            "w": (deviation * RNG.standard_normal((8, 4, 1, 1))).astype(np.float32),
            "shift": (mean * deviation * spread).astype(np.float32),
            "s": spread,
            "b": RNG.standard_normal(8).astype(np.float32),
            "m": (mean * deviation * spread).astype(np.float32),
            "v": (variance * spread).astype(np.float32),
            "z": RNG.standard_normal((2, 8, 1, 1)).astype(np.float32),
        },
    )
    done = halve(model, {"x": RNG.standard_normal((2, 4, 8, 8)).astype(np.float32)})
    assert done.off < 8e-3
    if variance == 1.0 and mean < 2:
        assert "c" in done.half
        assert done.notes == []


def test_small_numbers_beside_large_ones_do_no_harm_in_a_sum_or_a_matrix():
    c = vector(1e-7, 0.5)
    w = np.where(RNG.random((16, 16)) < 0.3, 1e-7 * W, W).astype(np.float32)
    model = build(
        f"g ({TEXT}) => (float[5, 16] y) {{ h = MatMul (x, w)  a = Add (h, c)  y = MatMul (a, v) }}",
        {"w": w, "v": W, "c": c},
    )
    done = halve(model, {"x": X})
    assert done.off < 2e-3
    assert done.notes == []
    assert {"h", "a"} <= done.half


@pytest.mark.parametrize("op", ["Sub", "Add"])
def test_a_map_of_offsets(op):
    sign = 1 if op == "Sub" else -1
    climate = (54000 + 300 * RNG.standard_normal((1, 1, 8, 16))).astype(np.float32)
    model = build(
        f"""g (float[1, 1, 8, 16] x, float[1, 1, 8, 16] climate, float s, float[4, 1, 3, 3] w) => (float[1, 4, 6, 14] y)
        {{ c = {op} (x, climate)  z = Mul (c, s)  h = Conv (z, w)  y = Relu (h) }}""",
        {"climate": sign * climate, "s": np.float32(0.01), "w": RNG.standard_normal((4, 1, 3, 3)).astype(np.float32)},
    )
    done = halve(model, {"x": (climate + 100 * RNG.standard_normal(climate.shape)).astype(np.float32)})
    assert done.off < 2e-3
    assert "h" in done.half


@pytest.mark.parametrize(("offset", "stays"), [(101325.0, True), (54000.0, True), (123.675, False)])
def test_an_input_that_half_precision_cannot_hold_stays_whatever_is_asked(offset, stays):
    model = build(
        "g (float[2, 3] x, float[3] mean, float s, float[3, 4] w) => (float[2, 4] y)"
        "{ c = Sub (x, mean)  z = Mul (c, s)  y = MatMul (z, w) }",
        {"mean": np.full(3, offset, np.float32), "s": np.float32(0.02), "w": W[:3, :4]},
    )
    done = halve(model, {"x": (offset + 50 * RNG.standard_normal((2, 3))).astype(np.float32)}, "convert-fp16{io=fp16}")
    assert done.off < 5e-3
    said = "input 'x' stays in 32 bits: Sub needs the digits of 'x'"
    assert done.notes == ([said] if stays else [])
    assert {t.dtype for t in done.model.graph.inputs} == {np.dtype(np.float32 if stays else np.float16)}


def test_a_scale_of_quantized_weights_that_vanishes():
    scale = vector(3e-7)
    model = build(
        "g (float[5, 16] x, int8[16, 16] q, float[16] s, float[16] c, float[16, 16] v) => (float[5, 16] y)"
        "{ w = DequantizeLinear <axis = 1> (q, s)  h = MatMul (x, w)  n = Div (h, c)  y = MatMul (n, v) }",
        {"q": RNG.integers(-127, 128, (16, 16)).astype(np.int8), "s": scale, "c": 300 * scale, "v": W},
        opset=21,
    )
    assert halve(model, {"x": X}).off < 5e-3


def test_a_large_constant_is_looked_at_in_pieces(monkeypatch):
    monkeypatch.setattr("regraft.mixed_precision.overflow._BLOCK", 100)
    values = RNG.standard_normal((37, 11)).astype(np.float32)
    values[30, 3], values[2, 2], values[1, 1], values[4, 4] = 7e4, -8e4, 0, 1e-9
    values[9, 9] = -np.inf
    constant, constants = Constant("c", values), Constants(FloatLimits(np.dtype(np.float16)))
    extent = constants.extent(constant)
    finite = values[np.isfinite(values)]
    assert (extent.low, extent.high) == (finite.min(), finite.max())
    assert constants.least(constant) == np.abs(finite[finite != 0]).min()
    assert extent.size == -extent.extreme == 8e4
    assert not extent.whole
    plain = np.where(np.isfinite(values), values, 0).astype(np.float64)
    finite_one = Constant("d", plain.astype(np.float32))
    for axes in ((0,), (1,), (0, 1), (-2,), (-1,)):
        gain = constants.gain(finite_one, axes)
        exact = np.abs(plain).sum(axes).max(), np.sqrt(np.square(plain).sum(axes).max()), np.linalg.norm(plain)
        np.testing.assert_allclose(gain, exact, 2e-3)
        assert all(found >= value for found, value in zip(gain, exact, strict=True))
    assert constants.error(finite_one) == 8e4 - 65504
