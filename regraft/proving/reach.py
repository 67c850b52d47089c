"""Why something can be neither proved nor refuted."""

from __future__ import annotations


class OutOfReach(Exception):
    """The prover has no meaning for this, or cannot tell."""


class ShapeError(OutOfReach):
    """The operands do not fit one another, as far as is known of their axes."""
