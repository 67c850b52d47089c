"""Arithmetic of dimensions, checked against numbers."""

from __future__ import annotations

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.shapes import dims
from regraft.shapes.dims import Dim, Expr, symbol

batch, seq = symbol("batch"), symbol("seq")


def value(dim: Dim, **sizes: int) -> int:
    """What `dim` is for the sizes."""
    if isinstance(dim, int):
        return dim
    return int(eval(str(dim), {"floor": math.floor, "min": min, "max": max}, sizes))


expressions = st.recursive(
    st.integers(-3, 5) | st.sampled_from([batch, seq]),
    lambda inner: st.builds(
        lambda op, a, b: op(a, b), st.sampled_from([operator.add, operator.mul, operator.sub]), inner, inner
    ),
    max_leaves=6,
)
sizes = st.fixed_dictionaries({"batch": st.integers(0, 5), "seq": st.integers(0, 5)})


@given(expressions, expressions, sizes)
def test_what_is_said_of_two_expressions_holds_for_numbers(a: Dim, b: Dim, at: dict[str, int]) -> None:
    x, y = value(a, **at), value(b, **at)
    assert value(a + b, **at) == x + y
    assert value(a * b, **at) == x * y
    assert value(a - b, **at) == x - y
    assert value(dims.smaller(a, b), **at) == min(x, y)
    assert value(dims.larger(a, b), **at) == max(x, y)
    assert not (a == b and x != y)
    assert not (dims.differ(a, b) and x == y)
    assert not (dims.is_natural(a) and x < 0)


@given(expressions, expressions, sizes)
def test_a_product_divided_by_a_factor_is_the_other(a: Dim, b: Dim, at: dict[str, int]) -> None:
    if value(b, **at) > 0:
        assert value(dims.quotient([a, b], [b]), **at) == value(a, **at)
        assert value(dims.quotient([a], [b]), **at) == value(a, **at) // value(b, **at)


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (batch * (seq + 1) - batch, "batch*seq"),
        (2 * seq + 3, "2*seq + 3"),
        (dims.quotient([seq], [2]), "floor(seq/2)"),
        (dims.quotient([batch, seq, 4], [seq]), "4*batch"),
        (dims.smaller(seq, 512), "min(512, seq)"),
        (seq - seq, "0"),
    ],
)
def test_an_expression_reads_like_the_maths(dim: Dim, text: str) -> None:
    assert str(dim) == text


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        (batch, 1, batch),
        (1, batch, batch),
        (batch, 7, 7),
        (batch, batch, batch),
        (dims.smaller(512, seq), seq, seq),
        (0, 1, 0),
    ],
)
def test_broadcast(a: Dim, b: Dim, result: Dim) -> None:
    assert dims.broadcast(a, b) == result


def test_broadcast_of_unrelated_names_has_no_name() -> None:
    assert not dims.is_named(dims.broadcast(batch, seq))
    assert not dims.is_named(dims.broadcast(dims.smaller(1, seq), seq))


def test_sizes_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 3 do not broadcast"):
        dims.broadcast(2, 3)


def test_a_free_number_may_be_negative() -> None:
    assert dims.is_natural(dims.unnamed())
    assert not dims.is_natural(dims.free())
    assert isinstance(dims.free(), Expr)
    assert dims.show(dims.unnamed()) is None


@pytest.mark.parametrize(
    ("size", "start", "end", "step", "places"),
    [
        (4, 1, 2**63 - 1, 1, [1, 2, 3]),
        (4, -1, -(2**63), -1, [3, 2, 1, 0]),
        (4, -3, -1, 2, [1]),
        (1, -2, -2, -2, [0]),  # Python's slice is empty
        (0, 0, -5, -1, []),
    ],
)
def test_slice_takes_what_onnx_runtime_takes(size: int, start: int, end: int, step: int, places: list[int]) -> None:
    assert list(dims.slice_places(size, start, end, step)) == places
