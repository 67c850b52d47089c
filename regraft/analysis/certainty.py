"""How certain a fact is, and what it rests on beside proof."""

from __future__ import annotations

from enum import Enum, Flag, auto


class Assumption(Flag):
    """What a fact may rest on.

    Attributes:
        LAYERS: what layers compute of a caller's numbers is finite, and of a moderate size. A model whose activations
            overflow is lost anyway.
        ARITHMETIC: so is what a few operations compute of that, and of what a caller gives.
        TRUTHS: the whole numbers that a caller gives are zeros and ones: they are masks.
        COUNTS: no whole number that becomes a float is larger than 2^53.
        DIMENSIONS: no dimension, and no tensor, has 2^31 places.
    """

    LAYERS = auto()
    ARITHMETIC = auto()
    TRUTHS = auto()
    COUNTS = auto()
    DIMENSIONS = auto()


NOTHING = Assumption(0)
LAYERS, ARITHMETIC, TRUTHS, COUNTS, DIMENSIONS = Assumption


class Certainty(Enum):
    """How certain a fact is. Of several that one follows from, the weakest counts."""

    PROVEN = "proven"
    ASSUMED = "assumed"
    UNKNOWN = "unknown"
