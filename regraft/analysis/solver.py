"""The walk back from a value that every question about values takes: of any length, each value looked at once.

Where values go round, in a Loop or a Scan, the facts of a round are found again until they hold for every round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from regraft.ir.graph import Tensor

Fact = TypeVar("Fact")


class Step(NamedTuple):
    """How the fact of a value follows from those of others.

    Attributes:
        operands: the values that it follows from.
        of: takes their facts, and gives the fact.
    """

    operands: Sequence[Tensor]
    of: Callable[..., Any]


class Round(NamedTuple):
    """How the fact of a value follows that each round of a loop hands on to the next.

    Attributes:
        operands: what it is before the first round, and what a round makes of it.
    """

    operands: tuple[Tensor, Tensor]


class Solver(Generic[Fact]):
    """Facts of values, each found when it is asked for, after those that it follows from; `known` keeps them.

    A subclass says with `step` what a fact follows from. Where steps go round in a circle a `Round` must be on it. The
    walk takes first what the facts before the first round say, and then as much less, by `carried`, as holds after
    every round: facts must have no endless chains of less and less.
    """

    def __init__(self, known: dict[Tensor, Fact] | None = None) -> None:
        self.known: dict[Tensor, Fact] = {} if known is None else known

    def __getitem__(self, tensor: Tensor) -> Fact:
        known = self.known
        if tensor not in known:
            self._solve(tensor)
        return known[tensor]

    def step(self, tensor: Tensor) -> Step | Round:
        """How the fact of `tensor` follows."""
        raise NotImplementedError

    def unknown(self, tensor: Tensor) -> Fact:
        """The fact that says nothing."""
        raise NotImplementedError

    def first_round(self, tensor: Tensor, first: Fact) -> Fact:
        """What to try of a value that a loop carries; `first` is the fact before the first round."""
        return first

    def carried(self, tensor: Tensor, tried: Fact, first: Fact, again: Fact) -> Fact:
        """What holds before a round and after it, and says no more than `tried`.

        Args:
            tried: what was taken to hold before the round.
            again: the fact after it.
        """
        raise NotImplementedError

    def narrowed(self, tensor: Tensor, held: Fact, first: Fact, again: Fact) -> Fact:
        """`held`, which holds in every round, with what `again` says more: it was found after a round of `held`."""
        return held

    def _solve(self, tensor: Tensor) -> None:
        first = self.step(tensor)
        if isinstance(first, Step) and all(map(self.known.__contains__, first.operands)):
            self.known[tensor] = first.of(*[self.known[operand] for operand in first.operands])
            return
        steps, order, goes_round = self._slice(tensor, first)
        if goes_round:
            self._solve_rounds(steps, order)
            return
        known = self.known
        for current in order:
            step = steps[current]
            assert isinstance(step, Step)
            known[current] = step.of(*[known[operand] for operand in step.operands])

    def _slice(self, tensor: Tensor, first: Step | Round) -> tuple[dict[Tensor, Step | Round], list[Tensor], bool]:
        """What `tensor` follows from and is not known yet, operands first, and whether loops carry any of it."""
        known, steps, done = self.known, dict[Tensor, Step | Round](), dict[Tensor, None]()
        pending, goes_round = [tensor], False
        while pending:
            current = pending[-1]
            if current in steps:
                pending.pop()
                done[current] = None
                continue
            step = self.step(current) if steps else first
            steps[current] = step
            goes_round = goes_round or isinstance(step, Round)
            for operand in step.operands:
                if operand not in known and operand not in done:
                    if operand in steps:
                        goes_round = True
                    else:
                        pending.append(operand)
        return steps, list(done), goes_round

    def _solve_rounds(self, steps: dict[Tensor, Step | Round], order: list[Tensor]) -> None:
        known = self.known
        try:
            self._ascend(steps, order)
            rounds = [(t, step) for t in order if isinstance(step := steps[t], Round) and t in known]
            narrowed = {
                t: self.narrowed(t, known[t], known[step.operands[0]], known[step.operands[1]])
                for t, step in rounds
                if all(operand in known for operand in step.operands)
            }
            if any(known[t] != fact for t, fact in narrowed.items()):
                known.update(narrowed)
                for t in order:
                    step = steps[t]
                    if isinstance(step, Step) and t in known:
                        known[t] = step.of(*[known[operand] for operand in step.operands])
        except BaseException:
            for t in order:  # what was only taken to hold
                known.pop(t, None)
            raise
        for t in order:
            if t not in known:  # a circle without a beginning
                known[t] = self.unknown(t)

    def _ascend(self, steps: dict[Tensor, Step | Round], order: list[Tensor]) -> None:
        """Find facts that hold in every round, from those that hold in the first."""
        known = self.known
        before, changed = set[Tensor](), set[Tensor](order)
        while changed:
            before, changed = changed, set[Tensor]()
            for t in order:
                step = steps[t]
                is_new = t not in known or (t in before and isinstance(step, Round))
                if not is_new and before.isdisjoint(step.operands) and changed.isdisjoint(step.operands):
                    continue
                facts = [known[operand] for operand in step.operands if operand in known]
                if isinstance(step, Round) and t not in known and step.operands[0] in known:
                    fact = self.first_round(t, facts[0])
                elif len(facts) < len(step.operands):
                    continue
                else:
                    fact = step.of(*facts) if isinstance(step, Step) else self.carried(t, known[t], *facts)
                if t not in known or known[t] != fact:
                    known[t] = fact
                    changed.add(t)
