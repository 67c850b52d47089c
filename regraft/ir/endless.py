"""What would keep onnx and ONNX Runtime busy without end, told before either is asked.

Their inference does not end on some equations of Einsum, and ONNX Runtime writes every call of a local function out.
"""

from __future__ import annotations

import re

from regraft.errors import GraphError
from regraft.ir.graph import AnyGraph, Function, Node, walk
from regraft.ir.model import Model

WRITTEN_OUT = 10_000_000
"""Nodes, with all calls of functions written out, beyond which ONNX Runtime is not asked."""

_EQUATION = re.compile(r"{0}(,{0})*(->{0})?".format(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*"))


def check(model: Model) -> None:
    """Raise GraphError where a function calls itself, or an Einsum has an equation that means nothing."""
    if model.functions:
        written_out(model)
    for node in model.nodes():
        if node.op == "Einsum":
            check_equation(node)


def check_equation(node: Node) -> None:
    """Raise GraphError where `node` is an Einsum whose equation means nothing."""
    if node.op != "Einsum" or node.domain:
        return
    equation = node.attrs.get("equation")
    if not isinstance(equation, Node.AttributeRef) and not is_equation(equation):
        label = node.name or next((t.name for t in node.outputs), "")
        raise GraphError(f"node '{label}' (Einsum): '{str(equation)[:60]}' is no equation of Einsum")


def is_equation(text: object) -> bool:
    """Whether `text` is an equation of Einsum."""
    return isinstance(text, str) and _EQUATION.fullmatch(text.replace(" ", "")) is not None


def check_size(model: Model) -> None:
    """Raise GraphError where the calls of functions, written out, are more nodes than a runtime can hold."""
    if (count := written_out(model)) > WRITTEN_OUT:
        raise GraphError(f"its local functions call each other so often that they write out as {count:.2g} nodes")


def written_out(model: Model) -> int:
    """How many nodes the main graph has with every call of a local function written out.

    Raises:
        GraphError: a function calls itself.
    """
    functions = {(f.domain or "", f.name, f.overload): f for f in model.functions}
    sizes: dict[AnyGraph, int] = {}
    stack: list[tuple[AnyGraph, bool]] = [(root, False) for root in reversed(model.roots)]
    open_: set[AnyGraph] = set()
    while stack:
        graph, is_left = stack.pop()
        called = _called(graph, functions)
        if is_left:
            open_.discard(graph)
            sizes[graph] = sum(1 if function is None else sizes[function] for function in called)
        elif graph not in sizes:
            open_.add(graph)
            stack.append((graph, True))
            for function in called:
                if function in open_:
                    raise GraphError(f"function '{function.domain}.{function.name}' calls itself")
                if function is not None and function not in sizes:
                    stack.append((function, False))
    return sizes[model.graph]


def _called(root: AnyGraph, functions: dict[tuple[str, str, str], Function]) -> list[Function | None]:
    """For each node of `root` the function that it calls, or None."""
    return [functions.get((n.domain or "", n.op, n.overload)) for graph in walk(root) for n in graph.nodes]
