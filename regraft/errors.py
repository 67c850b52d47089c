"""Errors: one line each, with what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from regraft.refusal import PassRef, Refusal, as_refusal


def visible(text: str) -> str:
    """`text` with every character that would control a terminal, or break the line, written as an escape: `\\x1b`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class RegraftError(Exception):
    """Base of every error that a user can fix; the command line prints it and exits with 2.

    Attributes:
        needs: passes that may help, if they run before.
    """

    needs: tuple[PassRef, ...] = ()

    def __str__(self) -> str:
        return visible(" ".join(super().__str__().splitlines()))  # a name in a model can hold anything


class ModelError(RegraftError):
    """A file that is not a readable ONNX model, or a model that cannot be written as asked."""


class GraphError(RegraftError):
    """A graph that breaks ONNX's rules: a cycle, a value used but never made, a name made twice."""


class PassError(RegraftError):
    """A pass that cannot do its work on this model.

    Args:
        why: a text, or a refusal, whose `needs` the error has too.
    """

    def __init__(self, why: str | Refusal):
        super().__init__(str(why))
        self.refusal = as_refusal(why)
        self.needs = self.refusal.needs


class PipelineError(RegraftError):
    """A pipeline that cannot be read, or an option that a pass does not take."""


class RuleError(RegraftError):
    """A rule that is written wrongly; the message says in which line."""


class VerificationError(RegraftError):
    """A rewritten model that does not compute what its contract promises."""


class TargetError(RegraftError):
    """A target that does not take a model."""


class UnknownNameError(RegraftError):
    """A name that is not among the known ones; the message gives the nearest, and all where these are few.

    Args:
        kind: what is named, such as "pass" or "target".
        name: the unknown one.
        known: the names that exist.
    """

    FEW, MOST = 12, 100
    """So many names are listed beside the nearest, and so many where none is near."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = nearest(name, self.known)
        more = f" and {len(self.known) - self.MOST} more" * (len(self.known) > self.MOST)
        shown = f"known: {', '.join(self.known[: self.MOST]) or 'none'}{more}"
        hint = [f"did you mean '{near}'?"] if near else []
        if not near or len(self.known) <= self.FEW:
            hint.append(shown)
        super().__init__(f"no {kind} named '{name}'; {' '.join(hint)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that is written most like `name`; empty where none is much like it."""
    import difflib

    every = list(known)
    alike = [one for one in every if one.lower() == name.lower()]
    return next(iter(alike or difflib.get_close_matches(name, every, n=1, cutoff=0.5)), "")
