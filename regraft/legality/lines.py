"""What every line of a profile says beside what it wants: why, who says so, and what may help."""

from __future__ import annotations

from dataclasses import dataclass

from regraft.errors import PipelineError, UnknownNameError
from regraft.ir import schema
from regraft.legality.tables import Where
from regraft.pipelines.grammar import parse_ungrouped
from regraft.pipelines.registry import passes

Mend = tuple[str, ...]
"""Pipelines as text, in the order to try them."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that a target wants.

    Attributes:
        reason: what happens otherwise, best in the compiler's words.
        source: who says so, a document or a version that was seen to; the profile's where it is empty.
        mend: what may help.
    """

    reason: str
    source: str = ""
    mend: Mend = ()

    def check(self, where: Where) -> None:
        """Raise ProfileError for a mend that is no pipeline."""
        check_mend(self.mend, where.at("mend"))


def check_operator(name: str, where: Where) -> None:
    """Raise ProfileError where ONNX has no operator `name`; those of other domains are believed."""
    if "::" not in name:
        where.known("ONNX operator", name, schema.names())


def check_mend(mend: Mend, where: Where) -> None:
    """Raise ProfileError where one is no pipeline of known passes.

    A pass may lack what the user has to say: the sizes of `set-shapes`.
    """
    for text in mend:
        try:
            for name, options in parse_ungrouped(text):
                found = passes.load(name)
                if options or not any(option.required for option in found.options()):
                    found(**options)
        except (PipelineError, UnknownNameError) as error:
            raise where.error(error) from error
