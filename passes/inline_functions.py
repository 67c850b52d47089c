"""Local functions written out where they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from regraft.ir import schema
from regraft.ir.calls import called_functions
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Function, Graph, Node, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.refusal import PassRef, Refusal
from regraft.verification.contract import exact

MOST = 1_000_000
"""Nodes that the calls of a model become at most: functions that call others twice grow without end."""

Key = tuple[str, str, str]
Emit = Callable[[Node], None]


class InlineFunctions(Pass):
    """Write the nodes of local functions in the place of their calls.

    y = local::SwiGLU(x, w)   →   its Sigmoid, its Mul, its MatMul

    Those that call others are written out whole, and those that stand for an operator which the opset lacks as well:
    convert-opset makes them the operator, where the newer opset is welcome. A function of another opset than the
    model's stays where an operator in it means something else there. Most compilers call no functions.
    """

    name = "inline-functions"
    contract = exact
    introduces = EVERY
    keep: tuple[str, ...] = option((), "functions to keep, as domain::name: those that a compiler has as operators")

    def run(self, model: Model, context: Context) -> None:
        inlined = [f for f in model.functions if f"{f.domain}::{f.name}" not in self.keep]
        functions = {_key(function.domain, function.name, function.overload): function for function in inlined}
        calls = [(node, graph) for graph in walk(model.graph) for node in graph.nodes if _called(node, functions)]
        if not calls:
            return
        whole = _sizes(functions)
        with Editor(model) as edit:
            writer, left = _Writer(functions, edit), MOST
            for node, graph in calls:
                function = functions[_key(node.domain, node.op, node.overload)]
                refusal = _reason_to_keep(function, graph, whole, functions)
                if refusal is None and (left := left - whole[function].nodes) < 0:
                    refusal = Refusal(f"calls would become more than {MOST} nodes")
                if refusal is not None:
                    context.refuse(refusal, node)
                else:
                    context.replaced([node], writer.put(node, function), rule=function.name)
        _drop_uncalled(model)


@dataclass
class _Whole:
    """A function with all that it calls: how many nodes, which functions, and whether it calls itself."""

    nodes: int = 0
    called: set[Function] = field(default_factory=set)
    endless: bool = False


def _sizes(functions: dict[Key, Function]) -> dict[Function, _Whole]:
    """How much every function is, written out; callees first, without recursion."""
    found: dict[Function, _Whole] = {}
    open_: set[Function] = set()
    for start in functions.values():
        pending = [start]
        while pending:
            function = pending[-1]
            if function in found:
                pending.pop()
                continue
            callees = [callee for node in _nodes(function) if (callee := _called(node, functions)) is not None]
            missing = [callee for callee in dict.fromkeys(callees) if callee not in found]
            if function not in open_ and missing:
                open_.add(function)
                pending += missing
                continue
            parts = [found.get(callee, _Whole(endless=True)) for callee in callees]
            found[function] = _Whole(
                min(MOST + 1, sum(1 for _ in _nodes(function)) + sum(part.nodes for part in parts)),
                {*callees}.union(*(part.called for part in parts)),
                bool(missing) or any(part.endless for part in parts),
            )
            pending.pop()
    return found


def _reason_to_keep(
    function: Function, graph: AnyGraph, whole: dict[Function, _Whole], functions: dict[Key, Function]
) -> Refusal | None:
    """Why a call in `graph` stays; None where it need not."""
    if whole[function].endless:
        return Refusal("the function calls itself")
    if whole[function].nodes > MOST:
        return Refusal(f"it would become more than {MOST} nodes")
    for inner in (function, *whole[function].called):
        if inner.opset != graph.opset and (other := _means_another(inner, int(graph.opset), functions)):
            unlike = f"{other} is one of opset {inner.opset}, the model of {graph.opset}; run convert-opset before"
            return Refusal(unlike, needs=(PassRef(f"convert-opset{{version={graph.opset}}}"),))
    return None


def _means_another(function: Function, opset: int, functions: dict[Key, Function]) -> str:
    """An operator of `function` that `opset` has another version of."""
    for node in _nodes(function):
        if not node.domain and _called(node, functions) is None:
            own, other = schema.find(node.op, int(function.opset)), schema.find(node.op, opset)
            if own is None or other is None or own.since_version != other.since_version:
                return str(node.op)
    return ""


def _nodes(graph: AnyGraph) -> Iterator[Node]:
    return (node for inner in walk(graph) for node in inner.nodes)


def _key(domain: str | None, name: str, overload: str) -> Key:
    return domain or "", name, overload


def _called(node: Node, functions: dict[Key, Function]) -> Function | None:
    return functions.get(_key(node.domain, node.op, node.overload))


@dataclass
class _Frame:
    """A function that is being written out.

    Attributes:
        values: what its values are where it is written.
        attrs: what its attributes are.
        call, caller: the node that it is written for, and the frame of the function which that is in.
    """

    function: Function | Graph
    nodes: Iterator[Node]
    values: dict[Tensor, Tensor]
    attrs: dict[str, Any]
    call: Node | None = None
    caller: _Frame | None = None


class _Writer:
    """Writes calls out; names get that of the call before them."""

    def __init__(self, functions: dict[Key, Function], edit: Editor):
        self.functions, self.edit = functions, edit
        self.held: dict[Constant, Constant] = {}

    def put(self, call: Node, function: Function) -> list[Node]:
        """Replace `call` by the nodes of `function`; returns them."""
        added: list[Node] = []

        def emit(node: Node) -> None:
            self.edit.move(node, call)
            added.append(node)

        outer = {tensor: tensor for tensor in (*call.inputs, *call.outputs)}
        frame = self._frame(call, function, outer, {})
        self._write(frame, call.name or call.op, emit)
        for old, inner in zip(call.outputs, function.outputs, strict=False):
            if not old.is_empty():
                self.edit.replace(old, self._value(inner, frame))
        self.edit.remove(call)
        return added

    def _frame(
        self,
        call: Node,
        function: Function,
        values: dict[Tensor, Tensor],
        attrs: dict[str, Any],
        caller: _Frame | None = None,
    ) -> _Frame:
        found: dict[Tensor, Tensor] = {formal: Variable("") for formal in function.inputs}
        found |= zip(function.inputs, (values.get(tensor, tensor) for tensor in call.inputs), strict=False)
        own = {name: value for name, value in function.attrs.items() if value is not None}
        own |= _resolved(call.attrs, attrs)
        return _Frame(function, iter(function.nodes), found, own, call, caller)

    def _write(self, frame: _Frame, prefix: str, emit: Emit) -> None:
        """Emit the nodes of `frame`, and of what they call, without recursion."""
        current: _Frame | None = frame
        while current is not None:
            node = next(current.nodes, None)
            if node is None:
                if current.call is not None and current.caller is not None:
                    for outer, inner in zip(current.call.outputs, current.function.outputs, strict=False):
                        current.caller.values[outer] = self._value(inner, current)
                current = current.caller
                continue
            callee = _called(node, self.functions)
            if callee is not None:
                given = {tensor: self._value(tensor, current) for tensor in node.inputs}
                current = self._frame(node, callee, given, current.attrs, current)
            else:
                emit(self._copy(node, current, prefix))

    def _copy(self, node: Node, frame: _Frame, prefix: str) -> Node:
        inputs = [self._value(tensor, frame) for tensor in node.inputs]
        outputs: list[Tensor] = []
        for tensor in node.outputs:
            outputs.append(Variable(self.edit.name(f"{prefix}/{tensor.name}") if tensor.name else ""))
            frame.values[tensor] = outputs[-1]
        attrs = {name: self._body(value, frame, prefix) for name, value in _resolved(node.attrs, frame.attrs).items()}
        made = Node(node.op, self.edit.name(f"{prefix}/{node.name or node.op}"), attrs, inputs, outputs, node.domain)
        made.metadata, made.doc_string, made.overload = dict(node.metadata), node.doc_string, node.overload
        return made

    def _body(self, value: Any, frame: _Frame, prefix: str) -> Any:
        """A copy of the body that an attribute is."""
        if isinstance(value, list) and value and isinstance(value[0], Graph):
            return [self._body(one, frame, prefix) for one in value]
        if not isinstance(value, Graph):
            return value
        values = dict(frame.values)
        inputs = [tensor.copy() for tensor in value.inputs]
        for old, new in zip(value.inputs, inputs, strict=True):
            new.name = self.edit.name(f"{prefix}/{old.name}")
            values[old] = new
        made = Graph(name=value.name, doc_string=value.doc_string, opset=value.opset, inputs=inputs)
        made.import_domains = value.import_domains
        inside = _Frame(value, iter(value.nodes), values, frame.attrs)
        self._write(inside, prefix, made.nodes.append)
        made.outputs = [self._value(tensor, inside) for tensor in value.outputs]
        return made

    def _value(self, tensor: Tensor, frame: _Frame) -> Tensor:
        if isinstance(tensor, Constant):
            if tensor not in self.held:
                self.held[tensor] = Constant(self.edit.name(tensor.name), tensor.lazy)
            return self.held[tensor]
        return frame.values.get(tensor, tensor)


def _resolved(attrs: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`attrs`, with what is given for those of the function around them; left out where nothing is."""
    found = {}
    for name, value in attrs.items():
        if not isinstance(value, Node.AttributeRef):
            found[name] = value
        elif value.name in given:
            found[name] = given[value.name]
    return found


def _drop_uncalled(model: Model) -> None:
    """Take out the functions that nothing calls any more, and let the model import what they needed."""
    called, known = called_functions(model), schema.versions(model.graph)
    gone = [function for function in model.functions if function not in called]
    needed = {entry.domain: entry for function in gone for entry in function.import_domains or ()}
    more = [entry for domain, entry in needed.items() if domain and domain not in known]
    model.functions[:] = [function for function in model.functions if function in called]
    if more:
        model.graph.import_domains = [*(model.graph.import_domains or ()), *more]
