"""The codes of MXNet's Reshape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.frontends.mxnet.codes import reshaped
from regraft.shapes import dims


@pytest.mark.parametrize(
    ("source", "codes", "reverse", "expected"),
    [
        ((2, 3, 4), (4, 0, 2), False, (4, 3, 2)),
        ((2, 3, 4), (6, 1, -1), False, (6, 1, 4)),
        ((2, 3, 4), (-1,), False, (24,)),
        ((2, 3, 4), (-2,), False, (2, 3, 4)),
        ((2, 3, 4), (-2, 1, 1), False, (2, 3, 4, 1, 1)),
        ((2, 3, 4), (-3, 4), False, (6, 4)),
        ((2, 3, 4, 5), (-3, -3), False, (6, 20)),
        ((2, 3, 4), (0, -3), False, (2, 12)),
        ((2, 3, 4), (-4, 1, 2, -2), False, (1, 2, 3, 4)),
        ((2, 3, 4), (2, -4, -1, 3, -2), False, (2, 1, 3, 4)),
        ((10, 5, 4), (-1, 0), False, (40, 5)),
        ((10, 5, 4), (-1, 0), True, (50, 4)),
        ((8, 4, 16, 16), (-1, 0, 0), True, (32, 16, 16)),
        ((64, 32), (4, -1, 0), True, (4, 16, 32)),
        ((64,), (4, -1), True, (4, 16)),
        ((2, 3, 8), (0, 0, -4, 4, -1), True, (2, 3, 4, 2)),
    ],
)
def test_what_the_documentation_says(source, codes, reverse, expected):
    assert reshaped(source, codes, reverse) == expected


@pytest.mark.parametrize(
    ("source", "codes"),
    [((2, 3), (0, 0, 0)), ((2,), (-3,)), ((2, 3), (-1, -1)), ((2, 3), (-4, 2)), ((2, 3), (5, -1)), ((2, 3), (-7,))],
)
def test_codes_that_do_not_fit(source, codes):
    with pytest.raises(ValueError, match=r"shape|reshaped"):
        reshaped(source, codes)


@st.composite
def fitting(draw):
    """A shape, and codes that fit it, each made from the dimensions it takes."""
    source = draw(st.lists(st.sampled_from([2, 3, 4, 6]), min_size=1, max_size=4))
    codes, at = [], 0
    while at < len(source):
        kind = draw(st.sampled_from(["keep", "number", "merge", "split", "rest"]))
        if kind == "merge" and at + 2 <= len(source):
            codes.append(-3)
            at += 2
        elif kind == "split":
            part = draw(st.sampled_from([n for n in range(1, source[at] + 1) if source[at] % n == 0]))
            codes += [-4, part, draw(st.sampled_from([-1, source[at] // part]))]
            at += 1
        elif kind == "rest" and -1 not in codes:
            codes.append(-1)
            at += 1
        else:
            codes.append(0 if kind == "keep" else source[at])
            at += 1
    return tuple(source), tuple(codes)


@given(fitting())
def test_named_dimensions_reshape_as_numbers_do(case):
    source, codes = case
    numbers = reshaped(source, codes)
    assert math.prod(numbers) == math.prod(source)
    np.empty(source).reshape(numbers)
    named = reshaped((dims.symbol("batch"), *source[1:]), codes) if codes[0] in (0, -1, -3) else None
    if named is not None:
        assert [d if isinstance(d, int) else value(d, source[0]) for d in named] == list(numbers)


def value(dim: dims.Expr, batch: int) -> int:
    """The number that a polynomial of `batch` is."""
    assert all(set(term) <= {"batch"} for term in dim.terms), dim
    return sum(factor * batch ** len(term) for term, factor in dim.terms.items())
