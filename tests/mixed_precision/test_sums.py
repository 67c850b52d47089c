"""What a loop adds up stays in 32 bits, and what it only forwards does not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.mixed_precision.conftest import build, halve

RNG = np.random.default_rng(3)
W = (RNG.standard_normal((4, 4)) / 2).astype(np.float32)
GIVEN = {"w": W, "one": np.full((2, 4), 1, np.float32), "start": np.zeros((2, 4), np.float32), "times": np.array(3000)}
HEAD = "float[2, 4] x, float[4, 4] w, float[2, 4] one, float[2, 4] start, int64 times"

STEPS = {
    "Add": "t = Add (s, one)",
    "Sum": "t = Sum (one, s)",
    "Sub": "n = Neg (one)  t = Sub (s, n)",
    "decay": "d = Mul (s, decay)  t = Add (d, one)",
    "behind a view": "v = Transpose (s)  u = Transpose (v)  t = Add (u, one)",
    "in a branch": """t = If (c) <then_branch = a () => (float[2, 4] t1) { t1 = Add (s, one) },
                      else_branch = e () => (float[2, 4] t2) { t2 = Identity (s) }>""",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_sum_of_many_rounds(step):
    model = build(
        f"""g ({HEAD}, float decay) => (float[2, 4] y)
        {{ h = MatMul (x, w)
           q = Loop (times, , start) <body = l (int64 i, bool c, float[2, 4] s) => (bool c2, float[2, 4] t)
             {{ c2 = Equal (i, i)  {STEPS[step]} }}>
           z = Mul (h, q)  y = MatMul (z, w) }}""",
        GIVEN | {"decay": np.float32(0.9999)},
    )
    done = halve(model, {"x": np.ones((2, 4), np.float32)})
    assert done.off < 3e-3
    assert "h" in done.half
    assert not {"t", "s", "q"} & done.half


def test_a_sum_that_two_states_hand_to_each_other():
    model = build(
        f"""g ({HEAD}) => (float[2, 4] y)
        {{ h = MatMul (x, w)
           q, p = Loop (times, , start, start) <body = l (int64 i, bool c, float[2, 4] s, float[2, 4] r)
             => (bool c2, float[2, 4] t, float[2, 4] u) {{ c2 = Identity (c)  t = Identity (r)  u = Add (s, one) }}>
           z = Add (q, p)  k = Mul (h, z)  y = MatMul (k, w) }}""",
        GIVEN | {"times": np.array(6001)},
    )
    done = halve(model, {"x": np.ones((2, 4), np.float32)})
    assert done.off < 3e-3
    assert "h" in done.half


def test_a_scan_that_adds_up():
    model = build(
        f"""g ({HEAD}, float[5000, 4] rows, float[4] zero) => (float[4] y)
        {{ h = MatMul (rows, w)
           q, all = Scan (zero, h) <num_scan_inputs = 1, body = b (float[4] s, float[4] p) => (float[4] t, float[4] u)
             {{ t = Add (s, p)  u = Identity (p) }}>  y = MatMul (q, w) }}""",
        GIVEN | {"zero": np.zeros(4, np.float32)},
    )
    done = halve(model, {"rows": RNG.random((5000, 4)).astype(np.float32), "x": np.ones((2, 4), np.float32)})
    assert done.off < 3e-3
    assert "h" in done.half


@pytest.mark.parametrize("step", ["t = MatMul (s, w)", "m = MatMul (s, w)  a = Tanh (m)  t = Add (a, one)"])
def test_a_state_that_is_no_sum_is_lowered(step):
    model = build(
        f"""g ({HEAD}) => (float[2, 4] y)
        {{ h = MatMul (x, w)
           q = Loop (times, , h) <body = l (int64 i, bool c, float[2, 4] s) => (bool c2, float[2, 4] t)
             {{ c2 = Identity (c)  {step} }}>  y = MatMul (q, w) }}""",
        GIVEN | {"times": np.array(4)},
    )
    done = halve(model, {"x": np.ones((2, 4), np.float32)})
    assert done.off < 5e-3
    assert {"h", "s", "t", "q"} - done.half == {"s"}  # an input of the body, not made by a node
    assert done.notes == []


def test_a_function_that_adds_to_what_it_is_given_is_no_loop():
    model = build(
        """g (float[2, 4] x, float[4, 4] w) => (float[2, 4] y)
        { p = local.f (x, w)  q = local.f (p, w)  y = local.f (q, w) }
        <domain: "local", opset_import: ["" : 17]> f (a, b) => (c) { h = MatMul (a, b)  s = Relu (h)  c = Add (s, h) }
        """,
        {"w": W},
        domains='"local" : 1',
    )
    done = halve(model, {"x": np.ones((2, 4), np.float32)})
    assert done.off < 5e-3
    assert done.notes == []


@pytest.mark.parametrize("pipeline", ["convert-fp16", "eliminate-dead-code"])
def test_the_body_of_a_scan_keeps_the_shapes_that_only_it_declares(pipeline):
    """ONNX Runtime runs no Scan without: what cannot be confirmed of a body's outputs is written as it was."""
    model = build(
        f"""g ({HEAD}, float[N] flat, int64[K] to, int64[1] axes) => (float[4] q, float[M, 4] all)
        {{ rows = Reshape (flat, to)  s0 = ReduceMax <keepdims = 0> (rows, axes)
           q, all = Scan (s0, rows) <num_scan_inputs = 1, body = b (float[4] s, float[4] p) => (float[4] t, float[4] u)
             {{ t = Add (s, p)  u = Tanh (t) }}> }}""",
        GIVEN | {"axes": np.array([0])},
        opset=18,
    )
    done = halve(
        model,
        {"flat": RNG.random(12).astype(np.float32), "to": np.array([3, 4]), "x": np.ones((2, 4), np.float32)},
        pipeline,
    )
    assert done.off < 2e-3
