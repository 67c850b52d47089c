"""The rules that every graph obeys, checked after each pass; linear in nodes."""

from __future__ import annotations

import difflib

from regraft.errors import GraphError
from regraft.ir import schema
from regraft.ir.conformance import misfit
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, subgraphs
from regraft.ir.model import Model


def check(model: Model) -> None:
    """Check that every value is made once, before it is read, under a name of its own, by a known operator.

    Raises:
        GraphError: the first rule that is broken, with the node.
    """
    functions: dict[tuple[str, str], tuple[int, int]] = {}
    for f in model.functions:  # overloads have one name, and may take and give other numbers
        most = functions.get(key := (f.domain or "", f.name), (0, 0))
        functions[key] = max(most[0], len(f.inputs)), max(most[1], len(f.outputs))
    for root in model.roots:
        _Check(set(functions)).graph(root, None)
    for node in model.nodes() if functions else ():
        takes, gives = functions.get((node.domain or "", node.op), (len(node.inputs), len(node.outputs)))
        if len(node.inputs) > takes or len(node.outputs) > gives:
            raise GraphError(
                f"node '{_name(node)}' ({node.op}) takes or gives more than the function, {takes} and {gives}"
            )


def foreign(model: Model) -> list[str]:
    """A line for each operator that the file keeps in ONNX's own domain and ONNX does not define there."""
    found: dict[tuple[str, int], list[Node]] = {}
    for graph in model.graphs():
        for node in graph.nodes:
            if node.domain == schema.FOREIGN:
                found.setdefault((node.op, graph.opset), []).append(node)
    return [
        f"{op}, at node '{_name(nodes[0])}'{f' and {len(nodes) - 1} more' if len(nodes) > 1 else ''}, "
        f"is taken for a runtime's own: {_unknown(op, opset)}"
        for (op, opset), nodes in found.items()
    ]


def _unknown(op: str, opset: int) -> str:
    """That ONNX does not define `op` in `opset`."""
    if op in schema.names():
        return f"opset {opset} has no {op}, which came with opset {schema.since(op)}"
    near = difflib.get_close_matches(op, schema.names(opset), n=1, cutoff=0.8)
    return f"no ONNX operator named '{op}'" + (f"; did you mean '{near[0]}'?" if near else "")


def _name(node: Node) -> str:
    return node.name or next((t.name for t in node.outputs), "")


class _Scope:
    """The names that can be seen in a graph, and the value that each means."""

    def __init__(self, outer: _Scope | None):
        self.outer = outer
        self.named: dict[str, Tensor] = {}

    def see(self, tensor: Tensor, where: str) -> None:
        if not tensor.name:
            raise GraphError(f"{where} has a value without a name")
        scope: _Scope | None = self
        while scope is not None:
            known = scope.named.get(tensor.name)
            if known is tensor:
                return
            if known is not None:
                raise GraphError(f"two values are called '{tensor.name}', one of them at {where}")
            scope = scope.outer
        self.named[tensor.name] = tensor


class _Check:
    def __init__(self, functions: set[tuple[str, str]]):
        self.functions = functions
        self.made: set[Tensor] = set()  # what can be read where the check stands

    def graph(self, graph: AnyGraph, outer: _Scope | None) -> None:
        scope = _Scope(outer)
        for tensor in graph.inputs:
            self.make(tensor, scope, f"the inputs of graph '{graph.name}'")
        versions = schema.versions(graph)
        for node in graph.nodes:
            label = f"node '{_name(node)}' ({node.op})"
            self.op(node, versions, label)
            for tensor in node.inputs:
                self.read(tensor, scope, label)
            for body in subgraphs(node):
                self.graph(body, scope)
            for tensor in node.outputs:
                if tensor.name:
                    self.make(tensor, scope, label)
                    if isinstance(tensor, Constant) or len(tensor.inputs) != 1 or tensor.inputs[0] is not node:
                        raise GraphError(f"{label} is not the one maker of its output '{tensor.name}'")
        for tensor in graph.outputs:
            self.read(tensor, scope, f"the outputs of graph '{graph.name}'")
        self.made.difference_update(scope.named.values())

    def make(self, tensor: Tensor, scope: _Scope, where: str) -> None:
        if tensor in self.made:
            raise GraphError(f"value '{tensor.name}' is made twice, the second time by {where}")
        scope.see(tensor, where)
        self.made.add(tensor)

    def read(self, tensor: Tensor, scope: _Scope, where: str) -> None:
        if isinstance(tensor, Constant):
            scope.see(tensor, where)
        elif tensor.name and tensor not in self.made:
            raise GraphError(f"{where}: reads '{tensor.name}', which nothing before it makes")

    def op(self, node: Node, versions: dict[str, int], label: str) -> None:
        domain = node.domain or ""
        if not node.op:
            raise GraphError(f"{label} names no operator")
        if (domain, node.op) in self.functions:
            return
        if (problem := misfit(node, versions.get(domain, 1))) is not None:
            raise GraphError(f"{label} {problem}")
        if domain or schema.find(node.op, versions[""]):
            return
        raise GraphError(
            f"{label}: {_unknown(node.op, versions[''])} (a runtime's own is of domain '{schema.FOREIGN}')"
        )
