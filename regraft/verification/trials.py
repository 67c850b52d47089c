"""Trials: the different kinds of inputs that models are compared on. A fault may show at one size only, in values of
one sign, at ties, in the last row of a table, or where a mask has holes. So trials vary all of these; the first is what
a user would try.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from regraft.verification.sizes import Scale

Floats = Literal["ordinary", "large", "zeros", "ties", "negative"]
Integers = Literal["flags", "signed", "medium", "wide"]
Indices = Literal["random", "ends", "sweep", "first"]
Masks = Literal["prefix", "left", "holes", "ones", "hiding"]

_USUAL, _ODD, _ONE = Scale(), Scale(3, 17, 45), Scale(1, 1, 32)
_PAIR, _SHORT, _ROW = Scale(2, 17, 45, apart=True), Scale(2, 7, 32), Scale(1, 5, 32)


@dataclass(frozen=True)
class Trial:
    """The properties of one set of generated inputs.

    Attributes:
        name: in reports.
        scale: sizes of open dimensions.
        floats: standard normal; 30 times that, with outliers, the first row above zero; zeros of both signs; halves
            with ties; all below zero.
        integers: 0 and 1; small, of both signs; more than 16 bits hold; large, the first row above zero, the last one
            below.
        indices: random rows of a table; its first, last and random ones; all in turn, as far as the input is long; the
            first two.
        masks: ones up to a length; from a place on (left padding); with holes; ones alone; one row hides everything.
        shift: added to positions.
        lead: the first of the integers.
        overrides: the factor on the values of inputs that have a default; 0 leaves them out.
        probes: whether there are values that the model compares the input with.
    """

    name: str
    scale: Scale = _USUAL
    floats: Floats = "ordinary"
    integers: Integers = "flags"
    indices: Indices = "random"
    masks: Masks = "prefix"
    shift: int = 0
    lead: int = 0
    overrides: float = 0
    probes: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether all values are ones that usual callers give."""
        return self.floats == "ordinary" and self.masks != "hiding" and not self.probes


USUAL = Trial("usual")

LONG = Trial("long", Scale(9, 71, 72), "ordinary", "medium", "sweep", "holes", shift=1, overrides=2.5, probes=True)
"""For models with small weights, where it is cheap."""

SMALL = 2**20
"""Bytes of such weights."""

TRIALS = (
    USUAL,
    Trial("large values, odd sizes", _ODD, "large", "wide", "ends", "left", shift=3, lead=2**31 + 7, overrides=1.25),
    Trial("negative values", _SHORT, "negative", "signed", "sweep", "holes", shift=1, lead=-3),
    Trial("one element", _ONE, "ordinary", "signed", "ends", "ones", lead=2, overrides=2.5),
    Trial("ties, odd sizes", _PAIR, "ties", "medium", "sweep", "hiding", lead=5, probes=True),
    Trial("zeros", _ROW, "zeros", "flags", "random", "ones", shift=2),
    LONG,
)
"""When fewer are requested, the first ones are used."""


def cautious(trial: Trial) -> Iterator[Trial]:
    """`trial`, then milder ones, the nearest first, for a model that does not run on it."""
    yield trial
    trial = replace(trial, scale=replace(trial.scale, apart=False))
    yield trial
    yield replace(trial, scale=replace(trial.scale, image=64))
    trial = replace(trial, overrides=0, probes=False)
    yield replace(trial, integers="signed")
    yield replace(trial, integers="flags", shift=0)
    yield replace(trial, scale=replace(trial.scale, image=64), integers="flags", shift=0)
    yield replace(trial, scale=USUAL.scale, integers="flags", shift=0)
    yield replace(trial, floats="ordinary", indices="random", integers="flags", shift=0)
    yield replace(USUAL, name=trial.name, floats=trial.floats)


LADDER = (
    *(Scale(batch, joined=joined) for joined in (False, True) for batch in (2, 1)),
    *(
        Scale(batch, sequence, image, stacked=stacked)
        for sequence, image in ((16, 32), (64, 64), (8, 128), (256, 224), (1, 320), (512, 480))
        for stacked in (False, True)
        for batch in (2, 1)
    ),
)
"""Sizes to try on a model that does not run on the usual ones: reflect pads, states of a fixed batch."""

WINDOWS = tuple(
    Scale(batch, samples, stacked=stacked)
    for samples in (1600, 4096, 16000, 48000)
    for stacked in (False, True)
    for batch in (1, 2)
)
"""More of them, for inputs that are a window of sound."""
