"""A graph as text that reads like a program: one node a line, bodies indented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regraft.inspection.census import operator
from regraft.ir.graph import AnyGraph, Constant, Function, Graph, Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.verification.signature import Port

_SHOWN = 8  # elements of a constant that are written out
_INDENT = "    "


def listing(model: Model) -> Iterator[str]:
    """The lines of the main graph and of the functions."""
    yield from _graph(model.graph, f"graph {model.graph.name}", "")
    for function in model.functions:
        yield ""
        yield from _graph(function, f"function {'.'.join(function.unique_id)}", "")


def _graph(graph: AnyGraph, title: str, indent: str) -> Iterator[str]:
    typed = not isinstance(graph, Function)
    yield f"{indent}{title}({', '.join(_declared(t) if typed else t.name for t in graph.inputs)}):"
    for node in graph.nodes:
        yield from _node(node, indent + _INDENT)
    yield f"{indent}{_INDENT}return {', '.join(t.name for t in graph.outputs)}"


def _node(node: Node, indent: str) -> Iterator[str]:
    outputs = ", ".join(_declared(t) if t.name else "_" for t in node.outputs)
    bodies = set(subgraphs(node))
    plain = [f"{name}={attribute_text(value)}" for name, value in node.attrs.items() if not _is_body(value)]
    yield f"{indent}{outputs} = {operator(node)}({', '.join([*map(_argument, node.inputs), *plain])})"
    for name, value in node.attrs.items():
        for body in value if isinstance(value, list) else [value]:
            if isinstance(body, Graph) and body in bodies:
                yield from _graph(body, name, indent + _INDENT)


def _is_body(value: Any) -> bool:
    return isinstance(value, Graph) or (isinstance(value, list) and bool(value) and isinstance(value[0], Graph))


def _declared(tensor: Tensor) -> str:
    if not isinstance(tensor, Variable) or (tensor.dtype is None and tensor.info is None):
        return str(tensor.name)
    return f"{tensor.name}: {Port.of_variable(tensor)}"


def _argument(tensor: Tensor) -> str:
    return _constant(tensor) if isinstance(tensor, Constant) else tensor.name or "_"


def _constant(constant: Constant) -> str:
    if constant.size <= _SHOWN and constant.is_known:
        return repr(constant.values.tolist())
    return f"<{constant.name}: {constant.dtype}[{', '.join(map(str, constant.shape))}]>"


def attribute_text(value: Any) -> str:
    """An attribute or a constant as text: small values in full."""
    if value is None:
        return "none"
    if isinstance(value, Node.AttributeRef):
        return f"@{value.name}"
    if isinstance(value, Constant):
        return _constant(value)
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, list):
        return f"[{', '.join(map(attribute_text, value))}]"
    return repr(value) if isinstance(value, str | bytes) else " ".join(str(value).split())
