"""Random pairs of terms: what is proved the same, ONNX Runtime computes the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from regraft.ir.graph import Variable
from regraft.proving.counterexample import search
from regraft.proving.denote import Denotation
from regraft.proving.equivalence import difference
from regraft.proving.reach import OutOfReach
from regraft.proving.writer import written
from regraft.rewriting.term import Apply, Given, Number, Term, Var, walk
from regraft.runtime import Session
from tests.proving.random_terms import FACTS, SIZES, pair

SHARE = 250


def outcome(before: Term, after: Term) -> str:
    denote = Denotation(FACTS)
    try:
        return "different" if difference(denote(before), denote(after)) else "proved"
    except OutOfReach:
        return "out of reach"


def bound(term: Any) -> Any:
    """The term with inputs of a model for its variables."""
    if isinstance(term, Var):
        return Given(Variable(term.name))
    return Apply(term.op, tuple(map(bound, term.operands)), term.attrs) if isinstance(term, Apply) else term


def values(term: Term, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of each kind: of any sign, above zero, and with zeros and ties among them."""
    random = np.random.default_rng(seed)
    names = sorted({one.name for one in walk(term) if isinstance(one, Var)})
    shapes = {name: [SIZES[axis] for axis in FACTS[name].axes.split()] for name in names}
    yield {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    yield {name: random.uniform(0.5, 2, shape).astype(np.float32) for name, shape in shapes.items()}
    yield {name: random.integers(-2, 3, shape).astype(np.float32) for name, shape in shapes.items()}


def run(term: Term, given: dict[str, np.ndarray]) -> np.ndarray:
    """What ONNX Runtime gives for `term`."""
    read = {one.name: given[one.name] for one in walk(term) if isinstance(one, Var)}
    return Session(written(bound(term), read, np.float32), threads=1).run(read)["result"]


def is_defined(term: Term, given: dict[str, np.ndarray]) -> bool:
    """Whether every value inside is a number of usual size: what infinities make of one another is not claimed."""
    inside = (run(one, given) for one in walk(term) if isinstance(one, Apply))
    return all(bool((np.isfinite(found) & (np.abs(found) < 1e4)).all()) for found in inside)


def is_same(before: Term, after: Term, seed: int) -> bool:
    """Whether ONNX Runtime gives the same for both, wherever the first is defined."""
    for given in values(Apply("Add", (before, after)), seed):
        first, second = run(before, given), run(after, given)
        if first.shape != second.shape:
            return False
        if not np.allclose(first, second, rtol=2e-3, atol=2e-3) and is_defined(before, given):
            return False
    return True


def has_operators(term: Term) -> bool:
    return any(isinstance(one, Apply) for one in walk(term)) and not isinstance(term, Number)


def check(seeds: range) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        before, after = pair(seed)
        if not has_operators(before):
            continue
        found = outcome(before, after)
        seen[found] += 1
        if found == "proved":
            assert is_same(before, after, seed), f"pair {seed} is proved, and is not the same"
        elif found == "different" and search(before, after, FACTS) is not None:
            seen["shown"] += 1
    return seen


def test_no_pair_is_proved_that_is_not_the_same() -> None:
    seen = check(range(SHARE))
    assert seen["proved"] > SHARE / 4
    assert seen["shown"] > SHARE / 5


@pytest.mark.slow
@pytest.mark.parametrize("part", range(15))
def test_no_pair_of_many_is_proved_that_is_not_the_same(part: int) -> None:
    check(range(1000 * (part + 1), 1000 * (part + 2)))
