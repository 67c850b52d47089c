"""Expand taken out, or written in operators that every target has."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regraft.folding.identities import same_value
from regraft.ir.editor import Editor
from regraft.ir.graph import Dim, Node
from regraft.lowering.broadcast import narrowed
from regraft.pipelines.options import option
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import exact

MULTIPLIED = frozenset({"float16", "float32", "float64", "int32", "int64"})


class LowerExpand(NodePass):
    """Take Expand out where its readers broadcast anyway, and write it as a product with ones elsewhere.

    Expand(x, shape)  →  x                   where x has that shape
                      →  x                   where all that read it broadcast it, and their results stay
                      →  Unsqueeze(x)        where only the rank grows
                      →  x · ones            form=mul: ones on the axes that grow; booleans by And
                      →  Tile(x, repeats)    form=tile

    Types that Mul lacks are tiled. The dimensions that grow must be known: else it stays, and set-shapes helps.
    neuron-cc's operator list for ONNX has neither Expand nor Tile; compilers of fixed shapes refuse the form that
    exporters write, whose target is computed.
    """

    name = "lower-expand"
    contract = exact
    operators = frozenset({"Expand"})
    form: Literal["mul", "tile"] = option("mul", "what an Expand that is needed becomes")

    @property
    def introduces(self) -> frozenset[str]:
        return frozenset({"Tile", "Unsqueeze"} | ({"And", "Mul"} if self.form == "mul" else set()))

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal:
        x, out = node.inputs[0], node.outputs[0]
        if same_value(node, opset) is not None:
            return Given(x)
        if x.shape is None or out.shape is None or out.dtype is None:
            return run_before(INFER_SHAPES, "its type or its shape is not known")
        before: list[Dim] = [1] * (len(out.shape) - len(x.shape)) + list(x.shape)
        if list(x.shape) == list(out.shape) and None not in before:
            return Given(x)
        smaller = narrowed(out, x.shape, edit)
        if smaller is not None:
            for value in smaller:
                value.shape = None
            return Given(x)
        growing = [a != b or a is None for a, b in zip(before, out.shape, strict=True)]
        unknown = [b for b, grows in zip(out.shape, growing, strict=True) if grows and not isinstance(b, int)]
        if unknown:
            sizes = ", ".join(str(b or "?") for b in unknown)
            return Refusal(f"how far it expands is known only when the model runs ({sizes})")
        added = list(range(len(out.shape) - len(x.shape)))
        ranked = op.Unsqueeze(Given(x), axes=added) if added else Given(x)
        repeats = [b if grows else 1 for b, grows in zip(out.shape, growing, strict=True)]
        if not any(growing):
            return ranked
        dtype = np.dtype(out.dtype)
        if self.form == "mul" and dtype == np.bool_:
            return op.And(Given(x), np.ones(repeats, bool))
        if self.form == "mul" and dtype.name in MULTIPLIED:
            return Given(x) * Given(np.ones(repeats, dtype))
        if any(grows and a != 1 for a, grows in zip(before, growing, strict=True)):
            return Refusal(f"'{x.name}' of shape {x.shape} may have the size already; Tile would repeat it")
        return op.Tile(ranked, np.array(repeats, np.int64))
