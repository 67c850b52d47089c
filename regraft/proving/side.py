"""One of two models that are compared: what is known of its values, and the number of each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Constant, Graph, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.ops.traits import COMMUTATIVE
from regraft.proving.numbering import Numbers, Stored, kind_of, node_key, passes_on, shape_key
from regraft.rewriting.facts import Kind
from regraft.rewriting.matcher import drops_nothing
from regraft.shapes import Fact, analyse


class Computed(NamedTuple):
    """How a node computes what it makes: the same for nodes that compute the same.

    Attributes:
        key: of the operator, its attributes and bodies.
        inputs: the numbers of what it reads.
    """

    key: Hashable
    inputs: tuple[int, ...]


class Side:
    """A model, with its host where it has one, and the numbers of its values.

    Attributes:
        stages: the models in the order in which they run.
        number: of each value that was numbered.
        how: of each node that was looked at, how it computes what it makes.
        constants: what is known now, by number.
        fed: inputs of the device, and the outputs of the host that feed them.
    """

    def __init__(self, model: Model, numbers: Numbers, stored: Stored):
        self.stages = [model.host.model, model.device] if model.host else [model]
        self.number: dict[Tensor, int] = {}
        self.how: dict[Node, Computed] = {}
        self.constants: dict[int, Constant | Array] = {}
        self._numbers, self._stored = numbers, stored
        self._facts = [analyse(stage) for stage in self.stages]
        self.fed = model.fed

    def fact(self, tensor: Tensor) -> Fact:
        """The type, the shape and the small whole numbers of a value."""
        return self._facts[self.stage(tensor)][tensor]

    def stage(self, tensor: Tensor) -> int:
        """The number of the stage that a value is in."""
        return int(len(self.stages) > 1 and tensor not in self._facts[0])

    def kind(self, tensor: Tensor) -> Kind | None:
        return kind_of(self.fact(tensor))

    def start(self, graph: Graph) -> None:
        """Number the inputs of a main graph: by name, or as what feeds them."""
        for tensor in graph.inputs:
            fed, default = self.fed.get(tensor), getattr(tensor, "default", None)
            given = "input", tensor.name, None if default is None else self._stored.number(default)
            self.number[tensor] = self._numbers.of(given) if fed is None else self.number[fed]

    def enter(self, node: Node, name: str, body: AnyGraph) -> None:
        """Number what `node` gives to its body `name`."""
        for place, tensor in enumerate(body.inputs):
            self.number[tensor] = self._numbers.of(("given", node.op, self._inputs(node), name, place))

    def walk(self, graph: AnyGraph) -> None:
        """Number what the nodes of `graph` make."""
        for node in graph.nodes:
            for name, body in bodies_of(node):
                self.enter(node, name, body)
                self.walk(body)
            self.make(node)

    def make(self, node: Node) -> Computed:
        """Number what `node` makes, its inputs and bodies numbered; how it does so."""
        opset = node.graph.opset
        computed = self.how[node] = self._computed(node, opset)
        for place, tensor in enumerate(node.outputs):
            self.number[tensor] = self._of(node, opset, computed, place, tensor)
        return computed

    def of(self, tensor: Tensor) -> int:
        """The number of a value, which was numbered, or is a constant."""
        found = self.number.get(tensor)
        if found is None:
            found = self._of_source(tensor)
            self.number[tensor] = found
        return found

    def set_apart(self, tensor: Tensor) -> None:
        """Give a value a number that no other has."""
        self.number[tensor] = self._alone(tensor)

    def _alone(self, tensor: Tensor) -> int:
        return self._numbers.of(("alone", id(tensor), tensor.name))

    def branch(self, node: Node) -> Graph | None:
        """The body that an If takes, where that is known."""
        if node.op != "If" or node.domain:
            return None
        known = self.fact(node.inputs[0]).numbers
        if known is None:
            known = schema.constant_of(node.inputs[0])
        if known is None or known.size != 1:
            return None
        taken: Graph = node.attrs["then_branch" if bool(known.reshape(-1)[0]) else "else_branch"]
        return taken

    def _computed(self, node: Node, opset: int) -> Computed:
        inputs = self._inputs(node)
        if node.op in COMMUTATIVE and not node.domain:
            inputs = tuple(sorted(inputs))
        given = tuple((name, tuple(map(self.of, body.outputs))) for name, body in bodies_of(node))
        kinds = tuple(map(self.kind, node.inputs))
        return Computed(node_key(node, opset, kinds, given), inputs)

    def _inputs(self, node: Node) -> tuple[int, ...]:
        return tuple(map(self.of, node.inputs))

    def _of(self, node: Node, opset: int, computed: Computed, place: int, tensor: Tensor) -> int:
        key = shape_key(self.fact(tensor))
        if key is not None:
            return self._numbers.of(key)
        if place == 0 and node.inputs and passes_on(node, (self.kind(node.inputs[0]), self.kind(tensor)), opset):
            return computed.inputs[0]
        if node.op == "Constant" and not node.domain and isinstance(held := node.attrs.get("value"), Constant):
            return self._of_constant(held)
        if (values := schema.constant_of(tensor)) is not None:
            number = self._stored.of_array(values)
            self.constants[number] = values
            return number
        if (taken := self.branch(node)) is not None:
            return self.of(taken.outputs[place])
        if schema.draws(node) and not (node.op == "Dropout" and drops_nothing(node, opset)):
            return self._numbers.of((computed, place, tensor.name))  # two that draw alike draw not the same
        return self._numbers.of((computed, place))

    def _of_source(self, tensor: Tensor) -> int:
        """Of what no node was seen to make."""
        if tensor.is_empty():
            return self._numbers.of(None)
        if isinstance(tensor, Constant):
            return self._of_constant(tensor)
        return self._alone(tensor)

    def _of_constant(self, constant: Constant) -> int:
        number = self._stored.number(constant)
        if constant.is_known:
            self.constants[number] = self._stored.whole(constant)
        return number


def bodies_of(node: Node) -> Iterator[tuple[str, Graph]]:
    """The graphs among the attributes of a node, by name."""
    for name in sorted(node.attrs):
        if isinstance(node.attrs[name], Graph):
            yield name, node.attrs[name]
