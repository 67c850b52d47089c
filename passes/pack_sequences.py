"""Several sequences share a row; attention sees the segment of each."""

from __future__ import annotations

from typing import Literal

from regraft.errors import PassError
from regraft.ir.model import Model
from regraft.packers.fits import PackedShape
from regraft.packing.dialect import use_attention_mask
from regraft.packing.rewrite import Packer
from regraft.passes.expose_position_ids import ExposePositionIds
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.verification.contract import HIDDEN, interface

SHORT = 4
"""Of the tokens in a row, the share that a sequence has in the mean, where nothing else is said."""


class PackSequences(Pass):
    """Put several sequences into a row, and let attention see the segment of each.

    Softmax(scores[B, N, S, S] + mask)  →  Softmax(scores[rows, N, tokens, tokens] + segments[rows, 1, tokens, tokens])

    `segments` hides the tokens of other sequences, by an input `segment_ids[rows, tokens]` that counts from 1 in each
    row; what else is added to scores, a distance or a window, stays. Positions begin anew with each sequence. What
    works across tokens elsewhere, a pooling, meets sequences in rows of their own again. The host packs what the caller
    gives, each sequence behind the last one or in the next row, and outputs have the shape that they had; what they
    hold where the mask hides a token means nothing. dialect=poprt hides segments by PopRT's operator, as a function
    that means the same.
    """

    name = "pack-sequences"
    removes = frozenset()
    introduces = EVERY
    contract = interface.assuming(HIDDEN)
    rows: int = option(0, "rows of a packed batch; 0 leaves the shape open: one row of all tokens")
    tokens: int = option(0, "tokens in a row")
    max_valid_num: int = option(0, f"sequences in a batch at the most; 0: {SHORT} a row")
    segment_max_size: int = option(0, "tokens of a sequence at the most; 0: as in a row")
    dialect: Literal["onnx", "poprt"] = option("onnx", "whose operators hide segments; poprt: PopRT's AttentionMask")

    def run(self, model: Model, context: Context) -> None:
        sizes = (self.rows, self.tokens, self.max_valid_num, self.segment_max_size)
        if min(sizes) < 0 or (any(sizes) and not (self.rows and self.tokens)):
            raise PassError(f"{self.name}: a fixed shape needs rows and tokens, both above 0")
        if self.dialect == "poprt" and not self.rows:
            raise PassError(f"{self.name}: PopRT's shapes are fixed: dialect=poprt needs rows and tokens")
        ExposePositionIds().run(model, context)
        shape = None
        if self.rows:
            most, longest = self.max_valid_num or SHORT * self.rows, self.segment_max_size or self.tokens
            shape = PackedShape(self.rows, self.tokens, most, longest, across_rows=False)
        packer = Packer(model, context, shape, "segments")
        packer.run()
        if self.dialect == "poprt":
            use_attention_mask(model, packer.fed, context)
