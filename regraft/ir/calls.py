"""Which local functions a model calls, and which nothing calls."""

from __future__ import annotations

from regraft.ir.graph import AnyGraph, Function, walk
from regraft.ir.model import Model


def called_functions(model: Model) -> set[Function]:
    """The local functions that the main graph calls, or a function that it calls."""
    known = {(f.domain or "", f.name, f.overload): f for f in model.functions}
    called: set[Function] = set()
    pending: list[AnyGraph] = [model.graph]
    while pending:
        for graph in walk(pending.pop()):
            for node in graph.nodes:
                function = known.get((node.domain or "", node.op, node.overload))
                if function is not None and function not in called:
                    called.add(function)
                    pending.append(function)
    return called


def drop_uncalled(model: Model) -> None:
    """Take out the functions that nothing calls."""
    called = called_functions(model)
    model.functions[:] = [function for function in model.functions if function in called]
