"""Simpler cases, one by one, from one that fails: each is a guess that a check confirms or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from regraft.bisection.checks import Case
from regraft.bisection.pieces import hoisted
from regraft.ir import schema
from regraft.ir.clone import clone
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.weights import Array

_TARGET = 8  # elements up to which whole numbers in a row are taken for a shape

Guess = Callable[[Case], Iterator[Case]]


def one_sample(case: Case) -> Iterator[Case]:
    """The case on one of its samples."""
    samples = case.samples or ()
    if len(samples) > 1:
        yield from (replace(case, samples=[one]) for one in samples)


def constants_held(case: Case) -> Iterator[Case]:
    """The case whose constants are no nodes."""
    if any(_holds(node) for node in case.model.nodes()):
        made = clone(case.model)
        for graph in made.graphs():
            with Editor(made) as edit:
                for node in [one for one in graph.nodes if _holds(one) and one.outputs[0] not in edit.graph_outputs]:
                    value = schema.constant_of(node.outputs[0])
                    assert value is not None
                    edit.know(node, value)
        yield replace(case, model=made)


def bodies_out(case: Case) -> Iterator[Case]:
    """The case of a body alone, where the main graph has a node that holds it."""
    if case.base is None:
        for node in case.model.graph.nodes.holders:
            yield from hoisted(case, node)


def bypassed(case: Case) -> Iterator[Case]:
    """The case without a node, whose readers read what it reads: something of its type."""
    if case.base is not None:
        return
    for number, graph in enumerate(case.model.graphs()):
        for place, node in enumerate(graph.nodes):
            for n, tensor in enumerate(node.inputs):
                if len(node.outputs) == 1 and _alike(tensor, node.outputs[0]):
                    yield replace(case, model=_without(case.model, number, place, n))


def without_optionals(case: Case) -> Iterator[Case]:
    """The case in which a node goes without one of its last inputs."""
    if case.base is not None:
        return
    for place, node in enumerate(case.model.graph.nodes):
        given = [tensor for tensor in node.inputs if tensor.name]
        known = schema.find(node.op, case.model.opset) if len(given) > 1 and not node.domain else None
        for n in range(len(node.inputs) - 1, known.min_input - 1, -1) if known else ():
            if node.inputs[n].name:
                yield replace(case, model=_leave_out(case.model, place, n))


def smaller(case: Case) -> Iterator[Case]:
    """The case in which every dimension of one size has another, and then in which one axis of a weight has."""
    sizes = Counter(size for array in arrays(case) for size in array.shape if size > 1)
    for size in sorted(sizes, reverse=True):
        for less in dict.fromkeys((1, 2, (size + 1) // 2)):
            if less < size:
                yield _resized(case, size, less)
    for name in [one.name for one in _constants(case.model) if one.nbytes > 1024]:
        yield from _thinner(case, name)


def _resized(case: Case, size: int, less: int) -> Case:
    samples = [{name: _cut(value, size, less) for name, value in one.items()} for one in case.samples or ()]

    def edit(model: Model) -> None:
        for constant in _constants(model):
            constant.values = _cut(constant.values, size, less)
        for graph in model.graphs():
            for tensor in {t for node in graph.nodes for t in node.outputs} - set(graph.outputs):
                if isinstance(tensor, Variable):
                    tensor.shape = None
            for tensor in (*graph.inputs, *graph.outputs):
                if isinstance(tensor, Variable) and tensor.shape is not None:
                    tensor.shape = [less if dim == size else dim for dim in tensor.shape]

    return replace(_edited(case, edit), samples=samples)


def _thinner(case: Case, name: str) -> Iterator[Case]:
    shape = next(one.shape for one in _constants(case.model) if one.name == name)
    for axis, size in enumerate(shape):
        if size > 1:

            def edit(model: Model, axis: int = axis) -> None:
                for one in _constants(model):
                    if one.name == name:
                        one.values = one.values.take([0], axis)

            yield _edited(case, edit)


def _cut(value: Any, size: int, less: int) -> Any:
    """An array with `less` elements along each axis of `size`; indices, and what is a shape, fit that."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "i" and value.ndim == 1 and value.size <= _TARGET:
        return np.where(value == size, np.array(less, value.dtype), value)
    found = value[tuple(slice(less) if n == size else slice(None) for n in value.shape)] if value.ndim else value
    if value.dtype.kind in "iu" and found.size and found.max() >= less and found.max() < size:
        found = np.minimum(found, np.array(less - 1, value.dtype))
    return np.ascontiguousarray(found) if value.ndim else value


def _edited(case: Case, edit: Callable[[Model], None]) -> Case:
    """The case after the same edit of its models."""
    made = [None if one is None else clone(one) for one in (case.model, case.base)]
    for model in made:
        if model is not None:
            edit(model)
    assert made[0] is not None
    return replace(case, model=made[0], base=made[1])


def _without(model: Model, number: int, place: int, n: int) -> Model:
    made = clone(model)
    node = list(made.graphs())[number].nodes[place]
    with Editor(made) as edit:
        edit.replace(node.outputs[0], node.inputs[n])
        edit.remove(node)
    return made


def _leave_out(model: Model, place: int, n: int) -> Model:
    made = clone(model)
    links = made.graph.nodes[place].inputs
    links[n] = Variable.empty()
    while links and not links[-1].name:
        links.pop()
    return made


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two values are known to have one type."""
    known = one.dtype is not None and one.shape is not None and other.shape is not None
    return bool(one.name) and known and one.dtype == other.dtype and list(one.shape) == list(other.shape)


def _holds(node: Node) -> bool:
    return node.op == "Constant" and not node.domain and schema.constant_of(node.outputs[0]) is not None


def _constants(model: Model) -> list[Constant]:
    """The constants that nodes read, each once."""
    read = (tensor for node in model.nodes() for tensor in node.inputs)
    return list(dict.fromkeys(tensor for tensor in read if isinstance(tensor, Constant) and tensor.is_known))


def arrays(case: Case) -> list[Array]:
    """What the samples and the constants hold."""
    given = [value for one in case.samples or () for value in one.values() if isinstance(value, np.ndarray)]
    return [*given, *(one.values for one in _constants(case.model))]
