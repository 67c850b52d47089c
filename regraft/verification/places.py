"""The places where a rewrite changed how a value is computed, and what is proved of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from regraft.ir.model import Model
from regraft.verification.contract import Contract
from regraft.wording import count

Outcome = Literal["proved", "within", "out of reach"]


@dataclass(frozen=True)
class Place:
    """A value that two models have, and compute in different ways.

    Attributes:
        value: its name.
        path: the graph that it is in: `node/attribute/` for each graph around; empty in the main graph.
        outcome: whether both ways are proved to give the same, over the real numbers and for all sizes; or to be within
            what the contract allows.
        reason: why they are not.
        bound: of one that is within: how far they are apart, at most.
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
    bound: float | None = None


class Prover(Protocol):
    """Proves what it can of a model before and after: `regraft.prove_models`."""

    def __call__(
        self, before: Model, after: Model, names: Mapping[str, str] | None = None, *, contract: Contract | None = None
    ) -> list[Place]: ...


def summary(places: Iterable[Place]) -> str:
    """How many are proved, in a line."""
    every = list(places)
    proved = sum(place.outcome == "proved" for place in every)
    bounds = [place.bound for place in every if place.bound is not None]
    within = f", {len(bounds)} within {max(bounds):.3g}" if bounds else ""
    error = max((place.error for place in every), default=0.0)
    stored = f", with stored numbers up to {error:.1g} off" if error else ""
    return f"{proved} of {count(len(every), 'place')} proved over the reals{within}{stored}"
