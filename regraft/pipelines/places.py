"""The places where a rewrite changed how a value is computed, and what is proved of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from regraft.ir.model import Model

Outcome = Literal["proved", "out of reach"]


@dataclass(frozen=True)
class Place:
    """A value that two models have, and compute in different ways.

    Attributes:
        value: its name.
        path: the graph that it is in: `node/attribute/` for each graph around; empty in the main graph.
        outcome: whether both ways are proved to give the same, over the real numbers and for all sizes.
        reason: why they are not.
        before, after: the operators on each way from what both models have.
        seconds: what the proof took.
        error: how far stored numbers are from what they were taken for, at most, relative to them.
    """

    value: str
    path: str
    outcome: Outcome
    reason: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    seconds: float = 0.0
    error: float = 0.0


Prover = Callable[[Model, Model], list[Place]]
"""Proves what it can of a model before and after: `regraft.prove_models`."""


def summary(places: Iterable[Place]) -> str:
    """How many are proved, in a line."""
    every = list(places)
    proved = sum(place.outcome == "proved" for place in every)
    error = max((place.error for place in every), default=0.0)
    stored = f", with stored numbers up to {error:.1g} off" if error else ""
    return f"{proved} of {len(every)} place{'s' if len(every) != 1 else ''} proved over the reals{stored}"
