"""What a packed model with fixed shapes takes: written into its metadata, asked before it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

from regraft.errors import ModelError
from regraft.packers.arrival import next_fit
from regraft.packers.limits import Limits
from regraft.packers.shown import shown_tokens
from regraft.wording import count

KEY = "regraft.packed"
"""Metadata of a model: the fixed shape."""

WAY = "regraft.packing"
"""Metadata of a model: how attention keeps sequences apart."""

Way = Literal["segments", "gather", "bucket", "loop"]
"""Each sees its segment of a row; one sequence a row, gathered, all or those of like lengths; one a turn of a loop."""


@dataclass(frozen=True)
class PackedShape:
    """The fixed shape of a packed batch.

    Attributes:
        rows, tokens: of the batch.
        sequences: that it holds at the most.
        longest: tokens of a sequence at the most.
        across_rows: whether a sequence may begin in one row and end in the next.
        mask: the caller's input that says which tokens are there; see `shown_tokens`.
        is_added: whether it is added to scores.
        aligned: whether each sequence begins at the first token and has no holes.
    """

    rows: int
    tokens: int
    sequences: int
    longest: int
    across_rows: bool
    mask: str = ""
    is_added: bool = False
    aligned: bool = False

    @property
    def whole(self) -> bool:
        """Whether tokens that are hidden between others take places: distances count where rows are attended to."""
        return not self.across_rows

    @property
    def limits(self) -> Limits:
        """What a batch may hold."""
        return Limits(self.tokens, self.rows, self.sequences, self.across_rows)

    def misfit(self, inputs: Mapping[str, Any]) -> str:
        """Why a padded batch does not fit; empty where it does."""
        if self.mask not in inputs:
            return ""
        shown = shown_tokens(inputs[self.mask], is_added=self.is_added)
        rows, longest = len(shown), _last(shown)
        if int(longest.max(initial=0)) > self.longest:
            return f"a sequence ends at token {int(longest.max())}, the longest may have {self.longest}"
        if self.aligned and (wrong := np.flatnonzero(longest != shown.sum(axis=1))).size:
            return f"sequence {wrong[0]} has padding before a token; PopRT's Unpack takes it behind the last one alone"
        filled = np.flatnonzero(shown.any(axis=1))
        if filled.size and filled[-1] >= self.sequences:
            return f"{count(rows, 'sequence')}, where at most there may be {self.sequences}"
        lengths = _spans(shown) if self.whole else shown.sum(axis=1)
        lengths = lengths[lengths > 0].astype(np.int64)
        room = self.rows * self.tokens if self.across_rows else self.tokens
        if int(lengths.max(initial=0)) > room:
            return f"a sequence has {count(int(lengths.max()), 'token')}, a row {room}"
        if next_fit(lengths, Limits(self.tokens, self.rows, None, self.across_rows)).batches > 1:
            return f"{count(int(lengths.sum()), 'token')} do not fit {count(self.rows, 'row')} of {self.tokens}"
        return ""


def write_shape(metadata: dict[str, str], shape: PackedShape) -> None:
    """Say in a model's metadata what it takes."""
    metadata[KEY] = json.dumps(asdict(shape), separators=(",", ":"))


def read_way(metadata: Mapping[str, str]) -> Way | None:
    """How a model is packed; None where it is not. Raises ModelError where its metadata are damaged."""
    said = metadata.get(WAY)
    if said is not None and said not in get_args(Way):
        raise ModelError(f"the metadata {WAY} are damaged: {said!r} is none of {', '.join(get_args(Way))}; remove them")
    return cast(Way | None, said)


def read_shape(metadata: Mapping[str, str]) -> PackedShape | None:
    """What a model's metadata say; None where they say nothing. Raises ModelError where they are damaged."""
    if KEY not in metadata:
        return None
    try:
        said = json.loads(metadata[KEY])
        shape = PackedShape(**said)
        if (
            not all(isinstance(getattr(shape, name), kind) for name, kind in _KINDS.items())
            or min(shape.rows, shape.tokens, shape.sequences, shape.longest) < 1
        ):
            raise TypeError("not of its form")
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the metadata {KEY} are damaged: {error}; remove them") from error
    return shape


_COUNTS, _FLAGS = ("rows", "tokens", "sequences", "longest"), ("across_rows", "is_added", "aligned")
_KINDS = {**dict.fromkeys(_COUNTS, int), **dict.fromkeys(_FLAGS, bool), "mask": str}


def _last(shown: Any) -> Any:
    """How far each sequence reaches."""
    return (shown * (1 + np.arange(shown.shape[1]))).max(axis=1, initial=0)


def _spans(shown: Any) -> Any:
    """From the first token of each sequence to the last."""
    return np.where(shown.any(axis=1), _last(shown) - shown.argmax(axis=1), 0)
