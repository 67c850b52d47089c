"""The walk that finds out what is known of every value, node after node."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Constant, Function, Graph, Node, Tensor
from regraft.ir.graphsurgeon import adopt
from regraft.ir.model import Model
from regraft.ir.schema import constant_node_value
from regraft.shapes import bodies, dims, foreign, rules, values
from regraft.shapes.call import Call
from regraft.shapes.facts import UNKNOWN, WHOLE, Fact, Facts, declared, of_constant
from regraft.shapes.inference import ERRORS, Schemas, problem
from regraft.shapes.keys import Keys
from regraft.shapes.signature import Signatures


def analyse(model: Model) -> Facts:
    """What is known of every value, the model left as it is. What stands in a function holds for every call."""
    adopt(model)
    facts = Facts()
    walker = Walker(model, facts)
    walker.graph(model.graph, {})
    calls = {function: list(given) for function, given in walker.calls.items()}
    for function in model.functions:
        columns = zip(*calls[function], strict=True) if function in calls else ()
        facts.update(dict.fromkeys(function.inputs, UNKNOWN))
        facts.update(zip(function.inputs, map(_agreed, columns), strict=False))
        walker.graph(function, {})
    return facts


def _agreed(facts: tuple[Fact, ...]) -> Fact:
    """What the calls of a function have in common: dtype, rank, and the dimensions that are the same numbers."""
    first = facts[0]
    if any(fact.code != first.code or fact.other != first.other for fact in facts):
        return UNKNOWN
    ranks = {None if fact.dims is None else len(fact.dims) for fact in facts}
    if len(ranks) > 1 or None in ranks:
        return Fact(first.code, other=first.other)
    columns = zip(*(fact.dims or () for fact in facts), strict=True)
    return Fact(
        first.code, tuple(d[0] if len(set(d)) == 1 and isinstance(d[0], int) else dims.unnamed() for d in columns)
    )


class Walker:
    """Fills `facts`; `attrs` are always the attributes that the function around was called with.

    Attributes:
        calls: what is known of the inputs of each function, call by call.
    """

    def __init__(self, model: Model, facts: Facts):
        self.facts = facts
        self.calls: dict[Function, list[list[Fact]]] = {}
        self._functions = {f.unique_id: f for f in model.functions}
        self._schemas, self._keys = Schemas(), Keys()
        self._known: dict[Hashable, list[Fact]] = {}
        self._signatures = Signatures()

    def graph(self, graph: AnyGraph, attrs: dict[str, Any]) -> list[Fact]:
        """Walk `graph`; what is known of its outputs."""
        versions = schema.versions(graph)
        for node in graph.nodes:
            self.node(node, versions.get(node.domain or "", 1), attrs)
        return [self.facts[t] for t in graph.outputs]

    def node(self, node: Node, opset: int, attrs: dict[str, Any]) -> None:
        """Note what is known of the outputs of `node`; `opset` is that of its domain."""
        made = self._node(node, opset, attrs)
        missing = [UNKNOWN] * (len(node.outputs) - len(made))
        foreign = self._function_of(node) is None and schema.find(node.op, opset, node.domain) is None
        for tensor, fact in zip(node.outputs, [*made, *missing], strict=False):
            self._put(tensor, fact, foreign)

    def body(self, graph: Graph, inputs: list[Fact], attrs: dict[str, Any]) -> list[Fact]:
        """What a body gives for `inputs`."""
        for tensor, fact in zip(graph.inputs, inputs, strict=False):
            self.facts[tensor] = fact if fact.code or fact.other is not None else declared(tensor)
        return self.graph(graph, attrs)

    def _put(self, tensor: Tensor, fact: Fact, foreign: bool) -> None:
        """Note `fact`; what the model declares is worth something where no operator's rules can contradict it."""
        if not tensor.name or isinstance(tensor, Constant):
            return
        if not fact.code and fact.other is None:
            said = declared(tensor)
            fact = said if foreign else said._replace(dims=None)
        self.facts[tensor] = fact if fact.fits else fact._replace(value=None)

    def _function_of(self, node: Node) -> Function | None:
        """The function that `node` calls."""
        domain = node.domain or ""
        return self._functions.get((domain, node.op, node.overload) if node.overload else (domain, node.op))

    def _node(self, node: Node, opset: int, scope: dict[str, Any]) -> list[Fact]:
        attrs = _resolved(node, scope)
        if attrs is None:
            return []
        inputs = [self.facts[t] for t in node.inputs]
        domain = node.domain or ""
        function = self._function_of(node)
        if function is not None:
            return self._function(function, inputs, attrs)
        if node.op == "Range" and not domain:  # ONNX wants scalars, ONNX Runtime takes any single element
            inputs = [f._replace(dims=()) if f.sizes is not None and math.prod(f.sizes) == 1 else f for f in inputs]
        call = Call(node, opset, inputs, attrs)
        if not domain and node.op in bodies.RULES:
            return bodies.RULES[node.op](self, call, scope)
        if not domain and node.op == "Constant":
            value = constant_node_value(Node("Constant", attrs=attrs))
            return [] if value is None else [of_constant(Constant(node.name, value))]
        return self._standard(call)

    def _standard(self, call: Call) -> list[Fact]:
        """By the rules of the operator, asked once for calls that are alike."""
        key = self._keys.of(call)
        if key in self._known:
            return self._known[key]
        try:
            made = self._infer(call, key)
        except ERRORS as error:
            typed = all(
                fact.code or fact.other for fact, t in zip(call.inputs, call.node.inputs, strict=True) if t.name
            )
            if typed:  # without types, in a function that nobody calls, inference has nothing to go by
                self.facts.problems.append(problem(call.node, error))
            return []
        if not values.reads_floats(call) and _unnamed(made) <= _unnamed(call.inputs):
            self._known[key] = made
        return made

    def _infer(self, call: Call, key: Hashable) -> list[Fact]:
        """What ONNX says, and what the rules add. Raises one of `ERRORS`."""
        made = self._schemas.infer(call, key)
        shape = rules.shape(call)
        if not made:
            return foreign.infer(call)
        if shape is not None:
            made[0] = made[0]._replace(dims=shape)
        if made[0].code in WHOLE:
            value = values.elements(call, made[0].sizes)
            if value is not None:
                made[0] = made[0]._replace(dims=value.shape, value=value)
        return made

    def _function(self, function: Function, inputs: list[Fact], attrs: dict[str, Any]) -> list[Fact]:
        """What a call of `function` gives."""
        given = [*inputs, *[UNKNOWN] * (len(function.inputs) - len(inputs))]
        attrs = {**function.attrs, **attrs}

        def walk() -> list[Fact]:
            self.calls.setdefault(function, []).append(given)
            self.facts.update(zip(function.inputs, given, strict=False))
            return self.graph(function, attrs)

        return self._signatures.result(function, given, attrs, self.facts.problems, walk)


def _unnamed(facts: Iterable[Fact]) -> set[str]:
    """The dimensions without a name that `facts` speak of; of each call those that it makes are others."""
    return {name for fact in facts for name in fact.unnamed}


def _resolved(node: Node, scope: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes of `node`; None where one is that of a call nobody knows of."""
    attrs = {}
    for name, value in node.attrs.items():
        if isinstance(value, Node.AttributeRef):
            if scope.get(value.name) is None:
                return None
            value = scope[value.name]
        attrs[name] = value
    return attrs
