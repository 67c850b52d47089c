"""What may be large stays, and no longer than it may be: proven bounds, scales, and normalizations end it."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.mixed_precision import plan
from regraft.passes.convert_bf16 import ConvertBf16
from regraft.pipelines.pass_base import Context
from tests.mixed_precision.conftest import build, halve

RNG = np.random.default_rng(1)


def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
    return (scale * RNG.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)


X = RNG.standard_normal((5, 16)).astype(np.float32)
HEAD = "float[5, 16] x, float[16, 16] u, float[16, 16] v, float[16] g, float[16] b"
GIVEN = {"u": matrix(16, 16), "v": matrix(16, 16), "g": np.ones(16, np.float32), "b": np.zeros(16, np.float32)}


@pytest.mark.parametrize(
    ("before", "products"),
    [
        ("n = LayerNormalization (x, g, b)", 2),
        ("n = Tanh (x)", 2),
        (
            "q = Mul (x, x)  m = ReduceMean <axes = [-1]> (q)  e = Add (m, eps)  d = Sqrt (e)  i = Reciprocal (d)"
            "n = Mul (x, i)",
            2,
        ),
        ("q = Mul (x, x)  m = ReduceMean <axes = [0]> (q)  e = Add (m, eps)  d = Sqrt (e)  n = Div (x, d)", 1),
        ("q = Abs (x)  m = ReduceMean <axes = [-1]> (q)  n = Div (x, m)", 1),
        ("n = Sigmoid (x)", 2),
        ("n = Softmax (x)", 2),
        ("n = Clip (x, low, high)", 2),
        ("n = Relu (x)", 1),
        ("n = Identity (x)", 1),
    ],
)
@pytest.mark.parametrize("square", ["s = Mul (r, r)", "s = Pow (r, two)"])
def test_a_square_of_what_is_bounded_is_bounded(before, products, square):
    model = build(
        f"""g ({HEAD}, float low, float high, float two, float eps) => (float[5, 16] y)
        {{ {before}  a = MatMul (n, u)  r = Relu (a)  {square}  y = MatMul (s, v) }}""",
        GIVEN | {"low": np.float32(-3), "high": np.float32(3), "two": np.float32(2), "eps": np.float32(1e-5)},
    )
    done = halve(model, {"x": X})
    assert done.off < 2e-3
    assert done.notes == ([] if products == 2 else [done.notes[0]])
    assert all(note.startswith("kept 1 of 2 products in 32 bits: may be large: 's' is ") for note in done.notes)


ENDS = {
    "a scale": "z = Mul (s, tiny)",
    "a divisor": "z = Div (s, huge)",
    "LayerNormalization": "z = LayerNormalization (s, g, b)",
    "a norm": "n = ReduceL2 <axes = [-1]> (s)  z = Div (s, n)",
    "a norm written out": """q = Mul (s, s)  m = ReduceSum (q, last)  e = Add (m, one)  r = Sqrt (e)  z = Div (s, r)""",
    "RMS": """q = Pow (s, two)  m = ReduceMean <axes = [-1]> (q)  e = Add (m, one)  r = Sqrt (e)
      i = Reciprocal (r)  z = Mul (i, s)""",
    "a deviation": """mean = ReduceMean <axes = [-1]> (s)  d = Sub (s, mean)  q = Pow (d, two)
      m = ReduceMean <axes = [-1]> (q)  e = Add (m, one)  r = Sqrt (e)  z = Div (d, r)""",
    "the largest": "q = Abs (s)  m = ReduceMax <axes = [-1]> (q)  e = Max (m, one)  z = Div (s, e)",
    "Tanh": "z = Tanh (s)",
    "Clip": "z = Clip (s, one, huge)",
}


@pytest.mark.parametrize("end", ENDS)
def test_what_may_be_large_ends(end):
    model = build(
        f"""g ({HEAD}, float two, float one, float tiny, float huge, int64[1] last) => (float[5, 16] y)
        {{ a = MatMul (x, u)  s = Mul (a, a)  {ENDS[end]}  h = MatMul (z, u)  t = Relu (h)  y = MatMul (t, v) }}""",
        GIVEN
        | {"two": np.float32(2), "one": np.float32(1), "tiny": np.float32(1e-5), "huge": np.float32(65504)}
        | {"last": np.array([-1])},
    )
    done = halve(model, {"x": 100 * X if end in ("a scale", "a divisor") else X})
    assert done.off < 5e-3
    assert done.notes == []
    assert "s" not in done.half


@pytest.mark.parametrize("way", ["t = Add (s, x)", "t = Relu (s)", "n = ReduceMean <axes = [-1]> (a)  t = Sub (s, n)"])
def test_and_does_not_end_where_it_does_not(way):
    model = build(
        f"""g ({HEAD}) => (float[5, 16] y)
        {{ a = MatMul (x, u)  s = Mul (a, a)  {way}  y = MatMul (t, v) }}""",
        GIVEN,
    )
    done = halve(model, {"x": 2000 * X})
    assert done.off < 2e-3
    assert done.notes == ["kept 1 of 2 products in 32 bits: may be large: 's' is a square"]


@pytest.mark.parametrize(("offset", "deviation"), [(101325.0, 900.0), (285.0, 12.0), (54000.0, 400.0), (3e6, 1e5)])
def test_inputs_with_units_are_normalized_in_32_bits(offset, deviation):
    model = build(
        """g (float[2, 3, 8, 8] x, float[1, 3, 1, 1] mean, float[1, 3, 1, 1] deviation, float[4, 3, 3, 3] w)
        => (float[2, 4, 6, 6] y) { c = Sub (x, mean)  z = Div (c, deviation)  h = Conv (z, w)  y = Relu (h) }""",
        {
            "mean": np.full((1, 3, 1, 1), offset, np.float32),
            "deviation": np.full((1, 3, 1, 1), deviation, np.float32),
            "w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32) / 5,
        },
    )
    x = (offset + deviation * RNG.standard_normal((2, 3, 8, 8))).astype(np.float32)
    done = halve(model, {"x": x})
    assert done.off < 2e-3
    assert done.notes == []
    assert "h" in done.half


def test_a_constant_that_nothing_scales_stays_large_and_is_told():
    model = build(
        f"""g ({HEAD}, float big) => (float[5, 16] y)
        {{ c = Sub (x, big)  h = MatMul (c, u)  t = Relu (h)  y = MatMul (t, v) }}""",
        GIVEN | {"big": np.float32(101325)},
    )
    done = halve(model, {"x": (101325 + X).astype(np.float32)})
    assert done.off < 2e-3
    assert done.notes == ["kept 2 of 2 products in 32 bits: may be large: 'big' reaches 1.01e+05"]


def planned(model, x, tmp_path, **options):
    rows = plan.make(model, [{"x": x}], **options)
    plan.write(tmp_path / "plan.toml", rows, "float16", "convert-fp16")
    return {row.name: row for row in rows}, f"convert-fp16{{plan={tmp_path / 'plan.toml'}}}"


def test_what_a_plan_has_seen_wins(tmp_path):
    text = f"""g ({HEAD}, float big) => (float[5, 16] y)
    {{ c = Sub (x, big)  h = MatMul (c, u)  s = Mul (h, h)  y = MatMul (s, v) }}"""
    given = GIVEN | {"big": np.float32(101325)}
    x = (101325 + X).astype(np.float32)
    rows, pipeline = planned(build(text, given), x, tmp_path)
    assert {name: rows[name].precision for name in "hsy"} == dict.fromkeys("hsy", "float16")
    done = halve(build(text, given), {"x": x}, pipeline)
    assert done.off < 2e-3
    assert {"h", "s"} <= done.half
    assert not [node for node in done.model.nodes() if node.op == "Clip"]


def test_and_what_it_has_seen_to_be_large_stays(tmp_path):
    text = f"g ({HEAD}) => (float[5, 16] y) {{ h = MatMul (x, u)  s = Mul (h, h)  y = MatMul (s, v) }}"
    rows, _ = planned(build(text, GIVEN), 300 * X, tmp_path)
    assert rows["h"].precision == "float16"
    assert rows["s"].precision == rows["y"].precision == "float32"


def test_a_mask_that_the_data_does_not_show_stays_one(tmp_path):
    text = f"""g ({HEAD}, bool[5, 16] keep, float low, float zero) => (float[5, 16] y)
    {{ h = MatMul (x, u)  m = Where (keep, zero, low)  s = Add (h, m)  p = Softmax (s)  y = MatMul (p, v) }}"""
    given = GIVEN | {"low": np.float32(-3e38), "zero": np.float32(0), "keep": np.ones((5, 16), bool)}
    rows, _ = planned(build(text, given), X, tmp_path)
    assert rows["m"].precision == "float32"
    assert "reaches -3e+38" in rows["m"].why


def test_what_a_loop_makes_larger_has_no_bound():
    model = build(
        f"""g ({HEAD}, int64 times) => (float[5, 16] y)
        {{ n = Tanh (x)  q = Loop (times, , n) <body = l (int64 i, bool c, float[5, 16] s) => (bool c2, float[5, 16] t)
            {{ c2 = Identity (c)  t = MatMul (s, u) }}>  s = Mul (q, q)  y = MatMul (s, v) }}""",
        GIVEN | {"u": 4 * np.eye(16, dtype=np.float32), "times": np.array(6)},
    )
    done = halve(model, {"x": X})
    assert done.off < 2e-3
    assert done.notes == ["kept 1 of 2 products in 32 bits: may be large: 's' is a square"]


def test_a_chain_of_many_layers_is_followed():
    layers = "".join(f"a{i} = MatMul (n{i}, u) n{i + 1} = Tanh (a{i}) " for i in range(200))
    model = build(
        f"g ({HEAD}) => (float[5, 16] y) {{ n0 = Tanh (x)  {layers} s = Mul (n200, n200)  y = MatMul (s, v) }}", GIVEN
    )
    done = halve(model, {"x": X})
    assert done.notes == []
    assert done.off < 5e-2


def test_bfloat16_has_the_range():
    model = build(f"g ({HEAD}) => (float[5, 16] y) {{ h = MatMul (x, u)  s = Mul (h, h)  y = MatMul (s, v) }}", GIVEN)
    context = Context()
    ConvertBf16().run(model, context)
    assert context.notes == []


@pytest.mark.parametrize(("dtype", "stays"), [("int64", True), ("int32", True), ("uint8", False), ("bool", False)])
def test_whole_numbers_of_unknown_size_are_multiplied_in_32_bits(dtype, stays):
    model = build(
        f"""g ({dtype}[5, 16] n, float[16, 16] u, float[16, 16] v) => (float[5, 16] y)
        {{ f = Cast <to = 1> (n)  h = MatMul (f, u)  t = Tanh (h)  y = MatMul (t, v) }}""",
        {"u": GIVEN["u"] / 1e5 if stays else GIVEN["u"] / 100, "v": GIVEN["v"]},
    )
    largest = {"int64": 10**6, "int32": 10**6, "uint8": 255, "bool": 1}[dtype]
    done = halve(model, {"n": RNG.integers(0, largest, (5, 16), endpoint=True).astype(dtype)})
    assert done.off < 3e-3
    assert done.notes == (["kept 1 of 2 products in 32 bits: reads whole numbers of unknown size"] if stays else [])
