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
    """A name that is not among the known ones; the message gives the nearest.

    Args:
        kind: what is named, such as "pass" or "target".
        name: the unknown one.
        known: the names that exist.
    """

    MOST = 100
    """More names are not listed."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        import difflib

        self.kind, self.name, self.known = kind, name, sorted(known)
        alike = [one for one in self.known if one.lower() == name.lower()]
        near = alike or difflib.get_close_matches(name, self.known, n=1, cutoff=0.5)
        more = f" and {len(self.known) - self.MOST} more" * (len(self.known) > self.MOST)
        shown = f"known: {', '.join(self.known[: self.MOST]) or 'none'}{more}"
        hint = f"did you mean '{near[0]}'?" if near else shown
        super().__init__(f"no {kind} named '{name}'; {hint}")
