"""What each step carries of an error is no less than what it makes of it, and hardly more than the most."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from regraft.proving.rounded import Format, NoBound, Rounded, either, format_of, largest_of, smallest_of
from regraft.proving.rounded_functions import exponential, logarithm, power, root, steep
from regraft.proving.roundoff_sums import Norm, divided_by_norm, root_mean_square

EXACT = Format(0.0, 0.0, math.inf)
"""A step that does not round itself."""
COUNT = 5
Array = np.ndarray[Any, Any]


class Step(NamedTuple):
    """One step on numbers and on what is known of them.

    Attributes:
        loose: the bound is at most so many times what is seen of it.
    """

    of: Callable[..., Rounded]
    on: Callable[..., Array]
    operands: int = 1
    ends: tuple[float, float] = (-3.0, 3.0)
    loose: float = 12.0


def rms(x: Array) -> Array:
    return np.sqrt((x * x).mean(-1) + 0.01)


NORM = Norm(None, 1 / COUNT, COUNT, 0.01)  # type: ignore[arg-type]
POSITIVE = (0.2, 3.0)
STEPS = {
    "sum": Step(lambda a, b: a + b, lambda a, b: a + b, 2),
    "sum of one sign": Step(lambda a, b: a + b, lambda a, b: a + b, 2, (0.0, 3.0)),
    "difference": Step(lambda a, b: a - b, lambda a, b: a - b, 2),
    "product": Step(lambda a, b: a * b, lambda a, b: a * b, 2),
    "square": Step(lambda a: a.squared(), lambda a: a * a),
    "quotient": Step(lambda a, b: a * b.reciprocal(), lambda a, b: a / b, 2, POSITIVE, 40),
    "of a negative": Step(lambda a: a.reciprocal(), lambda a: 1 / a, 1, (-3.0, -0.2)),
    "total": Step(lambda a: a.total(COUNT, EXACT), lambda a: a.sum(-1)),
    "total of one sign": Step(lambda a: a.total(COUNT, EXACT), lambda a: a.sum(-1), 1, POSITIVE),
    "dot": Step(
        lambda a, b: a.dot(b, COUNT * a.magnitude * b.magnitude, COUNT * b.magnitude, COUNT, EXACT),
        lambda a, b: (a * b).sum(-1),
        2,
    ),
    "largest": Step(largest_of, np.maximum, 2),
    "smallest of one sign": Step(smallest_of, np.minimum, 2, POSITIVE),
    "either": Step(either, lambda a, b: np.where(np.arange(a.shape[-1]) % 2, a, b), 2),
    "root": Step(root, np.sqrt, 1, POSITIVE),
    "exponential": Step(exponential, np.exp),
    "of what is far below 0": Step(exponential, np.exp, 1, (-600.0, 0.0), 100),
    "logarithm": Step(logarithm, np.log, 1, POSITIVE),
    "tanh": Step(steep(math.tanh, 1.0), np.tanh),
    "third power": Step(lambda a: power(a, 3.0), lambda a: a**3),
    "inverse root": Step(lambda a: power(a, -0.5), lambda a: a**-0.5, 1, POSITIVE, 40),
    "power": Step(lambda a: power(a, 1.7), lambda a: a**1.7, 1, POSITIVE, 60),
    "norm": Step(lambda a: root_mean_square(a, NORM, EXACT), rms),
    "normal": Step(
        lambda a: divided_by_norm(a, root_mean_square(a, NORM, EXACT), NORM, EXACT),
        lambda a: a / rms(a)[..., None],
        loose=60,
    ),
}


def operand(random: np.random.Generator, ends: tuple[float, float]) -> tuple[Rounded, Array, Array]:
    """A range with an error, numbers in it, and what may have been computed of them."""
    low, high = sorted(random.uniform(*ends, 2))
    relative, absolute = (float(random.choice([0.0, 1e-6, 1e-3, 0.02])) for _ in range(2))
    exact = np.concatenate([random.uniform(low, high, (200, COUNT)), random.choice([low, high], (200, COUNT))])
    off = random.choice([-1.0, 1.0, 0.3], exact.shape) * (relative * np.abs(exact) + absolute)
    return Rounded(low, high, relative, absolute), exact, exact + off


@pytest.mark.parametrize("name", STEPS)
def test_what_is_carried_bounds_what_is_there(name: str) -> None:
    step, random = STEPS[name], np.random.default_rng(0)
    tightest = math.inf
    for _ in range(60):
        known, exact, off = zip(*(operand(random, step.ends) for _ in range(step.operands)), strict=True)
        found = step.of(*known)
        right, wrong = step.on(*exact), step.on(*off)
        seen = np.abs(wrong - right)
        assert (seen <= (found.relative * np.abs(right) + found.absolute) * (1 + 1e-9) + 1e-12).all()
        assert found.low - 1e-9 <= right.min()
        assert right.max() <= found.high + 1e-9
        if seen.max() > 1e-6:
            tightest = min(tightest, found.error / float(seen.max()))
    assert tightest <= step.loose


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (lambda: Rounded(-1.0, 1.0).reciprocal(), "division"),
        (lambda: Rounded(0.1, 1.0, 0.0, 0.2).reciprocal(), "division"),
        (lambda: root(Rounded(-0.1, 1.0)), "domain"),
        (lambda: root(Rounded(0.0, 1.0, 0.0, 1e-9)), "domain"),
        (lambda: logarithm(Rounded(0.0, 1.0)), "domain"),
        (lambda: exponential(Rounded(0.0, 800.0)), "domain"),
        (lambda: exponential(Rounded(-1.0, 2.0, 0.0, 3.0)), "domain"),
        (lambda: power(Rounded(-1.0, 2.0), 0.3), "domain"),
        (lambda: power(Rounded(1.0, 1e30), 60.5), "domain"),
        (lambda: divided_by_norm(Rounded(-1, 1), Rounded(0, 1), NORM._replace(epsilon=0.0), EXACT), "division"),
    ],
)
def test_what_is_not_defined_has_no_bound(work: Callable[[], Rounded], why: str) -> None:
    with pytest.raises(NoBound) as caught:
        work()
    assert caught.value.why == why


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_format_bounds_what_rounding_moves(dtype: str) -> None:
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    to, random = format_of(kind), np.random.default_rng(0)
    reach = min(math.log10(to.largest) - 0.01, 12.0)
    wide = random.uniform(-1, 1, 50_000) * 10.0 ** random.uniform(-reach, reach, 50_000)
    off = np.abs(wide.astype(kind).astype(np.float64) - wide)
    assert (off <= to.unit * np.abs(wide) + to.tiny).all()
    assert dtype == "float64" or (off > 0.9 * to.unit * np.abs(wide)).any()
    with np.errstate(over="ignore"):
        assert not np.isfinite(np.float64(to.largest * 1.01).astype(kind).astype(np.float64))
