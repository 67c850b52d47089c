"""No Cast parts a product from its DequantizeLinear or QuantizeLinear, or stands before one with 4-bit weights."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.ir.graph import Constant
from tests.mixed_precision.conftest import build, halve

RNG = np.random.default_rng(4)
X = RNG.standard_normal((5, 32)).astype(np.float32)
W = (RNG.standard_normal((32, 32)) / 6).astype(np.float32)
Q = RNG.integers(-127, 128, (32, 32)).astype(np.int8)
SCALE = (0.002 * (1 + RNG.random(32))).astype(np.float32)
GIVEN = {"q": Q, "s": SCALE, "w": W, "a": np.float32(0.03), "z": np.int8(0), "b": np.zeros(32, np.float32)}
HEAD = "float[5, 32] x, int8[32, 32] q, float[32] s, float[32, 32] w, float a, int8 z, float[32] b"


def around(model, op: str) -> set[str]:
    """The operators next to nodes of `op`."""
    nodes = [node for node in model.nodes() if node.op == op]
    before = {producer.op for node in nodes for t in node.inputs for producer in t.inputs}
    return before | {reader.op for node in nodes for t in node.outputs for reader in t.outputs}


@pytest.mark.parametrize("opset", [13, 17, 19, 21, 23])
def test_what_is_computed_in_8_bits_stays(opset):
    model = build(
        f"""g ({HEAD}) => (float[5, 32] y)
        {{ h = MatMul (x, w)  r = Relu (h)  hq = QuantizeLinear (r, a, z)  hd = DequantizeLinear (hq, a, z)
           wd = DequantizeLinear <axis = 1> (q, s)  p = MatMul (hd, wd)  t = Relu (p)
           tq = QuantizeLinear (t, a, z)  td = DequantizeLinear (tq, a, z)  y = MatMul (td, w) }}""",
        GIVEN,
        opset=opset,
    )
    done = halve(model, {"x": X})
    assert done.off < 3e-2  # an eighth bit may flip
    assert not {"p", "t"} & done.half
    assert "Cast" not in around(done.model, "DequantizeLinear")
    assert "h" in done.half
    products = [node for node in done.model.graph.nodes if node.op == "MatMul"]
    assert any(note.startswith("kept 1 of 3 products in 32 bits: computed in few bits") for note in done.notes)
    assert (products[-1].outputs[0].dtype == np.float16) == (opset >= 19)


@pytest.mark.parametrize("view", ["wt = Identity (wd)", "wt = Transpose (wd)"])
@pytest.mark.parametrize("opset", [17, 21, 23])
def test_weights_in_8_bits(opset, view):
    model = build(
        f"""g ({HEAD}) => (float[5, 32] y)
        {{ wd = DequantizeLinear <axis = 1> (q, s)  {view}  h = MatMul (x, wt)  r = Relu (h)  y = MatMul (r, w) }}""",
        GIVEN,
        opset=opset,
    )
    done = halve(model, {"x": X})
    assert done.off < 2e-3
    assert ("h" in done.half) == (opset >= 19)
    assert "Cast" not in around(done.model, "DequantizeLinear") | around(done.model, view.split()[2])


def test_weights_in_8_bits_written_by_hand():
    model = build(
        f"""g ({HEAD}, float zero) => (float[5, 32] y)
        {{ f = Cast <to = 1> (q)  c = Sub (f, zero)  wd = Mul (c, s)  h = MatMul (x, wd)  y = Relu (h) }}""",
        GIVEN | {"zero": np.float32(3)},
    )
    done = halve(model, {"x": X})
    assert done.off < 2e-3
    assert {"f", "c", "wd", "h"} <= done.half


def test_weights_in_4_bits():
    packed = RNG.integers(0, 256, (32, 1, 16)).astype(np.uint8)
    model = build(
        """g (float[5, 32] x, uint8[32, 1, 16] q, float[32] s, float[32, 32] w) => (float[5, 32] y)
        { h = MatMul (x, w)  r = Relu (h)
          p = com.microsoft.MatMulNBits <K = 32, N = 32, bits = 4, block_size = 32> (r, q, s)  t = Relu (p)
          y = MatMul (t, w) }""",
        {"q": packed, "s": SCALE, "w": W},
    )
    done = halve(model, {"x": X})
    assert done.off < 3e-3
    assert "p" in done.half
    assert around(done.model, "MatMulNBits") == {"Relu"}
    assert [node.op for node in done.model.graph.nodes].count("Cast") == 2


def test_products_of_whole_numbers_are_scaled_in_32_bits():
    model = build(
        f"""g ({HEAD}, uint8 k) => (float[5, 32] y)
        {{ n, scale, zero = DynamicQuantizeLinear (x)  m = MatMulInteger (n, q, zero)  f = Cast <to = 1> (m)
           t = Mul (scale, s)  r = Mul (f, t)  h = Add (r, b)  g = Relu (h)  y = MatMul (g, w) }}""",
        GIVEN | {"k": np.uint8(0)},
    )
    done = halve(model, {"x": 30 * X})
    assert done.off < 2e-3
    assert not {"f", "r"} & done.half
    weights = [t for node in done.model.graph.nodes for t in node.inputs if isinstance(t, Constant) and t.name == "w"]
    assert {str(t.dtype) for t in weights} == {"float16"}
