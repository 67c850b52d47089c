"""Passes that rewrite nodes of some operators, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.weights import Value
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.refusal import Refusal, as_refusal
from regraft.rewriting.build import Builder
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.rewriting.term import Term

Replacement = Term | Sequence[Term | None] | Refusal | str | None


class NodePass(Pass):
    """A pass that rewrites nodes of some operators, where a pattern would be one node.

    Numbers in a replacement get the type of the node's first output. What only the old node needed goes with it.
    """

    needs = (TYPES,)
    operators: ClassVar[frozenset[str]]

    @property
    def removes(self) -> frozenset[str]:
        return self.operators

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Replacement:
        """What takes the place of the output, or of each where there are several (None: nothing reads it).

        A Refusal, or a text, says why the node stays; None that there is nothing to say about it.
        """
        raise NotImplementedError(f"pass '{self.name}' has no rewrite")

    def has_work(self, model: Model) -> bool:
        return any(node.op in self.operators and not node.domain for node in model.nodes())

    def run(self, model: Model, context: Context) -> None:
        with Editor(model) as edit:
            for graph in rewritable_graphs(model):
                for node in edit.live_nodes(graph):
                    if context.spent:
                        return
                    if node.op in self.operators and not node.domain:
                        self._at(node, graph, edit, context)

    def _at(self, node: Node, graph: AnyGraph, edit: Editor, context: Context) -> None:
        refers = any(isinstance(value, Node.AttributeRef) for value in node.attrs.values())
        reason = "its attributes are those of the function around it"
        found = reason if refers else self.rewrite(node, graph.opset, edit)
        if isinstance(found, Refusal | str):
            context.refuse(as_refusal(found), node)
        elif found is not None:
            terms = [found] if isinstance(found, Term) else found
            added = put(node, terms, graph, edit)
            context.replaced([node, *remove_unread_makers(node, edit)], added, rule=node.op)


def put(node: Node, terms: Sequence[Term | None], graph: AnyGraph, edit: Editor) -> list[Node]:
    """Let each of `terms` take the place of an output of `node`, and remove it; the new nodes."""
    added: list[Node] = []
    build = builder(node, graph, edit, added)
    for old, term in zip(node.outputs, terms, strict=True):
        if term is None:
            continue
        new = build(term)
        if isinstance(new, Variable) and new.inputs and new.inputs[0] in added:
            new.shape, new.dtype = old.shape, old.dtype
        edit.replace(old, new)
    edit.remove(node)
    return added


def builder(node: Node, graph: AnyGraph, edit: Editor, added: list[Node], dtype: Any = None) -> Builder:
    """Makes terms ahead of `node`; the new nodes are put into `added`. Numbers are of the type of its first output."""

    def emit(op: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        added.append(edit.insert(node, op, inputs, attrs, domain=domain))
        made: Tensor = added[-1].outputs[0]
        made.dtype = schema.output_dtype(added[-1], graph.opset)
        return made

    def store(values: Any, hint: str) -> Constant:
        if not isinstance(values, Value) and np.ndim(values) == 0:
            return edit.scalar(values.item(), values.dtype, graph)
        return edit.constant(values, hint)

    dtype = node.outputs[0].dtype if dtype is None else dtype
    return Builder(emit, store, graph.opset, None if dtype is None else np.dtype(dtype))


def remove_unread_makers(node: Node, edit: Editor) -> list[Node]:
    """Remove what only the removed `node` needed; returns it, readers before what they read."""
    removed: list[Node] = []
    pending = _makers(node)
    while pending:
        maker = pending.pop()
        if maker not in edit.dead and not any(edit.is_read(tensor) for tensor in maker.outputs):
            edit.remove(maker)
            removed.append(maker)
            pending += _makers(maker)
    return removed


def _makers(node: Node) -> list[Node]:
    return [maker for tensor in reads(node) for maker in tensor.inputs]
