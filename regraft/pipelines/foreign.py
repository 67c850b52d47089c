"""Passes made of functions that users of other libraries have: of onnx-graphsurgeon, of messages, of onnx-ir."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import onnx

from regraft.errors import PassError
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.graphsurgeon import from_graphsurgeon
from regraft.ir.model import Model
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.verification.contract import Contract, reassociation

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs
    import onnx_ir as ir


def graphsurgeon_pass(
    name: str, function: Callable[[gs.Graph], gs.Graph | None], contract: Contract = reassociation
) -> type[Pass]:
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
        model.graph = from_graphsurgeon(_given(function(theirs), theirs, "nodes", "graph"))

    return _pass(name, function, contract, run, "Runs a function on the graph, as onnx-graphsurgeon has it.")


def proto_pass(
    name: str, function: Callable[[onnx.ModelProto], onnx.ModelProto | None], contract: Contract = reassociation
) -> type[Pass]:
    """A pass that runs `function` on the model as a `ModelProto` with every weight in it.

    Args:
        name, contract: as of `graphsurgeon_pass`.
        function: takes an `onnx.ModelProto`, and changes it in place or returns another.
    """

    def run(self: Pass, model: Model, context: Context) -> None:
        proto = to_proto(model)
        _exchange(model, _given(function(proto), proto, "graph", "model"))

    return _pass(name, function, contract, run, "Runs a function on the model as a ModelProto.")


def onnx_ir_pass(
    name: str,
    function: Callable[[ir.Model], ir.Model | ir.passes.PassResult | None],
    contract: Contract = reassociation,
) -> type[Pass]:
    """A pass that runs `function` on the model as onnx-ir has it: one of its own, or what applies onnxscript's rules.

        Fused = regraft.onnx_ir_pass("fused", lambda model: onnxscript.rewriter.rewrite(model, [my_rule]))

    Args:
        name, contract: as of `graphsurgeon_pass`.
        function: takes an `onnx_ir.Model`, and changes it in place or returns another, or a `PassResult`.
    """

    def run(self: Pass, model: Model, context: Context) -> None:
        import onnx_ir as ir

        theirs = ir.serde.deserialize_model(to_proto(model))
        returned = function(theirs)
        result = _given(getattr(returned, "model", returned), theirs, "graph", "model")
        _exchange(model, ir.serde.serialize_model(result))

    return _pass(name, function, contract, run, "Runs a function on the model, as onnx-ir has it.")


def _given(returned: Any, changed: Any, has: str, of: str) -> Any:
    """What a function has made: what it returns, or what it was given."""
    if returned is not None and not hasattr(returned, has):
        raise PassError(f"its function returns {type(returned).__name__}; it must return a {of}, or nothing")
    return changed if returned is None else returned


def _exchange(model: Model, proto: onnx.ModelProto) -> None:
    """Put the model of `proto` into the place of what `model` holds."""
    made = from_proto(proto, model.path)
    model.graph, model.metadata, model.claims = made.graph, made.metadata, made.claims


def _pass(
    name: str, function: Callable[[Any], Any], contract: Contract, run: Callable[..., None], help: str
) -> type[Pass]:
    doc = (function.__doc__ or "").strip() or help
    module = sys._getframe(2).f_globals["__name__"]  # a pass belongs to the file that makes it
    scope = {"name": name, "contract": contract, "introduces": EVERY, "run": run, "__doc__": doc, "__module__": module}
    return type(name.title().replace("-", ""), (Pass,), scope)
