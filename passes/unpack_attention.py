"""Attention runs sequence by sequence; all else runs on packed tokens."""

from __future__ import annotations

from typing import Literal

from regraft.errors import PassError
from regraft.ir.model import Model
from regraft.packers.fits import PackedShape
from regraft.packing.dialect import use_unpack
from regraft.packing.loops import FIRST_OPSET
from regraft.packing.rewrite import Packer
from regraft.passes.expose_position_ids import ExposePositionIds
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.refusal import PassRef, Refusal
from regraft.verification.contract import HIDDEN, interface


class UnpackAttention(Pass):
    """Run what works token by token on packed tokens, and attention on one sequence a row.

    layer(x[B, S, H])  →  layer(x[1, T, H]), with Gather before the scores, to [B, S, ..], and behind the context, to
                          [1, T, ..]

    T is the number of tokens that are no padding: the linear layers, norms and activations, where nearly all of the
    work is, compute nothing else. The host packs what the caller gives, by the mask, and says where each token lies;
    outputs have the shape that they had. What they hold where the mask hides a token means nothing.

    form=gather runs attention on [B, S, ..] as it was. form=bucket has a batch for sequences of like lengths each: no
    control flow, and little padding. form=loop runs it in a Loop, one sequence a turn, on exactly its tokens: the
    fastest on a CPU, and no accelerator takes it; a mask of padding alone goes, once simplify-gather and simplify-mask
    have shown that it is one. form=static has fixed shapes, as PopRT's own packing; with dialect=poprt it unpacks by
    PopRT's operator, as a function that means the same.
    """

    name = "unpack-attention"
    removes = frozenset()
    introduces = EVERY
    contract = interface.assuming(HIDDEN)
    form: Literal["static", "gather", "bucket", "loop"] = option(
        "gather", "fixed shapes; or as many tokens as there are, and attention on a batch, on some, or on each sequence"
    )
    rows: int = option(0, "rows of a packed batch; static")
    tokens: int = option(0, "tokens in a row; static")
    max_valid_num: int = option(0, "sequences in a batch at the most; static")
    segment_max_size: int = option(0, "tokens of a sequence at the most; static")
    bucket_sizes: tuple[int, ...] = option((16, 32, 64, 128, 256), "tokens of the sequences of each bucket; bucket")
    dialect: Literal["onnx", "poprt"] = option("onnx", "whose operators unpack; poprt: PopRT's Unpack, static")

    def run(self, model: Model, context: Context) -> None:
        sizes = (self.rows, self.tokens, self.max_valid_num, self.segment_max_size)
        if self.form == "static" and not all(size > 0 for size in sizes):
            raise PassError(f"{self.name}: form=static needs rows, tokens, max-valid-num and segment-max-size")
        if self.form != "static" and any(sizes):
            raise PassError(f"{self.name}: rows, tokens, max-valid-num and segment-max-size are for form=static")
        if list(self.bucket_sizes) != sorted({size for size in self.bucket_sizes if size > 0}):
            raise PassError(f"{self.name}: bucket-sizes must rise, from 1 on: {self.bucket_sizes}")
        if self.dialect == "poprt" and self.form != "static":
            raise PassError(f"{self.name}: PopRT's shapes are fixed: dialect=poprt goes with form=static")
        if self.form == "loop" and model.opset < FIRST_OPSET:
            needed = PassRef(f"convert-opset{{version={FIRST_OPSET}}}")
            lacks = f"{self.name}: in opset {model.opset} no Loop carries a sequence; put {needed} in front"
            raise PassError(Refusal(lacks, needs=(needed,)))
        ExposePositionIds().run(model, context)
        shape = PackedShape(*sizes, across_rows=True) if self.form == "static" else None
        packer = Packer(model, context, shape, "gather" if self.form == "static" else self.form, self.bucket_sizes)
        packer.run()
        if self.dialect == "poprt" and packer.shape is not None:
            use_unpack(model, packer.shape, packer.fed, context)
