"""Edits of a model's graphs, each in time linear in what it touches.

A link that goes is searched for in the list at its other end, and a node in that of its graph. An `Editor` marks what
is dead, and rebuilds the lists once, at the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.errors import GraphError
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, Variable, subgraphs, walk
from regraft.ir.graphsurgeon import adopt
from regraft.ir.model import Model
from regraft.ir.node import AttributeValue
from regraft.ir.order import reads, sort
from regraft.ir.value import Linked, Links
from regraft.ir.weights import Array, Value


class Editor:
    """Changes to the graphs of `model`; leaving the `with` block puts the node lists in order.

        with Editor(model) as edit:
            edit.replace(node.outputs[0], node.inputs[0])
            edit.remove(node)

    Inside the block the nodes that were removed are still in the lists: ask `live_nodes`, `users` and `is_read`. An
    exception takes back every change that was made through the editor, or to what `touch` was told of.
    """

    def __init__(self, model: Model):
        self.model = model
        self.dead: set[Node] = set()
        self._homes: dict[Node, AnyGraph] = {}  # of nodes that are new, or moved
        self.graph_outputs: dict[Tensor, list[AnyGraph]] = {}  # the graphs that a value is an output of
        self._names: set[str] | None = None  # of all values and nodes, once one is asked for
        self._next: dict[str, int] = {}
        self._before: dict[Node, list[Node]] = {}  # new nodes, by the old one that they stand before
        self._anchor: dict[Node, Node] = {}  # that old node, by new one
        self._scalars: dict[tuple[AnyGraph, bytes, np.dtype[Any]], Constant] = {}
        self._saved: dict[Node | Tensor | AnyGraph, dict[str, Any]] = {}  # what was changed, as it was
        self._links: dict[int, tuple[Links, list[Any]]] = {}  # lists of links, by identity, and what they were
        self._variables: list[tuple[Tensor, Any, Any]] = []  # what is known now, and its dtype and shape before
        self._functions = list(model.functions)
        self._replaced: dict[Tensor, Tensor] = {}
        self._known: dict[Tensor, Node] = {}
        self._starts: set[Tensor] = set()
        adopt(model)
        for graph in model.graphs():
            self._starts.update(graph.inputs)
            for tensor in graph.outputs:
                self.graph_outputs.setdefault(tensor, []).append(graph)

    def __enter__(self) -> Editor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit()
        except BaseException:
            self._roll_back()
            raise
        if error is not None:
            self._roll_back()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name not in _RENAMED:
                raise AttributeError(f"'Editor' object has no attribute '{name}'")
            warnings.warn(f"Editor.{name} is now Editor.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
            return getattr(self, _RENAMED[name])

    # ------------------------------------------------------------------------------------------------ questions

    def live_nodes(self, graph: AnyGraph) -> Iterator[Node]:
        """The nodes of `graph` that were there at the start and are not removed."""
        return (node for node in graph.nodes if node not in self.dead)

    def users(self, tensor: Tensor) -> Iterator[Node]:
        """The nodes, in any graph, that read `tensor`; a node that reads it twice comes twice."""
        return (node for node in tensor.outputs if node not in self.dead)

    def is_read(self, tensor: Tensor) -> bool:
        """Whether a node or a graph's output needs `tensor`."""
        return tensor in self.graph_outputs or any(node not in self.dead for node in tensor.outputs)

    def graph_of(self, node: Node) -> AnyGraph:
        """The graph that `node` is in, or will be at the end."""
        graph: AnyGraph = self._homes.get(node, node.graph)
        return graph

    def _find_names(self) -> set[str]:
        names: set[str] = set()
        for graph in self.model.graphs():
            names.update([t.name for t in (*graph.inputs, *graph.outputs, *graph.unused)])
            names.update([node.name for node in graph.nodes])
            names.update([t.name for node in graph.nodes for t in node.outputs])
            names.update([t.name for node in graph.nodes for t in node.inputs if not t.inputs])
        return names

    def needs_identity(self, old: Tensor, new: Tensor) -> bool:
        """Whether `replace` must put an Identity between `new` and a graph output."""
        return any(not self._can_be_output(graph, new) for graph in self.graph_outputs.get(old, ()))

    def name(self, hint: str) -> str:
        """A name, `hint` or near it, that no value and no node has."""
        if self._names is None:
            self._names = self._find_names()
        name = hint
        while name in self._names or not name:
            self._next[hint] = self._next.get(hint, 0) + 1
            name = f"{hint}_{self._next[hint]}"
        self._names.add(name)
        return name

    # ------------------------------------------------------------------------------------------------ changes

    def constant(self, values: Array | Value, hint: str) -> Constant:
        """A new constant."""
        return Constant(self.name(hint), values)

    def scalar(self, value: float, dtype: np.dtype[Any], graph: AnyGraph) -> Constant:
        """The 0-d constant `value` of `graph`; the same one when asked again for the same bits."""
        values = np.array(value, dtype)
        key = (graph, values.tobytes(), values.dtype)
        if key not in self._scalars:
            self._scalars[key] = self.constant(values, f"{value:.7g}")
        return self._scalars[key]

    def touch(self, *changing: Node | Tensor | AnyGraph) -> None:
        """Remember nodes, values and graphs as they are, ahead of a change that is not made through the editor."""
        for one in changing:
            if isinstance(one, Linked):
                self._keep(one.inputs, one.outputs)
            if one not in self._saved:
                self._saved[one] = {name: _copied(getattr(one, name)) for name in _FIELDS[_kind(one)]}

    def _keep(self, *changing: Links) -> None:
        """Remember what these link to."""
        for links in changing:
            if id(links) not in self._links:
                self._links[id(links)] = links, links[:]

    def insert(
        self,
        before: Node,
        op: str,
        inputs: Sequence[Tensor],
        attrs: Mapping[str, AttributeValue] | None = None,
        outputs: Sequence[Tensor] | None = None,
        domain: str | None = None,
        hint: str | None = None,
    ) -> Node:
        """A new node in the graph of `before`, ahead of it. One output is made for it where none is given.

        Outputs that are given have no other maker from now on.
        """
        name = self.name(hint or f"{before.name or before.op}/{op}")
        if outputs is None:
            outputs = [Variable(self.name(f"{name}_output"))]
        for tensor in inputs:
            self._keep(tensor.outputs)
        for tensor in outputs:
            self._keep(tensor.inputs)
            tensor.inputs.reset(())
        node = Node(op, name, attrs, inputs, outputs, domain)
        self.move(node, before)
        return node

    def move(self, node: Node, before: Node) -> None:
        """Take `node`, which its own graph no longer lists, into the graph of `before`, ahead of it."""
        self._homes[node] = self.graph_of(before)
        self._anchor[node] = self._anchor.get(before, before)
        self._before.setdefault(self._anchor[node], []).append(node)

    def remove(self, node: Node) -> None:
        """Take `node` out, and its bodies. Nothing may read its outputs any more."""
        self.dead.add(node)
        for body in subgraphs(node) if node.attrs else ():
            for graph in walk(body):
                self.dead.update(graph.nodes)

    def know(self, node: Node, values: Array | Value) -> Constant:
        """Let the one value that `node` makes be known from now on, to those who read it still the same; `node` goes.

        It may be no output of a graph.
        """
        (tensor,) = node.outputs
        self._keep(node.outputs, tensor.inputs)
        self._variables.append((tensor, tensor.dtype, tensor.shape))
        list.clear(node.outputs)
        list.clear(tensor.inputs)
        self.remove(node)
        self._known[tensor] = node
        constant: Constant = tensor.to_constant(values)
        return constant

    def remove_unread(self, nodes: Iterable[Node]) -> list[Node]:
        """Take out those of `nodes` that only each other read. Returns them, readers before what they read."""
        candidates = dict.fromkeys(nodes)
        pending = list(reversed(candidates))
        removed: list[Node] = []
        while pending:
            node = pending.pop()
            if node not in self.dead and not any(self.is_read(t) for t in node.outputs):
                self.remove(node)
                removed.append(node)
                pending += [maker for t in reads(node) for maker in t.inputs if maker in candidates]
        return removed

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Let everything that reads `old` read `new`.

        A graph output keeps its name and its type: `new` takes them over where it can, else an Identity is put between.

        Raises:
            GraphError: `old` is an input and an output of the same graph.
        """
        if old is new:
            return
        self._replaced[old] = new
        self._keep(old.outputs, new.outputs)
        for node in dict.fromkeys(old.outputs):
            self._keep(node.inputs)
            for position, tensor in enumerate(node.inputs):
                if tensor is old:
                    list.__setitem__(node.inputs, position, new)
                    list.append(new.outputs, node)
            node.edited()
        list.clear(old.outputs)
        if old in self.graph_outputs:
            self.touch(old, new, *self.graph_outputs[old])
            for graph in dict.fromkeys(self.graph_outputs.pop(old)):  # a body may give a value twice
                self._replace_output(graph, old, new)

    def _replace_output(self, graph: AnyGraph, old: Tensor, new: Tensor) -> None:
        if self._can_be_output(graph, new):
            _take_over(new, old)
            old.name = self.name(f"{new.name}_old")
            graph.outputs = [new if t is old else t for t in graph.outputs]
            self.graph_outputs[new] = [graph]
            return
        if not old.inputs:
            self._replace_constant_output(graph, old, new)
            return
        producer = old.inputs[0]
        self.touch(producer)
        spare = Variable(self.name(f"{old.name}_old"), old.dtype, old.shape)
        producer.outputs.redirect(producer.place_of(old), spare)
        self.insert(producer, "Identity", [new], outputs=[old])
        self.graph_outputs[old] = [graph]

    def _replace_constant_output(self, graph: AnyGraph, old: Tensor, new: Tensor) -> None:
        if old in self._starts:
            raise GraphError(
                f"'{old.name}' is an input and an output of graph '{graph.name}': nothing can stand for it"
            )
        output = Variable(old.name, old.dtype, old.shape)
        self.touch(new)
        graph.outputs = [output if t is old else t for t in graph.outputs]
        self.graph_outputs[output] = [graph]
        node = Node("Identity", self.name(f"{old.name}/Identity"), None, [new], [output])
        graph.nodes.append(node)

    def _can_be_output(self, graph: AnyGraph, tensor: Tensor) -> bool:
        """Whether a node of `graph` makes `tensor`, which is no output yet."""
        if tensor in self._starts or tensor in self.graph_outputs or isinstance(tensor, Constant) or not tensor.inputs:
            return False
        return self.graph_of(tensor.inputs[0]) is graph

    # ------------------------------------------------------------------------------------------------ the end

    def _commit(self) -> None:
        gone = self.dead
        for graph in {self.graph_of(node) for node in (*gone, *self._before)}:
            self.touch(graph)
            graph.nodes.exchange(gone, self._before)
            if self._before:
                sort(graph)
        read = {tensor for node in gone for tensor in node.inputs}
        made = [tensor for node in gone for tensor in node.outputs]
        for links in (*(tensor.outputs for tensor in read), *(tensor.inputs for tensor in made)):
            list.__setitem__(links, slice(None), [node for node in links if node not in gone])
        for node in gone:
            list.clear(node.inputs)  # the list of nodes has told of what went
        if self.model.graph.edits is not None:
            self.model.graph.edits.substituted(self._replaced, self._known)

    def _roll_back(self) -> None:
        for links, items in self._links.values():
            list.__setitem__(links, slice(None), items)  # without the other end of each link
        for tensor, dtype, shape in self._variables:
            tensor.__class__ = Variable
            tensor.dtype, tensor.shape = dtype, shape
        for one, fields in self._saved.items():
            for name, value in fields.items():
                setattr(one, name, value)
        for node in {links.owner for links, _ in self._links.values()} | self._saved.keys():
            if isinstance(node, Node):
                node.edited(node.outputs)
        self.model.functions[:] = self._functions


_RENAMED = {"alive": "live_nodes", "ends": "graph_outputs", "readers": "users"}
"""Old names, which work for a release."""

_FIELDS = {
    "node": ("op", "name", "domain", "attrs"),
    "value": ("name",),
    "variable": ("name", "dtype", "shape", "type", "info"),
    "graph": ("nodes", "outputs"),
}
"""What changes of a node, a value or a graph, beside links."""


def _kind(one: Any) -> str:
    if isinstance(one, Node):
        return "node"
    return "variable" if isinstance(one, Variable) else "value" if isinstance(one, Constant) else "graph"


def _copied(held: Any) -> Any:
    return list(held) if isinstance(held, list) else dict(held) if isinstance(held, dict) else held


def _take_over(new: Any, old: Any) -> None:
    new.name = old.name
    new.info, new.type, new.promised = old.info, old.type, getattr(old, "promised", None)
    new.dtype = old.dtype if old.dtype is not None else new.dtype
    new.shape = old.shape if old.shape is not None else new.shape
