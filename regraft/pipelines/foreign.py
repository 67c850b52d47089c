"""Passes made of functions that users of other libraries have: of one that edits a graph of onnx-graphsurgeon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from regraft.errors import PassError
from regraft.ir.graph import Node
from regraft.ir.graphsurgeon import from_graphsurgeon
from regraft.ir.model import Model
from regraft.pipelines.pass_ import EVERY, Context, Pass
from regraft.verification.contract import Contract, reassociation


def graphsurgeon_pass(name: str, function: Callable[[Any], Any], contract: Contract = reassociation) -> type[Pass]:
    """A pass that runs `function` on the graph, in a line:

        Tidy = regraft.graphsurgeon_pass("tidy", lambda graph: graph.cleanup().toposort())

    Args:
        name: of the pass, in kebab-case.
        function: takes an `onnx_graphsurgeon.Graph`, and changes it in place or returns another. Its docstring is the
            help of the pass.
        contract: what it promises about the outputs.
    """

    def run(self: Pass, model: Model, context: Context) -> None:
        theirs = model.to_graphsurgeon()
        returned = function(theirs)
        if returned is not None and not hasattr(returned, "nodes"):
            raise PassError(f"its function returns {type(returned).__name__}; it must return a graph, or nothing")
        before, made = list(model.nodes()), dict[Node, Node | None]()
        model.graph = from_graphsurgeon(theirs if returned is None else returned, made)
        kept = set(made.values())
        gone, new = [node for node in before if node not in kept], [node for node, was in made.items() if was is None]
        if gone or new:
            context.replaced(gone, new)

    help = (function.__doc__ or "").strip() or "Runs a function on the graph, as onnx-graphsurgeon has it."
    scope = {"name": name, "contract": contract, "introduces": EVERY, "run": run, "__doc__": help}
    module = sys._getframe(1).f_globals["__name__"]  # a pass belongs to the file that makes it
    return type(name.title().replace("-", ""), (Pass,), {**scope, "__module__": module})
