"""Random chains of operators that lay out, cut and join: equal as is proved if and only if equal in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from regraft.ir.graph import Variable
from regraft.proving.denote import Denotation
from regraft.proving.equivalence import difference
from regraft.proving.reach import OutOfReach
from regraft.proving.writer import written
from regraft.rewriting.facts import Operand
from regraft.rewriting.term import Apply, Given, Term, Var, op

SHAPE = (4, 6)
STEPS = 5


def grown(random: np.random.Generator, x: Term, shape: tuple[int, ...], steps: int) -> tuple[Term, tuple[int, ...]]:
    """A chain of operators on `x`, and the shape of what it gives."""
    for _ in range(steps):
        rank, axis = len(shape), int(random.integers(len(shape)))
        size = shape[axis]
        match int(random.integers(7)):
            case 0:
                perm = [int(one) for one in random.permutation(rank)]
                x, shape = op.Transpose(x, perm=perm), tuple(shape[one] for one in perm)
            case 1:
                shape = laid_out(random, int(np.prod(shape)))
                x = op.Reshape(x, shape=list(shape))
            case 2 if size > 1:
                start, end = sorted(int(one) for one in random.choice(size + 1, 2, replace=False))
                x = op.Slice(x, starts=[start], ends=[end], axes=[axis])
                shape = (*shape[:axis], end - start, *shape[axis + 1 :])
            case 3 if size > 1:
                x = op.Slice(x, starts=[-1], ends=[-(2**60)], axes=[axis], steps=[-1])
            case 4 if size > 1:
                at = int(random.integers(1, size))
                parts = (op.Slice(x, starts=[a], ends=[b], axes=[axis]) for a, b in ((0, at), (at, size)))
                first, second = parts
                x = (
                    op.Concat(first, second, axis=axis)
                    if random.random() < 0.7
                    else op.Concat(second, first, axis=axis)
                )
            case 5 if size > 1:
                order = np.array(random.permutation(size), np.int64)
                x = op.Gather(x, order, axis=axis)
            case 6 if rank > 1:
                x, shape = op.ReduceSum(x, axes=[axis], keepdims=0), (*shape[:axis], *shape[axis + 1 :])
    return x, shape


def laid_out(random: np.random.Generator, count: int) -> tuple[int, ...]:
    """A shape of so many elements."""
    found: list[int] = []
    while count > 1 and len(found) < 3:
        divisors = [n for n in range(2, count + 1) if count % n == 0]
        found.append(int(random.choice(divisors)))
        count //= found[-1]
    return (*found, count) if count > 1 or not found else tuple(found)


def numbers(term: Term, x: np.ndarray) -> np.ndarray:
    def concrete(one: Any) -> Any:
        if isinstance(one, Var):
            return Given(Variable(one.name))
        return Apply(one.op, tuple(map(concrete, one.operands)), one.attrs) if isinstance(one, Apply) else one

    (found,) = ReferenceEvaluator(written(concrete(term), {"x": x})).run(None, {"x": x})
    return np.asarray(found)


@pytest.mark.parametrize("seed", range(90))
def test_chains_are_proved_equal_where_their_numbers_are(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = 2.0 ** np.arange(24).reshape(SHAPE)  # sums of different elements differ
    before, shape = grown(random, Var("x"), SHAPE, STEPS)
    after, _ = grown(random, Var("x"), SHAPE, STEPS)
    back = op.Reshape(op.Reshape(before, shape=[-1]), shape=list(shape))
    denote = Denotation({"x": Operand("4 6")})
    assert difference(denote(before), denote(back)) == ""
    turned, _ = grown(random, before, shape, 2)
    for one in (after, turned):
        same = np.array_equal(numbers(before, x), numbers(one, x))
        try:
            proved = difference(denote(before), denote(one)) == ""
        except OutOfReach:
            proved = False
        assert proved == same
