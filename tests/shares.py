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
    return [
        pytest.param(*(value for _, value in row), marks=pytest.mark.slow if sum(place for place, _ in row) % n else ())
        for row in rows
    ]
