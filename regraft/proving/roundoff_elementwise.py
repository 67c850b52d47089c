"""How operators round that compute each element from those at its place, and how far functions of a library are off.

A rule takes a node with the types at it and the facts of its operands. It takes each step to be rounded to the dtype of
the result; runtimes that keep more digits on the way are no further off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce

import numpy as np

from regraft.analysis.dataflow import TypedNode
from regraft.ir.graph import Constant
from regraft.proving import rounded_functions as functions
from regraft.proving.rounded import Format, NoBound, Rounded, either, format_of, largest_of, smallest_of

Rule = Callable[..., Rounded]

UNITS: Mapping[str, float] = {"Exp": 4, "Log": 8, "Erf": 4, "Tanh": 12, "Pow": 6, "Sigmoid": 6, "Sin": 6, "Cos": 6}
"""What a library's function may be off by, in units u · |result|; of the last three in units of u.

Measured of ONNX Runtime 1.32 on a processor against double precision, in single and in double: Exp 1.3 and 2.8, Log 3.7
and 2.0, Erf 1.4, Tanh 5.4 and 7.0, Pow 2.6; Sigmoid 2.8 and 2.0, Sin and Cos 1.4 and 4.0; in half precision all are
rounded once."""

FLUSHED = float(np.finfo(np.float32).smallest_normal)
"""A library may give 0 for what is smaller."""


def format_at(node: TypedNode) -> Format:
    """The format of what `node` makes."""
    if node.out is None:
        raise NoBound("dtype", "its dtype is not known")
    return format_of(node.out)


def step(of: Rule) -> Rule:
    """One operation, rounded once."""
    return lambda node, *operands: of(*operands).rounded(format_at(node))


def exactly(of: Rule) -> Rule:
    return lambda node, *operands: of(*operands)


def add(node: TypedNode, *operands: Rounded) -> Rounded:
    """Of several in whatever order."""
    to, found = format_at(node), reduce(Rounded.__add__, operands)
    if len(operands) < 3:
        return found.rounded(to)
    reached = sum(one.magnitude + one.error for one in operands)
    return replace(found.off(0.0, found.error + len(operands) * to.unit * reached), reached=reached)


def mul(node: TypedNode, a: Rounded, b: Rounded) -> Rounded:
    one, other = node.node.inputs
    return (a.squared() if one is other else a * b).rounded(format_at(node))


def library(name: str, of: Callable[[Rounded], Rounded]) -> Rule:
    """A function that a library is off by a share of."""
    return lambda node, x: of(x).rounded(format_at(node), UNITS[name], FLUSHED)


def bounded(name: str, of: Callable[[Rounded], Rounded]) -> Rule:
    """A function that a library is off by a constant."""

    def rule(node: TypedNode, x: Rounded) -> Rounded:
        to, found = format_at(node), of(x)
        return found.off(found.relative, found.absolute + UNITS[name] * to.unit + FLUSHED)

    return rule


def sigmoid(x: float) -> float:
    return math.exp(min(x, 0.0)) / (1 + math.exp(-abs(x)))


def wave(x: Rounded) -> Rounded:
    return Rounded(-1.0, 1.0, 0.0, x.error)


def pow(node: TypedNode, x: Rounded, exponent: Rounded) -> Rounded:
    if exponent.low != exponent.high:
        raise NoBound("domain", "a power that is not one number")
    found = functions.power(x, exponent.low)
    if exponent.error:  # x^(e + d) is x^e · e^(d · log x)
        moved = exponent.error * max(abs(math.log(end)) if end > 0 else math.inf for end in (x.low, x.high))
        if moved > 1:
            raise NoBound("domain", "a power of what may be near 0, by what is rounded")
        found = found * Rounded(1.0, 1.0, math.expm1(moved))
    return found.rounded(format_at(node), UNITS["Pow"], FLUSHED)


def clip(node: TypedNode, x: Rounded, *limits: Rounded) -> Rounded:
    inputs = node.node.inputs
    if len(inputs) == 3 and len(limits) == 2:
        return smallest_of(largest_of(x, limits[0]), limits[1])
    if len(inputs) == 1:
        ends = (node.attrs.get(name) for name in ("min", "max"))
        low, high = (None if end is None else Rounded(float(end), float(end)) for end in ends)
    else:
        low, high = (limits[0], None) if inputs[1].name else (None, limits[0] if limits else None)
    x = x if low is None else largest_of(x, low)
    return x if high is None else smallest_of(x, high)


def relu(x: Rounded) -> Rounded:
    if x.relative >= 1:
        return largest_of(x, Rounded(0.0, 0.0))
    return Rounded(max(x.low, 0.0), max(x.high, 0.0), x.relative, x.absolute)


def absolute(x: Rounded) -> Rounded:
    return Rounded(x.least, x.magnitude, x.relative, x.absolute)


def _gelu(x: Rounded, to: Format, by_tanh: bool = False) -> Rounded:
    """As x/2 · (1 + erf(x · √½)), or by tanh."""
    if by_tanh:
        cube = (x * x).rounded(to) * x
        inner = (x + cube.rounded(to).times(0.044715).rounded(to, 2)).rounded(to).times(math.sqrt(2 / math.pi))
        curve = functions.steep(math.tanh, 1.0)(inner.rounded(to, 2)).rounded(to, UNITS["Tanh"], FLUSHED)
    else:
        curve = functions.steep(math.erf, ERF)(x.times(math.sqrt(0.5)).rounded(to, 2))
        curve = curve.rounded(to, UNITS["Erf"], FLUSHED)
    share = (curve + Rounded(1.0, 1.0)).rounded(to).within(0.0, 2.0)
    return (x.times(0.5).rounded(to) * share).rounded(to).within(-0.2, math.inf)


ERF = 2 / math.sqrt(math.pi)


def gelu(node: TypedNode, x: Rounded) -> Rounded:
    return _gelu(x, format_at(node), node.attrs.get("approximate", "none") in ("tanh", b"tanh"))


def softplus(node: TypedNode, x: Rounded) -> Rounded:
    found = functions.steep(lambda v: max(v, 0.0) + math.log1p(math.exp(-abs(v))), 1.0)(x)
    return found.rounded(format_at(node), UNITS["Exp"] + UNITS["Log"], FLUSHED)


def cast(node: TypedNode, x: Rounded, *like: Rounded) -> Rounded:
    """Rounded once, unless all floats of the one dtype are among those of the other."""
    to, was = format_at(node), node.dtype(node.node.inputs[0])
    if was is None:
        raise NoBound("dtype", "the dtype of what is cast is not known")
    if was.kind in "biu":
        return x if x.magnitude <= 1 / to.unit else x.rounded(to)
    before = format_of(was)
    return x if before.unit >= to.unit and before.tiny >= to.tiny and before.largest <= to.largest else x.rounded(to)


def padded(node: TypedNode, *operands: Rounded) -> Rounded:
    """With the value that is given, or what the attribute says, around it."""
    known = dict(zip([t for t in node.node.inputs if t.name], operands, strict=True))
    held = float(node.attrs.get("value", 0.0))
    around = Rounded(held, held) if len(node.node.inputs) < 3 else known.get(node.node.inputs[2], Rounded(held, held))
    return either(operands[0], around)


def filled(node: TypedNode, *shape: Rounded) -> Rounded:
    value = node.attrs.get("value")
    held = float(value.values.reshape(-1)[0]) if isinstance(value, Constant) else 0.0
    return Rounded(held, held)
