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


def is_same(before: Term, after: Term, seed: int) -> bool:
    """Whether ONNX Runtime gives the same for both, wherever the first gives a number of usual size."""
    both = Apply("Add", (before, after))
    for given in values(both, seed):
        here = {one.name for one in walk(before) if isinstance(one, Var)}
        there = {one.name for one in walk(after) if isinstance(one, Var)}
        first, second = (
            Session(written(bound(term), {n: given[n] for n in names}, np.float32), threads=1).run(
                {n: given[n] for n in sorted(names)}
            )["result"]
            for term, names in ((before, here), (after, there))
        )
        if first.shape != second.shape:
            return False
        known = np.isfinite(first) & (np.abs(first) < 1e4)
        if not np.allclose(first[known], second[known], rtol=2e-3, atol=2e-3):
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
            assert search(before, after, FACTS) is None, f"pair {seed} is proved, and an input shows otherwise"
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
