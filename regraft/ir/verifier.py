"""The rules that every graph obeys, checked after each pass; linear in nodes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import chain

from regraft.errors import GraphError
from regraft.ir import schema
from regraft.ir.changes import Changes
from regraft.ir.conformance import Wanted, misfit, wanted
from regraft.ir.graph import AnyGraph, Constant, Graph, Node, Tensor, subgraphs
from regraft.ir.model import Model


def check(model: Model) -> None:
    """Check that every value is made once, before it is read, under a name of its own, by a known operator.

    Whether nodes have what their operators ask for is looked at again where they changed since the last check.

    Raises:
        GraphError: the first rule that is broken, with the node.
    """
    model.facts(_Checked)


class _Checked:
    """That a model obeys the rules."""

    def __init__(self, model: Model):
        self._named = _check(model)  # the values of the main graph

    def follow(self, model: Model, changes: Changes) -> None:
        closely = changes.reordered or model.functions or model.graph.nodes.holders
        if closely or not self._is_sound(model.graph, changes):
            self._named = _check(model)

    def _is_sound(self, graph: Graph, changes: Changes) -> bool:
        """Whether all is well where something changed; False too where only a closer look tells."""
        place = dict(zip(graph.nodes, range(len(graph.nodes)), strict=True)) if changes.nodes else {}
        given = set(graph.inputs)

        def is_there(tensor: Tensor) -> bool:
            """Whether the graph has this value."""
            if makers := tensor.inputs:
                return len(makers) == 1 and makers[0].graph is graph
            return isinstance(tensor, Constant) or tensor in given or not tensor.name

        for node in changes.nodes:
            here = place[node]
            for tensor in node.inputs:
                if not is_there(tensor) or (tensor.inputs and place.get(tensor.inputs[0], here) >= here):
                    return False
            for tensor in node.outputs:
                if isinstance(tensor, Constant) or tensor in given or len(tensor.inputs) != 1:
                    return False
                if tensor.inputs[0] is not node:
                    return False
                for user in tensor.outputs:
                    if place.get(user, here) <= here:
                        return False
        return (
            self._fit(graph, graph.nodes if changes.all else changes.nodes)
            and (not place or len(place) == len(graph.nodes))
            and len(given) == len(graph.inputs)
            and all(is_there(t) for t in changes.values if t.outputs)
            and all(is_there(t) and t.name for t in graph.outputs)
            and all(t.name for t in graph.inputs)
            and self._are_named_apart(graph, changes)
        )

    def _fit(self, graph: Graph, nodes: Iterable[Node]) -> bool:
        """Whether these have what their operators, those of ONNX, ask for."""
        versions = schema.versions(graph)
        operators: dict[tuple[str, str | None], Wanted | None] = {}
        for node in nodes:
            key = (node.op, node.domain)
            if key not in operators:
                operators[key] = wanted(node.op, versions.get(node.domain or "", 1), node.domain or "")
            if (asked := operators[key]) is None or misfit(node, asked) is not None:
                return False
        return True

    def _are_named_apart(self, graph: Graph, changes: Changes) -> bool:
        """Whether the values of a graph have names of their own."""
        named, ends = self._named, {*graph.inputs, *graph.outputs}
        at_nodes = (t for node in changes.nodes for t in (*node.outputs, *node.inputs))
        for tensor in chain(ends, at_nodes, changes.renamed):
            if not tensor.name and not isinstance(tensor, Constant):
                continue  # left out
            known = named.setdefault(tensor.name, tensor)
            if known is tensor:
                continue
            is_there = known.inputs[0].graph is graph if known.inputs else known.outputs or known in ends
            if not tensor.name or (is_there and known.name == tensor.name):
                return False
            named[tensor.name] = tensor
        for tensor in changes.values:
            if not tensor.inputs and not tensor.outputs and tensor not in ends and named.get(tensor.name) is tensor:
                del named[tensor.name]  # it has gone
        return "" not in named


def _check(model: Model) -> dict[str, Tensor]:
    """Check all of `model`; the values of the main graph, by name."""
    functions: dict[tuple[str, str], tuple[int, int]] = {}
    for f in model.functions:  # overloads have one name, and may take and give other numbers
        most = functions.get(key := (f.domain or "", f.name), (0, 0))
        functions[key] = max(most[0], len(f.inputs)), max(most[1], len(f.outputs))
    checks = [_Check(set(functions)) for _ in model.roots]
    for check, root in zip(checks, model.roots, strict=True):
        check.graph(root)
    for node in model.nodes() if functions else ():
        takes, gives = functions.get((node.domain or "", node.op), (len(node.inputs), len(node.outputs)))
        if len(node.inputs) > takes or len(node.outputs) > gives:
            raise GraphError(
                f"node '{_name(node)}' ({node.op}) takes or gives more than the function, {takes} and {gives}"
            )
    return checks[0].named


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


class _Check:
    """A walk over a graph and what is inside it.

    Attributes:
        named: the values that can be read where the walk stands, by name.
    """

    def __init__(self, functions: set[tuple[str, str]]):
        self.functions = functions
        self.named: dict[str, Tensor] = {}

    def body(self, graph: Graph) -> None:
        """Check `graph`, whose values nobody sees outside."""
        for tensor in self.graph(graph):
            del self.named[tensor.name]

    def graph(self, graph: AnyGraph) -> list[Tensor]:
        """Check `graph`; what was first seen in it."""
        own: list[Tensor] = []
        for tensor in graph.inputs:
            self.make(tensor, own, graph)
        versions, named = schema.versions(graph), self.named
        operators: dict[tuple[str, str | None], Wanted | None] = {}
        for node in graph.nodes:
            key = (node.op, node.domain)
            if key not in operators:
                operators[key] = self.operator(node, versions)
            if (asked := operators[key]) is not None and (problem := misfit(node, asked)) is not None:
                raise GraphError(f"{_where(node)} {problem}")
            for tensor in node.inputs:
                if named.get(tensor.name) is not tensor:
                    self.read(tensor, own, node)
            for body in subgraphs(node) if node.attrs else ():
                self.body(body)
            for tensor in node.outputs:
                if tensor.name:
                    self.make(tensor, own, node)
                    makers = tensor.inputs
                    if len(makers) != 1 or makers[0] is not node or isinstance(tensor, Constant):
                        raise GraphError(f"{_where(node)} is not the one maker of its output '{tensor.name}'")
        for tensor in graph.outputs:
            if named.get(tensor.name) is not tensor:
                self.read(tensor, own, graph, "outputs")
        return own

    def make(self, tensor: Tensor, own: list[Tensor], at: Node | AnyGraph) -> None:
        name = tensor.name
        if name and name not in self.named:
            self.named[name] = tensor
            own.append(tensor)
        elif self.named.get(name) is not tensor:
            self.see(tensor, own, at)
        elif not isinstance(tensor, Constant):
            raise GraphError(f"value '{name}' is made twice, the second time by {_where(at)}")

    def read(self, tensor: Tensor, own: list[Tensor], at: Node | AnyGraph, ends: str = "inputs") -> None:
        if isinstance(tensor, Constant):
            self.see(tensor, own, at, ends)
        elif tensor.name:
            raise GraphError(f"{_where(at, ends)}: reads '{tensor.name}', which nothing before it makes")

    def see(self, tensor: Tensor, own: list[Tensor], at: Node | AnyGraph, ends: str = "inputs") -> None:
        if tensor.name in self.named:
            raise GraphError(f"two values are called '{tensor.name}', one of them at {_where(at, ends)}")
        if not tensor.name:
            raise GraphError(f"{_where(at, ends)} has a value without a name")
        self.named[tensor.name] = tensor
        own.append(tensor)

    def operator(self, node: Node, versions: dict[str, int]) -> Wanted | None:
        """What the operator of `node` asks for; None where only others know that."""
        domain = node.domain or ""
        if not node.op:
            raise GraphError(f"{_where(node)} names no operator")
        if (domain, node.op) in self.functions:
            return None
        asked = wanted(node.op, versions.get(domain, 1), domain)
        if asked is not None or domain:
            return asked
        unknown = _unknown(node.op, versions[""])
        raise GraphError(f"{_where(node)}: {unknown} (a runtime's own is of domain '{schema.FOREIGN}')")


def _where(at: Node | AnyGraph, ends: str = "inputs") -> str:
    return f"node '{_name(at)}' ({at.op})" if isinstance(at, Node) else f"the {ends} of graph '{at.name}'"
