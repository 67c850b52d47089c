"""The graph of a signature, with function calls inlined and dead nodes removed.

A TF2 model is a graph of calls; TF1's has none. Order that is not data (control inputs) is dropped: the operators of a
frozen model have no side effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

CALLS = ("PartitionedCall", "StatefulPartitionedCall")

Node = Any  # NodeDef: TensorFlow's messages carry no types
Nodes = dict[str, Node]


class Place(NamedTuple):
    """Output number `output` of a node."""

    node: str
    output: int = 0

    @classmethod
    def of(cls, text: str) -> Place:
        """An input of a node: `name` or `name:output`."""
        node, _, output = text.partition(":")
        return cls(node, int(output or 0))

    def __str__(self) -> str:
        return f"{self.node}:{self.output}" if self.output else self.node


def needed(nodes: Nodes, names: Iterable[str], control: bool = False) -> Nodes:
    """The named nodes among `nodes` and all nodes that they read, in the order of `nodes`. With `control`, also nodes
    that must run before them.
    """
    pending, found = list(names), set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [
                Place.of(text.removeprefix("^")).node for text in nodes[name].input if control or text[0] != "^"
            ]
    return {name: node for name, node in nodes.items() if name in found}


def inline(nodes: Nodes, functions: dict[str, Any]) -> dict[Place, Place]:
    """Replace calls in `nodes` by the bodies of their functions, at any depth. A node keeps its name in the function,
    with the name of the call in front if that is taken. Returns the replacements of the calls' outputs.
    """
    instead: dict[Place, Place] = {}
    used = set(nodes)  # also by removed calls: `instead` has them by name
    while calls := [node for node in nodes.values() if node.op in CALLS]:
        for call in calls:
            del nodes[call.name]
            _put_body(call, functions[call.attr["f"].func.name], nodes, used, instead)
    for node in nodes.values():
        read = [str(resolve(Place.of(text), instead)) for text in node.input if text[0] != "^"]
        del node.input[:]
        node.input.extend(read)
    return instead


def resolve(place: Place, instead: dict[Place, Place]) -> Place:
    """The final replacement of `place`."""
    while place in instead:
        place = instead[place]
    return place


def _put_body(call: Node, function: Any, nodes: Nodes, used: set[str], instead: dict[Place, Place]) -> None:
    arguments = [Place.of(text) for text in call.input if text[0] != "^"]
    given = dict(zip((argument.name for argument in function.signature.input_arg), arguments, strict=True))
    names: dict[str, str] = {}
    for node in function.node_def:
        names[node.name] = name = _free(node.name, call.name, used)
        nodes[name] = type(node)()
        nodes[name].CopyFrom(node)
        nodes[name].name = name
    ends = {node.name: dict(_ends(node)) for node in function.node_def}

    def place(text: str) -> Place:
        """Inside a function an output is `node:name:index`, and an argument `name`."""
        node, _, rest = text.partition(":")
        if not rest:
            return given[node]
        name, _, index = rest.partition(":")
        return Place(names[node], ends[node][name] + int(index))

    for node in function.node_def:
        copy = nodes[names[node.name]]
        del copy.input[:]
        copy.input.extend(str(place(text)) for text in node.input if text[0] != "^")
    for index, output in enumerate(function.signature.output_arg):
        instead[Place(call.name, index)] = place(function.ret[output.name])


def _free(name: str, call: str, used: set[str]) -> str:
    while name in used:
        name = f"{call}/{name}"
    used.add(name)
    return name


def _ends(node: Node) -> Iterator[tuple[str, int]]:
    """The named outputs of a node, each with the number of its first tensor."""
    from tensorflow.python.framework import op_def_registry

    start = 0
    for output in op_def_registry.get(node.op).output_arg:
        yield output.name, start
        if output.number_attr:
            start += node.attr[output.number_attr].i
        elif output.type_list_attr:
            start += len(node.attr[output.type_list_attr].list.type)
        else:
            start += 1
