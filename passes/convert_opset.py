"""The pass `convert-opset`."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from regraft.ir.model import Model
from regraft.opset.adapter_context import Inexpressible
from regraft.opset.plan import apply, plan
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.refusal import Refusal
from regraft.verification.contract import reassociation


class ConvertOpset(Pass):
    """Write the model in another version of ONNX's operator set, newer or older.

    Nodes of every graph, body and local function are led across each change of their operator, one opset at a time:

        the schema only widened                 as it is
        attribute became input, or back         Squeeze.axes, ReduceMean.axes, Split.split, Clip.min, Pad.pads ...
        meaning changed                         the same function in the new meaning: Softmax up to opset 12 flattens
                                                around its axis, and is Flatten, Softmax, Reshape from 13 on
        operator is missing in the older opset  written out by others: LayerNormalization, Gelu, Attention ...
        dtype is missing in the older opset     computed in a wider one between casts, where that gives the same values

    What the other opset cannot express is refused with the node and the reason; with `otherwise=keep` the model keeps
    its opset, and a note says why. Other domains than ONNX's default one are left alone. The IR version is raised to
    what the opset demands, never lowered.
    """

    name = "convert-opset"
    contract = reassociation  # operators that are written out round differently
    removes = EVERY
    introduces = EVERY
    version: int = option(..., "the opset to write")
    only: Literal["any", "older", "newer"] = option("any", "which models: any, or those of an older or a newer opset")
    otherwise: Literal["refuse", "keep"] = option("refuse", "what to do where a node has no form in that opset")

    def run(self, model: Model, context: Context) -> None:
        """Convert `model`, or raise a PassError and leave it as it was."""
        if model.opset == self.version and all(g.opset == self.version for g in model.graphs()):
            return
        source = model.opset
        if (self.only == "older" and source > self.version) or (self.only == "newer" and source < self.version):
            context.refuse(Refusal(f"opset {source} is not {self.only} than {self.version}"))
            return
        try:
            way = plan(model, self.version)
        except Inexpressible as error:
            if self.otherwise == "refuse":
                raise
            context.refuse(error.refusal, heading=f"kept opset {source}")
            return
        for node, becomes in apply(model, way):
            context.replaced([node], becomes, rule="rewritten")
        context.changed(f"opset {source} to {self.version}")
        for text, count in Counter(way.notes).items():
            context.note(text if count == 1 else f"{text} ({count} times)")
