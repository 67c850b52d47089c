"""Where values enter the graphs inside nodes and the functions of a model, and where they leave them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

from regraft.ir.graph import Function, Graph, Node, Tensor, subgraphs
from regraft.ir.model import Model


class Passage(NamedTuple):
    """What a value is that enters a graph, or leaves one.

    Attributes:
        kind: "one": one of `values`; "carried": at first the first of two values, then what the other was a round
            before; "stacked": what the one value is in each round, one behind the other along `axis`; "sliced": in each
            round another place of the one value along `axis`; "counted": the number of the round, of as many as the
            one value says.
    """

    kind: Literal["one", "carried", "stacked", "sliced", "counted"]
    values: tuple[Tensor, ...]
    axis: int = 0


class Passages:
    """The passages of a model.

    Attributes:
        given: what the caller of the model gives.
        into: of the inputs of bodies and functions; one whose origin is not known is left out.
        ends: the nodes whose bodies give a value, by the value.
    """

    def __init__(self, model: Model):
        self.given: frozenset[Tensor] = frozenset(model.graph.inputs)
        self.into: dict[Tensor, Passage] = {}
        self.ends: defaultdict[Tensor, list[Node]] = defaultdict(list)
        self._functions = {function.unique_id: function for function in model.functions}
        for graph in model.graphs():
            for node in graph.nodes.holders:
                for body in subgraphs(node):
                    for tensor in body.outputs:
                        self.ends[tensor].append(node)
                self.into.update(_into(node))
        if self._functions:
            self._calls(model.nodes())

    def function_of(self, node: Node) -> Function | None:
        """The function that `node` calls."""
        if not self._functions:
            return None
        key = (node.domain or "", node.op)
        return self._functions.get((*key, node.overload) if node.overload else key)

    def out_of(self, node: Node, number: int) -> Passage | None:
        """How output `number` of `node` leaves a graph; None where it leaves none, or that is not known."""
        function = self.function_of(node)
        if function is not None:
            return Passage("one", (function.outputs[number],)) if number < len(function.outputs) else None
        if node.domain or node.op not in _OUT:
            return None
        return _OUT[node.op](node, number)

    def _calls(self, nodes: Iterable[Node]) -> None:
        calls: defaultdict[Function, list[Node]] = defaultdict(list)
        for node in nodes:
            if (function := self.function_of(node)) is not None:
                calls[function].append(node)
        for function, callers in calls.items():
            for number, tensor in enumerate(function.inputs):
                if all(number < len(node.inputs) and node.inputs[number].name for node in callers):
                    self.into[tensor] = Passage("one", tuple(node.inputs[number] for node in callers))


def _into(node: Node) -> Iterable[tuple[Tensor, Passage]]:
    """The inputs of the body of a Loop or a Scan, and what they are."""
    body = node.attrs.get("body")
    if node.domain or not isinstance(body, Graph):
        return
    if node.op == "Loop" and body.inputs and node.inputs:
        yield body.inputs[0], Passage("counted", (node.inputs[0],))
        for number, tensor in enumerate(body.inputs[2:]):
            if number + 2 < len(node.inputs) and number + 1 < len(body.outputs):
                yield tensor, Passage("carried", (node.inputs[number + 2], body.outputs[number + 1]))
    elif node.op == "Scan" and (states := _states(node)) is not None:
        axes = node.attrs.get("scan_input_axes") or [0] * (len(node.inputs) - states)
        for number, (tensor, given) in enumerate(zip(body.inputs, node.inputs, strict=False)):
            if number >= states:
                yield tensor, Passage("sliced", (given,), axes[number - states])
            elif number < len(body.outputs):
                yield tensor, Passage("carried", (given, body.outputs[number]))


def _states(scan: Node) -> int | None:
    """How many values a Scan carries; None before opset 9, where it was another operator."""
    count = scan.attrs.get("num_scan_inputs")
    if scan.graph is None or scan.graph.opset < 9 or not isinstance(count, int):
        return None
    return len(scan.inputs) - count


def _out_of_if(node: Node, number: int) -> Passage | None:
    branches = [node.attrs.get(name) for name in ("then_branch", "else_branch")]
    ends = [b.outputs[number] for b in branches if isinstance(b, Graph) and number < len(b.outputs)]
    return Passage("one", tuple(ends)) if len(ends) == 2 else None


def _out_of_loop(node: Node, number: int) -> Passage | None:
    body = node.attrs.get("body")
    if not isinstance(body, Graph) or number + 1 >= len(body.outputs):
        return None
    end = body.outputs[number + 1]
    if number + 2 < len(node.inputs):
        return Passage("one", (node.inputs[number + 2], end))
    return Passage("stacked", (end,))


def _out_of_scan(node: Node, number: int) -> Passage | None:
    body, states = node.attrs.get("body"), _states(node)
    if not isinstance(body, Graph) or states is None or number >= len(body.outputs):
        return None
    if number < states:
        return Passage("one", (node.inputs[number], body.outputs[number]))
    axes = node.attrs.get("scan_output_axes") or [0] * (len(body.outputs) - states)
    return Passage("stacked", (body.outputs[number],), axes[number - states])


_OUT = {"If": _out_of_if, "Loop": _out_of_loop, "Scan": _out_of_scan}
