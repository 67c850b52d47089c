"""What feeds an angle, a rounding, an index or a place keeps its digits all the way up; all else is lowered."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.files.convert import clone
from tests.mixed_precision.conftest import build, halve

RNG = np.random.default_rng(0)
FAR = np.arange(4090, 4106, dtype=np.int64)[None]
W = RNG.standard_normal((16, 16)).astype(np.float32) / 4
INVERSE = (10000.0 ** -(np.arange(8) / 8)).astype(np.float32)

TABLES = {  # of an angle, from positions
    "MatMul": "u = Unsqueeze (pos, one)  f = Cast <to = 1> (u)  a = MatMul (f, row)",
    "MatMul from the left": """u = Unsqueeze (pos, one)  f = Cast <to = 1> (u)  g = Transpose <perm = [0, 2, 1]> (f)
      c = Reshape (row, column)  b = MatMul (c, g)  a = Transpose <perm = [0, 2, 1]> (b)""",
    "Mul": "u = Unsqueeze (pos, one)  f = Cast <to = 1> (u)  a = Mul (f, row)",
    "Einsum": 'f = Cast <to = 1> (pos)  v = Reshape (row, flat)  a = Einsum <equation = "bi,j->bij"> (f, v)',
    "scaled": """u = Unsqueeze (pos, one)  f = Cast <to = 1> (u)  s = Div (f, scale)  t = Mul (s, row)
      a = Mul (t, scale)""",
}


@pytest.mark.parametrize("form", TABLES)
def test_rotary_tables_of_far_positions(form):
    model = build(
        f"""g (int64[1, 16] pos, float[1, 16, 16] x, int64[1] one, float[1, 8] row, int64[2] column, int64[1] flat,
        float scale, float[16, 16] w) => (float[1, 16, 16] y)
        {{ q = MatMul (x, w)  {TABLES[form]}  e = Concat <axis = -1> (a, a)  s0 = Sin (e)  c0 = Cos (e)
           r = Mul (q, c0)  i = Mul (q, s0)  z = Add (r, i)  y = MatMul (z, w) }}""",
        {
            "one": np.array([2]),
            "row": INVERSE[None],
            "column": np.array([8, 1]),
            "flat": np.array([-1]),
            "scale": np.array(4.0, np.float32),
            "w": W,
        },
    )
    done = halve(model, {"pos": FAR, "x": RNG.standard_normal((1, 16, 16)).astype(np.float32)})
    assert done.off < 2e-3
    assert "q" in done.half
    assert not {"f", "a", "e"} & done.half


@pytest.mark.parametrize("length", [1, 200])
@pytest.mark.parametrize("step", ["Add ({0}, half)", "Mul ({0}, one)", "Neg ({0})", "Concat <axis = 0> ({0})"])
def test_any_number_of_steps_lies_between(length, step):
    chain = "".join(f"v{i + 1} = {step.format(f'v{i}')} " for i in range(length))
    model = build(
        f"""g (int64[4] n, float[4, 16] x, float half, float one, float[16, 16] w) => (float[4, 16] y)
        {{ v0 = Cast <to = 1> (n)  {chain} s = Sin (v{length})  h = MatMul (x, w)  u = Unsqueeze (s, last)
           z = Mul (h, u)  y = MatMul (z, w) }}""".replace("float half", "int64[1] last, float half"),
        {"half": np.float32(0.5), "one": np.float32(1.001), "w": W, "last": np.array([1])},
    )
    done = halve(model, {"n": np.array([4096, 4097, 5001, 9999]), "x": np.ones((4, 16), np.float32)})
    assert done.off < 2e-3
    assert "h" in done.half


@pytest.mark.parametrize(
    "index",
    [
        "i = Cast <to = 7> (f)",
        "g = Floor (f)  i = Cast <to = 7> (g)",
        "h = Mul (f, half)  k = Floor (h)  l = Mul (k, two)  i = Cast <to = 6> (l)",
        "g = Mod <fmod = 1> (f, many)  i = Cast <to = 7> (g)",
        "g = Round (f)  k = Sub (g, zero)  i = Cast <to = 7> (k)",
    ],
)
def test_rows_of_a_table(index):
    model = build(
        f"""g (int64[3] ids, float[3] offsets, float half, float two, float many, float zero, float[20000, 16] table,
        float[16, 16] w) => (float[3, 16] y)
        {{ c = Cast <to = 1> (ids)  f = Add (c, offsets)  {index}  e = Gather (table, i)  y = MatMul (e, w) }}""",
        {
            "offsets": np.array([0, 2000, 14001], np.float32),
            "half": np.float32(0.5),
            "two": np.float32(2),
            "many": np.float32(20000),
            "zero": np.float32(0),
            "table": RNG.standard_normal((20000, 16)).astype(np.float32),
            "w": W,
        },
    )
    done = halve(model, {"ids": np.array([4099, 3333, 5555])})
    assert done.off < 2e-3
    assert "e" in done.half


def test_places_in_a_picture():
    theta = np.array([[[0.9, 0.1, 0.02], [-0.1, 0.9, 0.03]]], np.float32)
    base = np.stack([*np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64)), np.ones((64, 64))], -1)
    model = build(
        """g (float[1, 2, 3] theta, float[1, 4, 512, 512] picture,
            float[4096, 3] base, int64[4] to, float[4, 4, 1, 1] w)
        => (float[1, 4, 64, 64] y)
        { t = Transpose <perm = [0, 2, 1]> (theta)  m = MatMul (base, t)  grid = Reshape (m, to)
          p = Conv (picture, w)  s = GridSample (p, grid)  y = Conv (s, w) }""",
        {
            "base": base.reshape(-1, 3).astype(np.float32),
            "to": np.array([1, 64, 64, 2]),
            "w": RNG.standard_normal((4, 4, 1, 1)).astype(np.float32),
        },
    )
    done = halve(model, {"theta": theta, "picture": RNG.standard_normal((1, 4, 512, 512)).astype(np.float32)})
    assert done.off < 3e-3
    assert "p" in done.half
    assert "m" not in done.half


@pytest.mark.parametrize("op", ["Less", "Equal", "Greater"])
def test_numbers_of_things_are_compared_exactly(op):
    model = build(
        f"""g (int64[8] n, int64[8] m, float[8, 16] x, int64[1] last, float one, float[16, 16] w) => (float[8, 16] y)
        {{ a = Cast <to = 1> (n)  b = Cast <to = 1> (m)  c = Add (b, one)  t = {op} (a, c)  k = Cast <to = 1> (t)
           u = Unsqueeze (k, last)  h = MatMul (x, w)  z = Mul (h, u)  y = MatMul (z, w) }}""",
        {"last": np.array([1]), "one": np.float32(1), "w": W},
    )
    n = np.arange(4095, 4103)
    done = halve(model, {"n": n, "m": n - np.array([1, 0, 2, 1, 1, 3, 0, 1]), "x": np.ones((8, 16), np.float32)})
    assert done.off < 2e-3
    assert "h" in done.half


def test_a_learned_angle_keeps_its_layer():
    """As in a network of sines: the factor of 30 enlarges what a product in half precision loses."""
    model = build(
        """g (float[64, 16] x, float[16, 16] w, float[16] b, float thirty) => (float[64, 16] y)
        { h = MatMul (x, w)  a = Add (h, b)  t = Mul (a, thirty)  s = Sin (t)  y = MatMul (s, w) }""",
        {"w": W, "b": RNG.standard_normal(16).astype(np.float32), "thirty": np.float32(30)},
    )
    done = halve(model, {"x": RNG.standard_normal((64, 16)).astype(np.float32)})
    assert done.off < 2e-3
    assert done.notes == ["kept 1 of 2 products in 32 bits: Sin needs the digits of 't'"]


def test_what_is_small_enough_needs_no_more():
    """Truths are held exactly; a sigmoid is no angle of many turns."""
    model = build(
        """g (float[8, 16] x, bool[8, 16] k, float[16, 16] w) => (float[8, 16] y, int32[8, 16] n)
        { c = Cast <to = 1> (k)  n = Cast <to = 6> (c)  h = MatMul (x, w)  m = Mul (h, c)  g = Sigmoid (m)
          s = Sin (g)  y = MatMul (s, w) }""",
        {"w": W},
    )
    done = halve(model, {"x": RNG.standard_normal((8, 16)).astype(np.float32), "k": RNG.random((8, 16)) > 0.5})
    assert done.off < 2e-3
    assert "h" in done.half
    assert done.notes == []


def test_through_bodies_and_out_of_them():
    model = build(
        """g (int64[4] n, bool b, float[4, 16] x, int64 times, int64[1] last, float step, float[16, 16] w)
        => (float[4, 16] y)
        { f = Cast <to = 1> (n)
          p = If (b) <then_branch = t () => (float[4] p1) { p1 = Add (f, step) },
                      else_branch = e () => (float[4] p2) { p2 = Mul (f, step) }>
          q = Loop (times, , p) <body = l (int64 i, bool c, float[4] s) => (bool c2, float[4] s2)
            { c2 = Identity (c)  s2 = Neg (s) }>
          a = Sin (q)  u = Unsqueeze (a, last)  h = MatMul (x, w)  z = Mul (h, u)  y = MatMul (z, w) }""",
        {"times": np.array(5), "last": np.array([1]), "step": np.float32(0.25), "w": W},
    )
    inputs = {"n": np.array([4097, 8191, 7001, 3]), "b": np.array(True), "x": np.ones((4, 16), np.float32)}
    for taken in (True, False):
        done = halve(clone(model), inputs | {"b": np.array(taken)})
        assert done.off < 2e-3
        assert "h" in done.half


@pytest.mark.parametrize("op", ["Sin", "Floor"])
def test_a_need_that_goes_round_a_loop_comes_to_an_end(op):
    model = build(
        f"""g (float[4] x, int64 times, float half) => (float[4] y)
        {{ q = Loop (times, , x) <body = l (int64 i, bool c, float[4] s) => (bool c2, float[4] s2)
            {{ c2 = Identity (c)  m = Mul (s, half)  s2 = {op} (m) }}>  y = Neg (q) }}""",
        {"times": np.array(5), "half": np.float32(1.5)},
    )
    assert halve(model, {"x": np.array([5001.3, 4097.7, 1, 2], np.float32)}).off < 2e-3


@pytest.mark.parametrize("peak", ["MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (heat)", "Expand (top, size)"])
def test_peaks_equal_the_largest_around_them(peak):
    model = build(
        f"""g (float[1, 4, 16, 16] x, float[1, 4, 3, 3] w, float[4, 1, 3, 3] v, int64[4] size)
        => (float[1, 4, 12, 12] y)
        {{ a = Conv (x, w)  heat = Sigmoid (a)  top = ReduceMax (heat)  m = {peak}  e = Equal (m, heat)
           k = Cast <to = 1> (e)  p = Mul (k, heat)  c = Conv (p, v)  d = Conv (m, v)  y = Add (c, d) }}""",
        {
            "w": RNG.standard_normal((1, 4, 3, 3)).astype(np.float32),
            "v": RNG.standard_normal((4, 1, 3, 3)).astype(np.float32),
            "size": np.array([1, 1, 14, 14]),
        },
    )
    done = halve(model, {"x": RNG.standard_normal((1, 4, 16, 16)).astype(np.float32)})
    assert done.off < 2e-3
    assert done.notes == ["kept 1 of 3 products in 32 bits: Equal distinguishes 'heat' from what is near it"]


def test_a_threshold_is_no_reason():
    model = build(
        """g (float[8, 16] x, float[16, 16] w, float half) => (float[8, 16] y)
        { h = MatMul (x, w)  t = Greater (h, half)  k = Cast <to = 1> (t)  z = Mul (h, k)  y = MatMul (z, w) }""",
        {"w": W, "half": np.float32(0.5)},
    )
    done = halve(model, {"x": RNG.standard_normal((8, 16)).astype(np.float32)})
    assert done.notes == []
    assert "h" in done.half
