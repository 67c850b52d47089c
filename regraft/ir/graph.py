"""The graph that passes edit, in graphsurgeon's words.

`graph.nodes` is a list; the values at a node are `node.inputs` and `node.outputs`, the nodes at a value
`value.outputs` and `value.inputs`. What graphsurgeon itself made is taken over by `graphsurgeon.adopt`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx

from regraft.ir.edits import Edits
from regraft.ir.node import AttributeRef, Node, TypedList
from regraft.ir.nodes import Body, Nodes, bodies, subgraphs, walk
from regraft.ir.order import reads, sort
from regraft.ir.value import Constant, Dim, Tensor, Variable
from regraft.wording import count

__all__ = [
    "AnyGraph",
    "AttributeRef",
    "Constant",
    "Dim",
    "Function",
    "Graph",
    "Node",
    "Tensor",
    "TypedList",
    "Variable",
    "bodies",
    "subgraphs",
    "walk",
]

DEFAULT_OPSET = 11


class _Graph(Body):
    """What graphs and functions have in common."""

    nodes: Nodes
    edits: Edits | None = None  # is told what is edited
    inputs: list[Any]  # variables; of the outputs one may be a constant
    outputs: list[Any]

    def __init__(
        self,
        nodes: Iterable[Node] | None,
        inputs: Iterable[Variable] | None,
        outputs: Iterable[Tensor] | None,
        name: str | None,
        doc_string: str | None,
        opset: int | None,
        import_domains: Sequence[onnx.OperatorSetIdProto] | None,
    ):
        self.nodes = nodes or ()  # type: ignore[assignment]
        self.inputs, self.outputs = list(inputs or ()), list(outputs or ())
        self.name, self.doc_string = "graph" if name is None else name, doc_string or ""
        self.opset = opset or DEFAULT_OPSET
        self.import_domains = import_domains
        self.unused: list[Constant] = []

    def __setattr__(self, name: str, value: Any) -> None:
        """A graph has lists of its own, not those of a node or of another graph."""
        if name == "nodes" and "nodes" in vars(self):
            if value is not self.nodes:
                self.nodes[:] = value
            return
        own = Nodes(self, value) if name == "nodes" else list(value) if name in ("inputs", "outputs") else value
        super().__setattr__(name, own)

    def tensors(self) -> dict[str, Tensor]:
        """The values at nodes and at the ends of the graph, by name."""
        at_nodes = itertools.chain.from_iterable((*node.inputs, *node.outputs) for node in self.nodes)
        return {t.name: t for t in (*self.inputs, *at_nodes, *self.outputs) if t.name}

    def layer(self, inputs: Iterable[Any] = (), outputs: Iterable[Any] = (), **node: Any) -> list[Tensor]:
        """Append a node, and return what it makes.

        Args:
            inputs: values, arrays that become constants, or names of values to come.
            outputs: values, or names of them.
            node: what `Node` takes beside them: op, name, attrs, domain.
        """
        known = set(self.tensors())
        read, made = ([_value(one, known) for one in ends] for ends in (inputs, outputs))
        self.nodes.append(Node(**node, inputs=read, outputs=made))
        return made

    def cleanup(self) -> Any:
        """Take out the nodes that nothing needs, in bodies too."""
        left = {id(node) for node in self.nodes}  # graphsurgeon's own nodes have no hash
        pending: list[Tensor] = list(self.outputs)
        while pending:
            for node in pending.pop().inputs:
                if id(node) in left:
                    left.remove(id(node))
                    pending += reads(node)
        for node in self.nodes:
            if id(node) in left:
                node.inputs.clear()
                node.outputs.clear()
        self.nodes[:] = [node for node in self.nodes if id(node) not in left]
        for body in bodies(self.nodes):
            body.cleanup()
        return self

    def toposort(self) -> Any:
        """Put every node after those that it reads from. Raises GraphError where there is a cycle."""
        sort(self)
        return self


def _value(given: Any, known: set[str]) -> Tensor:
    """The value itself, or one made of a name or an array, of a name that is not known yet."""
    if not isinstance(given, str | np.ndarray):
        tensor: Tensor = given
        return tensor
    name = given if isinstance(given, str) else "constant"
    name = next(n for n in (name, *(f"{name}_{i}" for i in range(1, len(known) + 2))) if n not in known)
    known.add(name)
    return Variable(name) if isinstance(given, str) else Constant(name, given)


class Graph(_Graph):
    """A graph, or the body of an If, a Loop or a Scan.

    Attributes:
        nodes, inputs, outputs: in their order.
        opset: the version of ONNX's operators; `import_domains` has those of other domains.
        functions: the local functions, of a model's main graph.
        unused: the initializers that nothing reads.
        extra: the fields of the message that have no place here.
    """

    def __init__(
        self,
        nodes: Iterable[Node] | None = None,
        inputs: Iterable[Variable] | None = None,
        outputs: Iterable[Tensor] | None = None,
        name: str | None = None,
        doc_string: str | None = None,
        opset: int | None = None,
        import_domains: Sequence[onnx.OperatorSetIdProto] | None = None,
        producer_name: str = "",
        producer_version: str = "",
        functions: Iterable[Function] = (),
        ir_version: int | None = None,
    ):
        super().__init__(nodes, inputs, outputs, name, doc_string, opset, import_domains)
        self.producer_name, self.producer_version, self.ir_version = producer_name, producer_version, ir_version
        self.functions = list(functions)
        self.extra: onnx.GraphProto | None = None

    def __repr__(self) -> str:
        return f"<Graph '{self.name}': {count(len(self.nodes), 'node')}, opset {self.opset}>"


class Function(_Graph):
    """A local function of the model.

    Attributes:
        attrs: its attributes, and what each is where a caller gives none; None: it must.
    """

    def __init__(
        self,
        name: str,
        domain: str | None = None,
        nodes: Iterable[Node] | None = None,
        inputs: Iterable[Variable] | None = None,
        outputs: Iterable[Tensor] | None = None,
        doc_string: str | None = None,
        opset: int | None = None,
        import_domains: Sequence[onnx.OperatorSetIdProto] | None = None,
        attrs: dict[str, Any] | None = None,
    ):
        super().__init__(nodes, inputs, outputs, name, doc_string, opset, import_domains)
        self.domain = domain or ""
        self.attrs = dict(attrs or {})
        self.overload = ""
        self.extra: onnx.FunctionProto | None = None

    @property
    def unique_id(self) -> tuple[str, ...]:
        return (self.domain, self.name, self.overload) if self.overload else (self.domain, self.name)

    def __repr__(self) -> str:
        return f"<Function '{self.domain}::{self.name}': {count(len(self.nodes), 'node')}, opset {self.opset}>"


AnyGraph = Graph | Function
