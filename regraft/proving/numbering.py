"""Numbers for the values of two models: those with one number are the same, as they are computed in one way.

A number stands for a value over the reals: what only rounds, copies or is left out at inference has the number of what
it is given, and a shape that is known has one number however it is computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from itertools import chain
from typing import Any

import numpy as np

from regraft.inspection import contents
from regraft.inspection.census import constants
from regraft.inspection.fingerprint import attribute_hash
from regraft.ir import schema
from regraft.ir.graph import Constant, Node
from regraft.ir.model import Model
from regraft.ir.weights import Array, dtype_from_onnx, is_float
from regraft.ops.traits import SOFTMAXES
from regraft.proving import arrays
from regraft.proving.meanings import MEANINGS
from regraft.rewriting.facts import Kind
from regraft.rewriting.matcher import drops_nothing
from regraft.shapes import Fact

_SMALL = 1 << 12
"""Bytes of a constant that is read whole to number it."""


class Numbers:
    """One number for each key that was ever asked for."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self._known: dict[Hashable, int] = {}

    def of(self, key: Hashable) -> int:
        if key not in self._known:
            self._known[key] = next(self._count)
        return self._known[key]


class Stored:
    """Numbers of constants: one for those that agree in every bit; large ones are read in pieces, where they may agree.

    A constant of the second model that is one of the first, by name, rounded to fewer bits, has the number of that.
    """

    def __init__(self, numbers: Numbers, before: Model, after: Model):
        self._numbers = numbers
        self._groups: dict[int, int] = {}  # of what a constant holds, by identity
        self._whole: dict[int, Constant] = {}  # the constant that a rounded one stands for
        first, second = (list(chain.from_iterable(map(constants, model.sides))) for model in (before, after))
        self._held = [one.lazy for one in (*first, *second)]  # so that no other gets the identity of one of these
        large = {id(one.lazy): one for one in (*first, *second) if one.nbytes > _SMALL or not one.is_known}
        for group in contents.same(large.values()):
            number = numbers.of(("stored", len(self._groups)))
            self._groups.update((id(one.lazy), number) for one in group)
        named = {one.name: one for one in first if one.users}  # attributes often have one name
        for one in second:
            whole = named.get(one.name)
            if whole is not None and one.users and _is_rounded(whole, one):
                self._whole[id(one.lazy)] = whole

    def whole(self, constant: Constant) -> Constant:
        """The constant that `constant` was before it was rounded."""
        return self._whole.get(id(constant.lazy), constant)

    def number(self, constant: Constant) -> int:
        constant = self.whole(constant)
        found = self._groups.get(id(constant.lazy))
        return self.of_array(constant.values) if found is None else found

    def of_array(self, values: Array) -> int:
        content = tuple(values.flat) if values.dtype == object else values.tobytes()
        return self._numbers.of(("array", str(values.dtype), values.shape, content))


def _is_rounded(whole: Constant, rounded: Constant) -> bool:
    """Whether `rounded` has the nearest numbers to those of `whole` that its dtype has, all finite."""
    if not (whole.is_known and rounded.is_known and tuple(whole.shape) == tuple(rounded.shape)):
        return False
    if not (is_float(whole.dtype) and is_float(rounded.dtype)) or rounded.dtype.itemsize >= whole.dtype.itemsize:
        return False
    found = rounded.values
    with np.errstate(over="ignore"):
        return bool(np.isfinite(found).all()) and np.array_equal(whole.values.astype(found.dtype), found)


def kind_of(fact: Fact) -> Kind | None:
    """Of which kind the elements of a value are; None where it is unknown, or neither numbers nor truths."""
    dtype = dtype_from_onnx(fact.code) if fact.code else None
    return None if dtype is None or dtype.kind in _NO_REALS else arrays.kind_of(dtype)


_NO_REALS = "cOSU"
"""Kinds of numpy's dtypes that are complex, or text."""


def passes_on(node: Node, kinds: tuple[Kind | None, Kind | None], opset: int) -> bool:
    """Whether the first output of `node` is its first input, over the reals. `kinds`: of that input and that output."""
    if node.domain:
        return False
    if node.op in ("Cast", "CastLike"):
        return kinds in _KEPT
    return node.op == "Identity" or (node.op == "Dropout" and drops_nothing(node, opset))


_KEPT = (("real", "real"), ("integer", "integer"), ("integer", "real"), ("boolean", "boolean"))
"""Kinds before and after a cast that changes no number, as long as it fits."""


def shape_key(fact: Fact) -> Hashable:
    """What is the same for small whole numbers that are the same, in names of the model's dimensions; else None."""
    if fact.value is None or not fact.fits or not fact.is_named:
        return None
    if (numbers := fact.numbers) is not None:
        array = np.asarray(numbers.tolist(), dtype_from_onnx(fact.code)).reshape(fact.sizes or ())
        return "array", str(array.dtype), array.shape, array.tobytes()
    return "sizes", fact.code, fact.value.shape, tuple(map(str, fact.value.flat))


def node_key(node: Node, opset: int, kinds: tuple[Kind | None, ...], bodies: Hashable) -> Hashable:
    """What is the same for nodes that compute the same of the same, beside inputs and the place of the output.

    An attribute that says what goes without saying does not count, nor does the version of an operator of which the
    table has one meaning.
    """
    rule = schema.find(node.op, opset, node.domain)
    changed = schema.kind(node) not in MEANINGS or node.op in SOFTMAXES  # the table has the newest Softmax
    version = rule.since_version if rule and changed else 0
    attrs = tuple(sorted((name, _attribute(value)) for name, value in attributes(node, opset).items()))
    return node.op, node.domain or "", node.overload, version, kinds, attrs, bodies


NEWEST = 1 << 30
"""Beyond all opsets."""


def attributes(node: Node, opset: int) -> dict[str, Any]:
    """What attributes say, or leave unsaid that goes without saying, where it is not what the newest opset means."""
    rule = schema.find(node.op, opset, node.domain)
    said = {name: schema.default(node.op, opset, node.domain, name) for name in rule.attributes} if rule else {}
    said |= node.attrs
    newest = {name: schema.default(node.op, NEWEST, node.domain, name) for name in said}
    return {name: value for name, value in said.items() if value is not None and not _is_same(value, newest[name])}


def _is_same(value: Any, default: Any) -> bool:
    return type(default) is type(value) and bool(default == value)


def _attribute(value: Any) -> Hashable:
    if isinstance(value, Constant):
        return str(value.dtype), tuple(value.shape), attribute_hash(value.values.tobytes())
    return attribute_hash(value)
