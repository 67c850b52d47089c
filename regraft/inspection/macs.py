"""Multiply-accumulates of a model, from its shapes; no weight is read.

Matrix products and convolutions count, as in the figures of accelerators; work on single elements (bias, activation,
normalization, softmax) does not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from regraft.errors import ModelError
from regraft.files.convert import clone
from regraft.inspection.census import operator
from regraft.ir import schema
from regraft.ir.graph import Node, walk
from regraft.ir.model import Model
from regraft.ops.traits import RECURRENT
from regraft.shapes import Facts, analyse

Sizes = tuple[int, ...]


@dataclass
class Macs:
    """Multiply-accumulates.

    Attributes:
        operators: the number by operator, where it is not zero.
        unknown: the number of nodes, by operator, whose count is unknown: a shape is, or the operator is not covered.
    """

    operators: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.operators.total()


def count_macs(model: Model, shapes: Mapping[str, Sequence[int]] | None = None) -> Macs:
    """The multiply-accumulates of one run of `model`; nodes in a body count once.

    Args:
        shapes: of inputs, by name; the model must state the others.

    Raises:
        ModelError: a shape is given for what is no input.
    """
    shaped = clone(model.device)
    inputs = {tensor.name: tensor for tensor in shaped.graph.inputs}
    for name, shape in (shapes or {}).items():
        if name not in inputs:
            raise ModelError(f"no input named '{name}'; known: {', '.join(inputs)}")
        inputs[name].shape = list(shape)
    facts = analyse(shaped)
    found = Macs()
    for graph in walk(shaped.graph):
        for node in graph.nodes:
            macs = macs_of(node, facts)
            if macs is None:
                found.unknown[operator(node)] += 1
            elif macs:
                found.operators[operator(node)] += macs
    return found


def macs_of(node: Node, facts: Facts) -> int | None:
    """Multiply-accumulates of `node`; None where they are not known."""
    kind = schema.kind(node)
    if kind in _OPAQUE or (node.domain and node.domain not in (*schema.DOMAINS, schema.STAND_IN)):
        return None
    count = _COUNTS.get(kind)
    try:
        return 0 if count is None else count(node, facts)
    except _Unknown:
        return None


class _Unknown(Exception):
    """A dimension is not a number."""


def _sizes(node: Node, place: int, facts: Facts) -> Sizes:
    sizes = facts[node.inputs[place]].sizes
    if sizes is None:
        raise _Unknown
    return sizes


def _elements(node: Node, facts: Facts) -> int:
    """How many elements the first output has."""
    sizes = facts[node.outputs[0]].sizes
    if sizes is None:
        raise _Unknown
    return math.prod(sizes)


def _matmul(node: Node, facts: Facts) -> int:
    return _elements(node, facts) * _sizes(node, 0, facts)[-1]


def _gemm(node: Node, facts: Facts) -> int:
    return _elements(node, facts) * _sizes(node, 0, facts)[0 if node.attrs.get("transA") else 1]


def _conv(kernel: int) -> Callable[[Node, Facts], int]:
    """Every element that comes out is a sum over the kernel: weights [out, in/group, ...], at input `kernel`."""
    return lambda node, facts: _elements(node, facts) * math.prod(_sizes(node, kernel, facts)[1:])


def _conv_transpose(node: Node, facts: Facts) -> int:
    """Every element that goes in is spread by the kernel: weights [in, out/group, ...]."""
    return math.prod(_sizes(node, 0, facts)) * math.prod(_sizes(node, 1, facts)[1:])


def _einsum(node: Node, facts: Facts) -> int:
    """One for each combination of indices, and each operand after the first."""
    letters: dict[str, int] = {}
    terms = str(node.attrs["equation"]).replace(" ", "").partition("->")[0].split(",")
    for place, term in enumerate(terms):
        sizes = list(_sizes(node, place, facts))
        before, dots, after = term.partition("...")
        ellipsis = len(sizes) - len(before) - len(after)
        names = [*before, *(f"...{ellipsis - i}" for i in range(ellipsis if dots else 0)), *after]
        for name, size in zip(names, sizes, strict=True):
            letters[name] = max(size, letters.get(name, 1))
    return math.prod(letters.values()) * (len(terms) - 1)


def _attention(node: Node, facts: Facts) -> int:
    """Q Kᵀ and P V, for every query and every key, including those in the cache and those that a mask hides."""
    queries, keys = _sizes(node, 0, facts), _sizes(node, 1, facts)[-2]
    if len(node.inputs) > 4 and not node.inputs[4].is_empty():
        keys += _sizes(node, 4, facts)[-2]
    return (math.prod(queries) + _elements(node, facts)) * keys


_COUNTS: dict[str, Callable[[Node, Facts], int]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Attention": _attention,
}
_OPAQUE = RECURRENT | {"DeformConv"}
