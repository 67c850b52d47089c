"""The walk that finds out what is known of every value, node after node."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

from regraft.ir import schema
from regraft.ir.changes import Changes
from regraft.ir.graph import AnyGraph, Constant, Function, Graph, Node, Tensor, Variable, subgraphs, walk
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.schema import constant_node_value
from regraft.shapes import bodies, dims, foreign, rules, values
from regraft.shapes.facts import UNKNOWN, WHOLE, Fact, Facts, declared
from regraft.shapes.inference import ERRORS, Schemas, problem
from regraft.shapes.keys import Keys
from regraft.shapes.op_call import Call
from regraft.shapes.signature import Signatures


def analyse(model: Model) -> InferredTypes:
    """What is known of every value, the model left as it is. What stands in a function holds for every call."""
    return model.facts(InferredTypes)


class InferredTypes(Facts):
    """The type, the shape and the small whole numbers of every value, kept in step with the model."""

    def __init__(self, model: Model):
        super().__init__(model)
        self._walker = Walker(self)
        self._declared: set[Node] = set()  # nodes of the main graph at which a declaration was believed
        self._walk(model)

    def follow(self, model: Model, changes: Changes) -> None:
        """Look again at what changed, and at what hangs on it as far as more, less or else is known."""
        if not changes:
            return
        self.found.clear()
        if changes.all or model.functions or self.problems:
            self._walk(model)
        else:
            self._walk_again(model.graph, changes)

    def _walk(self, model: Model) -> None:
        self.clear()
        self.problems.clear()
        self._declared.clear()
        walker, versions = self._walker, schema.versions(model.graph)
        walker.start(model)
        for node in model.graph.nodes:
            walker.declared = False
            walker.node(node, versions.get(node.domain or "", 1), {})
            if walker.declared:
                self._declared.add(node)
        for function in model.functions:
            calls = walker.calls.get(function, [])
            self.update(dict.fromkeys(function.inputs, UNKNOWN))
            self.update(zip(function.inputs, map(_agreed, zip(*calls, strict=True)), strict=False))
            walker.graph(function, {})
        walker.end()

    def _walk_again(self, graph: Graph, changes: Changes) -> None:
        before = {tensor: self.pop(tensor, None) for tensor in changes.values}
        other = {tensor for tensor in changes.values if not tensor.inputs}
        versions = schema.versions(graph)
        again = changes.nodes | self._declared
        holders = graph.nodes.holders
        for node in graph.nodes:
            is_same = node not in again and other.isdisjoint(node.inputs)
            if is_same and (node not in holders or _sees_none(node, other)):
                continue
            known = [before.get(tensor) or self.get(tensor) for tensor in node.outputs]
            self._look_at(node, versions)
            reads_on = node.op == "Constant"  # what reads it may go by numbers that no fact holds
            pairs = zip(node.outputs, known, strict=True)
            other.update(t for t, fact in pairs if reads_on or not _alike(self.get(t), fact))
        self._walker.end()

    def _look_at(self, node: Node, versions: dict[str, int]) -> None:
        walker = self._walker
        walker.declared = False
        walker.node(node, versions.get(node.domain or "", 1), {})
        self._declared.discard(node)
        if walker.declared:
            self._declared.add(node)


def _sees_none(node: Node, values: set[Tensor]) -> bool:
    """Whether the bodies of `node` take none of `values`, from outside or as their own."""
    inner = [graph for body in subgraphs(node) for graph in walk(body)]
    return not inner or (values.isdisjoint(reads(node)) and all(values.isdisjoint(graph.inputs) for graph in inner))


def _alike(one: Fact | None, other: Fact | None) -> bool:
    """Whether two facts say the same."""
    if one is other or one is None or other is None:
        return one is other
    same = one.code == other.code and one.dims == other.dims and one.other == other.other
    return same and (one.value is other.value or _elements(one) == _elements(other))


def _elements(fact: Fact) -> Any:
    return None if fact.value is None else (fact.value.shape, list(fact.value.flat))


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
        declared: is set where what the model declares is believed of what a node makes.
    """

    def __init__(self, facts: Facts):
        self.facts = facts
        self.declared = False
        self._schemas, self._keys = Schemas(), Keys()
        self._known: dict[Hashable, list[Fact]] = {}
        self._settled: dict[Hashable, Fact] = {}
        self._is_general = False  # whether what was found of the node at hand holds for all calls alike

    def start(self, model: Model) -> None:
        """Begin a walk over `model`; what operators say of calls that are alike stays known."""
        self.calls: dict[Function, list[list[Fact]]] = {}
        self._functions = {f.unique_id: f for f in model.functions}
        self._signatures = Signatures()

    def end(self) -> None:
        """Hold on to nothing of the model."""
        self._keys.forget()
        self._settled.clear()

    def graph(self, graph: AnyGraph, attrs: dict[str, Any]) -> list[Fact]:
        """Walk `graph`; what is known of its outputs."""
        versions = schema.versions(graph)
        for node in graph.nodes:
            self.node(node, versions.get(node.domain or "", 1), attrs)
        return [self.facts[t] for t in graph.outputs]

    def node(self, node: Node, opset: int, attrs: dict[str, Any]) -> None:
        """Note what is known of the outputs of `node`; `opset` is that of its domain."""
        facts = self.facts
        if (held := self._held(node)) is not None:
            facts[node.outputs[0]] = facts.of_constant(held)
            return
        inputs = [facts[tensor] for tensor in node.inputs]
        key = None if attrs else self._keys.at_once(node, opset, inputs)
        if key is not None and (fact := self._settled.get(key)) is not None:
            facts[node.outputs[0]] = fact
            return
        made = self._node(node, opset, inputs, attrs)
        missing = [UNKNOWN] * (len(node.outputs) - len(made))
        foreign = self._function_of(node) is None and schema.find(node.op, opset, node.domain) is None
        for tensor, fact in zip(node.outputs, [*made, *missing], strict=False):
            self._put(tensor, fact, foreign)
        if key is not None and self._is_general:
            self._keys.hold(inputs)
            self._settled[key] = self.facts[node.outputs[0]]

    def _held(self, node: Node) -> Constant | None:
        """What a Constant node holds; None where there is more to it."""
        if node.op != "Constant" or node.domain or self._functions:
            return None
        held, made = node.attrs.get("value"), node.outputs[0]
        return held if isinstance(held, Constant) and isinstance(made, Variable) and made.name else None

    def body(self, graph: Graph, inputs: list[Fact], attrs: dict[str, Any]) -> list[Fact]:
        """What a body gives for `inputs`."""
        for tensor, fact in zip(graph.inputs, inputs, strict=False):
            is_known = fact.code or fact.other is not None
            self.declared = self.declared or not is_known
            self.facts[tensor] = fact if is_known else declared(tensor)
        return self.graph(graph, attrs)

    def _put(self, tensor: Tensor, fact: Fact, foreign: bool) -> None:
        """Note `fact`; what the model declares is worth something where no operator's rules can contradict it."""
        if not tensor.name or isinstance(tensor, Constant):
            return
        if not fact.code and fact.other is None:
            self.declared = True
            said = declared(tensor)
            fact = said if foreign else said._replace(dims=None)
        self.facts[tensor] = fact if fact.fits else fact._replace(value=None)

    def _function_of(self, node: Node) -> Function | None:
        """The function that `node` calls."""
        domain = node.domain or ""
        return self._functions.get((domain, node.op, node.overload) if node.overload else (domain, node.op))

    def _node(self, node: Node, opset: int, inputs: list[Fact], scope: dict[str, Any]) -> list[Fact]:
        self._is_general = False
        attrs = _resolved(node, scope) if node.attrs else {}
        if attrs is None:
            return []
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
            held: Any = attrs.get("value")
            if not isinstance(held, Constant):
                value = constant_node_value(Node("Constant", attrs=attrs))
                held = None if value is None else Constant(node.name, value)
            return [] if held is None else [self.facts.of_constant(held)]
        return self._standard(call)

    def _standard(self, call: Call) -> list[Fact]:
        """By the rules of the operator, asked once for calls that are alike."""
        key = self._keys.of(call)
        if key in self._known:
            self._is_general = True
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
            self._is_general = True
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
