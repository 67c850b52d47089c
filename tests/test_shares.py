"""The fast tests have each value of a product, and what they have not is slow."""

from __future__ import annotations

from itertools import product

import pytest

from tests.shares import diagonal, every

NAMES, FORMS = "abcd", range(3)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_value_is_fast_and_the_rest_is_slow(n: int) -> None:
    params = diagonal(n, NAMES, FORMS)
    assert [param.values for param in params] == list(product(NAMES, FORMS))
    assert {mark.name for param in params for mark in param.marks} <= {"slow"}
    fast = [param.values for param in params if not param.marks]
    assert {name for name, _ in fast} == set(NAMES)
    assert {form for _, form in fast} == set(FORMS)
    assert len(fast) == len(params) / n


def test_of_rows_every_so_many_are_fast() -> None:
    params = every(2, zip(NAMES, FORMS, strict=False))
    assert [(*param.values, bool(param.marks)) for param in params] == [
        ("a", 0, False),
        ("b", 1, True),
        ("c", 2, False),
    ]


def test_of_one_sequence_every_so_many_are_fast() -> None:
    assert [param.values[0] for param in diagonal(3, NAMES) if not param.marks] == ["a", "d"]
