"""`fold-constants`: what depends on constants only is computed now."""

from __future__ import annotations

from regraft.folding.branches import take_branches
from regraft.folding.fold import Fold, lift
from regraft.folding.reshape_targets import simplify_targets
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines.options import Bytes, option
from regraft.pipelines.pass_base import EVERY, Context, Pass, label
from regraft.refusal import Refusal
from regraft.shapes import analyse
from regraft.verification.contract import exact


class FoldConstants(Pass):
    """Compute at rewrite time what depends on constants and on known dimensions only.

    | before | after |
    |---|---|
    | Constant node (outside functions) | initializer |
    | Transpose of a weight, Cast, Add of two initializers ... | initializer, of what ONNX Runtime computes |
    | Shape, Gather, Slice, Concat ... of known dimensions | initializer |
    | Reshape to dimensions that its input has | Reshape to 0 there, and the shape arithmetic is gone |
    | Expand to the shape that its input has | its input |
    | If of a known condition | the nodes of the branch taken |

    Left as they are: random operators, Dropout, DequantizeLinear, nodes with bodies, results that are no tensors, what
    rounds to half precision, what ONNX Runtime cannot run, what makes more bytes of weights in 8 or 16 bits than these
    have, and what would make the file grow beyond `max-bytes`: results added less constants no longer read. A large
    result is computed while saving; until then it takes no memory.
    """

    name = "fold-constants"
    contract = exact
    removes = EVERY
    max_bytes: Bytes = option("1MiB", "bytes the file may grow by, all folds together")

    def run(self, model: Model, context: Context) -> None:
        failed: dict[Node, str] = {}
        grown = 0
        again = True
        while again:
            lift(model, context)
            facts = analyse(model)
            with Editor(model) as edit:
                fold = Fold(model, edit, facts, failed)
                grown, again = fold.run(self.max_bytes, grown, context)
            again = take_branches(model, context) or again
        simplify_targets(model, facts, context, self.max_bytes - grown)
        for node, cause in failed.items():
            context.refuse(Refusal(cause), node, _not_folded(node))
        packed = 0
        for node, excess in fold.too_large.items():
            if fold.may_grow([node]):
                too_large = Refusal(f"{Bytes(excess)} more than max-bytes={self.max_bytes}")
                context.refuse(too_large, node, _not_folded(node))
            else:
                packed += 1
        if packed:
            nodes = "node" if packed == 1 else "nodes"
            context.refuse(Refusal(f"{packed} {nodes} that unpack weights in 8 or 16 bits stay"))


def _not_folded(node: Node) -> str:
    return f"{label(node)} ({node.op}) is not folded"
