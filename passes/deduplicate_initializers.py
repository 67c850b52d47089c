"""Initializers with the same value become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from regraft.inspection.contents import same
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Tensor, subgraphs, walk
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context, Pass
from regraft.verification.contract import exact
from regraft.wording import count


class DeduplicateInitializers(Pass):
    """Keep one of the initializers that agree in dtype, shape and every bit.

        MatMul(x, w), MatMul(y, copy of w)  ->  MatMul(x, w), MatMul(y, w)

    Values are compared by bits: 0.0 is not -0.0, and a NaN is itself. What agrees in dtype, shape and a few sampled
    blocks is read in full, in pieces; nothing else is read at all. Initializers of bodies (If, Loop, Scan) are compared
    with those of the graphs around and beside them. Inputs with a default value stay, and so do initializers that are
    graph outputs.
    """

    name = "deduplicate-initializers"
    contract = exact

    def run(self, model: Model, context: Context) -> None:
        with Editor(model) as edit:
            gone: list[int] = []
            names = Counter(tensor.name for tensor in _values(model))
            for root in model.roots:
                groups = same(c for c in _constants(root) if c not in edit.graph_outputs)
                for kept, *copies in context.progress(groups, len(groups)):
                    if not copies:
                        continue
                    if names[kept.name] > 1:  # a body beside uses the name for something else
                        kept.name = edit.name(kept.name)
                    readers = dict.fromkeys(node for copy in copies for node in edit.users(copy))
                    for copy in copies:
                        edit.replace(copy, kept)
                    context.replaced(readers, readers, rule="equal initializers")
                    gone += [copy.nbytes for copy in copies]
            if gone:
                context.note(f"copies removed: {len(gone)}, {count(sum(gone), 'byte')}")


def _constants(root: AnyGraph) -> Iterator[Constant]:
    for graph in walk(root):
        for node in graph.nodes:
            yield from (tensor for tensor in node.inputs if isinstance(tensor, Constant))


def _values(model: Model) -> set[Tensor]:
    """The values that can share a name: where no graph stands inside another, none do."""
    if not any(subgraphs(node) for node in model.nodes() if node.attrs):
        return set()
    return {tensor for node in model.nodes() for tensor in (*node.inputs, *node.outputs)}
