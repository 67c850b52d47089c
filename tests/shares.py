"""Which cases of a product the fast tests have; the slow ones have the rest."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def diagonal(n: int, *values: Iterable[Any]) -> list[Any]:
    """The product of `values` as parameters of a test, of which every n-th diagonal is fast, and the rest slow.

    Each value is in a fast case where it meets n others that follow each other; of one sequence, every n-th is fast.
    """
    rows = product(*(enumerate(each) for each in values))
    return [_param([value for _, value in row], sum(place for place, _ in row) % n == 0) for row in rows]


def every(n: int, rows: Iterable[Iterable[Any]]) -> list[Any]:
    """Rows of values as parameters of a test, of which every n-th is fast, and the rest slow."""
    return [_param(row, place % n == 0) for place, row in enumerate(rows)]


def _param(values: Iterable[Any], fast: bool) -> Any:
    return pytest.param(*values, marks=() if fast else pytest.mark.slow)
