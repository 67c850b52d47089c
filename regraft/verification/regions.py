"""What a pass computes otherwise: nodes before and after between values that both models have, as models to run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from regraft.errors import GraphError
from regraft.ir.calls import drop_uncalled
from regraft.ir.clone import Copier
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.verification.alike import Values
from regraft.verification.record import Record


class Regions(NamedTuple):
    """Everything that a pass computes otherwise, one model for all of it on each side.

    Attributes:
        before, after: give the values that the two models claim to have in common, by their names before.
        feeds: the inputs of both, by name, and the numbers of the values that they stand for.
    """

    before: Model
    after: Model
    feeds: dict[str, int]

    @property
    def nodes(self) -> int:
        """How many there are, before and after."""
        return len(self.before.graph.nodes) + len(self.after.graph.nodes)


class _Side:
    """One of the two models."""

    def __init__(self, model: Model, values: Values):
        self.model, self.graph, self.values = model, model.graph, values
        self._named = {tensor.name: tensor for tensor in (*self.graph.inputs, *_made(self.graph))}
        self._inputs = set(self.graph.inputs)
        self.nodes: dict[Node, None] = {}
        self.feeds: dict[Tensor, int] = {}

    def find(self, name: str) -> Tensor:
        """The value of a name, a constant that took its place included. Raises GraphError where there is none."""
        if name not in self._named:
            self._named |= {t.name: t for node in self.graph.nodes for t in node.inputs if isinstance(t, Constant)}
            self._named |= {tensor.name: tensor for tensor in self.graph.outputs}
        if name not in self._named:
            raise GraphError(f"no value is called '{name}'")
        return self._named[name]

    def reach(self, ends: Iterable[Tensor], stops: Callable[[int], bool]) -> None:
        """Take the nodes that lead to `ends`, as far as values whose numbers stop; these feed them.

        Raises:
            GraphError: an input of the model, which no number stops, is needed.
        """
        pending = [node for tensor in ends for node in tensor.inputs]
        while pending:
            node = pending.pop()
            if node in self.nodes:
                continue
            self.nodes[node] = None
            for tensor in reads(node):
                if isinstance(tensor, Constant) or not tensor.name or not self._is_main(tensor):
                    continue
                number = self.values.numbers[tensor.name]
                if stops(number):
                    self.feeds[tensor] = number
                elif tensor.inputs:
                    pending.append(tensor.inputs[0])
                else:
                    raise GraphError(f"the input '{tensor.name}' was not recorded")

    def _is_main(self, tensor: Tensor) -> bool:
        """Whether it is in the main graph, not in a body."""
        return tensor.inputs[0].graph is self.graph if tensor.inputs else tensor in self._inputs

    def cut(self, exits: Mapping[str, Tensor], inputs: Mapping[int, Variable]) -> Model:
        """The nodes that were taken as a model that gives `exits`, by the names that they get."""
        copier, graph = Copier(), self.graph
        taken = {number: variable.copy() for number, variable in inputs.items()}
        copier.tensors |= {tensor: taken[number] for tensor, number in self.feeds.items()}
        made = Graph(name=graph.name, opset=graph.opset, ir_version=graph.ir_version)
        made.import_domains = graph.import_domains
        made.functions = [copier.function(function) for function in self.model.functions]
        computed: dict[Tensor, Tensor] = {}
        for node in graph.nodes:
            if node not in self.nodes:
                continue
            copied = copier.node(node)
            for place, tensor in enumerate(node.outputs):
                if tensor in self.feeds:  # others read what was recorded
                    copied.outputs[place] = computed[tensor] = copier.variable(tensor)
            made.nodes.append(copied)
        for name, tensor in exits.items():
            if not tensor.inputs:
                made.nodes.append(_given(tensor, taken.get(self.values.numbers[tensor.name])))
                given = made.nodes[-1].outputs[0]
            else:
                given = computed.get(tensor) or copier.tensors[tensor]
            given.name = name
            made.outputs.append(given)
        made.inputs = list(taken.values())
        model = Model(made, self.model.header)
        drop_uncalled(model)
        return model


def _given(tensor: Tensor, taken: Variable | None) -> Node:
    """A node that gives what no node makes: a constant, or an input."""
    source = Constant(f"{tensor.name} (held)", tensor.lazy) if isinstance(tensor, Constant) else taken
    if source is None:
        raise GraphError(f"the input '{tensor.name}' was not recorded")
    return Node("Identity", f"{tensor.name} (given)", inputs=[source], outputs=[Variable(tensor.name)])


Exits = dict[str, tuple[str, str]]
"""What must be seen to be the same: the names before and after, by what both get."""


def exits_of(after: Model, old: Values, new: Values) -> Exits:
    """The claims that outputs of `after` depend on, and its outputs that have another number; where there are none,
    every output is computed as before.

    Args:
        old, new: the values of the model before and of `after`.

    Raises:
        GraphError: two values claim to be the same one.
    """
    live = _live(after)
    claims = {name: before for name, before in new.claims.items() if name in live}
    found = {before: (before, name) for name, before in claims.items()}
    if len(found) < len(claims):
        raise GraphError("two values claim to be the same one")
    return found | {name: (name, name) for name, number in new.outputs.items() if number != old.outputs[name]}


def regions(before: Model, after: Model, exits: Exits, values: tuple[Values, Values], recorded: Record) -> Regions:
    """What the two models compute otherwise, up to `exits`.

    Args:
        values: those of both models.
        recorded: where a region may begin: at what both models have.

    Raises:
        GraphError: there is no such region.
    """
    old, new = values
    common = recorded.keys() & set(old.numbers.values()) & set(new.numbers.values())
    sides = _Side(before, old), _Side(after, new)
    ends = [{name: side.find(pair[n]) for name, pair in exits.items()} for n, side in enumerate(sides)]
    for side, found in zip(sides, ends, strict=True):
        side.reach(found.values(), common.__contains__)
    needed = sorted({number for side in sides for number in side.feeds.values()})
    names = {number: name for name, number in old.numbers.items()}
    inputs = {number: _input(f"{names[number]} (recorded)", recorded, number) for number in needed}
    feeds = {variable.name: number for number, variable in inputs.items()}
    one, other = (side.cut(found, inputs) for side, found in zip(sides, ends, strict=True))
    return Regions(one, other, feeds)


def _live(model: Model) -> Collection[str]:
    """The names of the values that the outputs of a model depend on."""
    met: set[Tensor] = set(model.graph.outputs)
    pending = list(met)
    while pending:
        for node in pending.pop().inputs:
            new = [tensor for tensor in reads(node) if tensor not in met]
            met.update(new)
            pending += new
    return {tensor.name for tensor in met}


def _made(graph: Graph) -> Iterable[Tensor]:
    return (tensor for node in graph.nodes for tensor in node.outputs)


def _input(name: str, recorded: Record, number: int) -> Variable:
    """An input that takes the tensors that were recorded of a value."""
    arrays = recorded[number]
    ranks = {array.ndim for array in arrays}
    return Variable(name, arrays[0].dtype, [None] * arrays[0].ndim if len(ranks) == 1 else None)
