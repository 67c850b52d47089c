"""What a pass, a rule or a recogniser answers where it declines: why, at which node, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

PassRef = NewType("PassRef", str)
"""A pass as a pipeline has it, with options where it needs some: `infer-shapes`, `convert-opset{version=18}`."""

INFER_SHAPES = PassRef("infer-shapes")


@dataclass(frozen=True)
class Refusal:
    """Why something stays as it is.

    Attributes:
        reason: for people to read; nothing is decided by it.
        node: the label of the node that stays; empty where it is not about one node.
        needs: passes that may lift the refusal if they run before.
        heading: what its note begins with; where it is empty, "kept NODE", or nothing without a node.
        quiet: told only to who asks why, as with `regraft why`: no report needs it.
    """

    reason: str
    node: str = ""
    needs: tuple[PassRef, ...] = ()
    heading: str = ""
    quiet: bool = False

    def __str__(self) -> str:
        heading = self.heading or (f"kept {self.node}" if self.node else "")
        return f"{heading}: {self.reason}" if heading else self.reason


def run_before(needed: PassRef, reason: str) -> Refusal:
    """A refusal that `needed` lifts, which its reason says."""
    return Refusal(f"{reason}; run {needed} before", needs=(needed,))


def as_refusal(said: Refusal | str) -> Refusal:
    """A refusal, which rules, passes and errors of users may put as a text."""
    return Refusal(said) if isinstance(said, str) else said
