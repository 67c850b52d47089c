"""Inputs for which two terms differ, searched for at random by running both in ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from regraft.errors import PassError
from regraft.ir.graph import Variable
from regraft.proving.bodies import BODIES
from regraft.proving.verdict import Counterexample, differs
from regraft.proving.writer import Array, written
from regraft.rewriting import formula
from regraft.rewriting.facts import ANY, CODES, Axes, Filled, Operand, SizeOf
from regraft.rewriting.term import Apply, Given, Number, Term, Var, term

TRIALS = 24
_SPECIAL = (0.0, 1.0, -1.0, 2.0, 0.5, -3.0)


def search(before: Term, after: Term, names: Mapping[str, Any]) -> Counterexample | None:
    """Small inputs for which `after` is not `before`, where `before` is finite; None where none was found.

    Args:
        names: what the variables are, as `regraft.rewriting.facts` says it.
    """
    for trial in range(TRIALS):
        sample = _Sample(names, trial)
        old, new = sample.run(before), sample.run(after)
        if old is not None and new is not None and differs(old, new).any():
            return Counterexample({name: sample.values[name] for name in sorted(sample.read)}, old, new)
    return None


def compute(before: Term, after: Term, names: Mapping[str, Any], values: Mapping[str, float]) -> Counterexample | None:
    """What the two terms give for some numbers; None where the evaluator lacks an operator of theirs."""
    sample = _Sample(names, 0)
    sample.values |= {name: np.array(value) for name, value in values.items()}
    old, new = sample.run(before), sample.run(after)
    return None if old is None or new is None else Counterexample(dict(sample.values), old, new)


class _Sample:
    """Sizes, and values of the operands, for one trial."""

    def __init__(self, names: Mapping[str, Any], trial: int):
        self.names, self.trial = names, trial
        self.random = np.random.default_rng(trial)
        self.sizes: dict[str, list[int]] = {}
        self.values: dict[str, Array] = {}
        self.read: set[str] = set()
        self._shapes = {name: value.axes for name, value in names.items() if isinstance(value, Operand)}
        for name, value in names.items():
            if isinstance(value, Operand):
                self.values[name] = self._drawn(value, self._shape(value.axes))

    def run(self, one: Term) -> Array | None:
        """What `one` gives, in double precision; None where it cannot be computed."""
        from onnx.reference import ReferenceEvaluator

        kinds = {value.kind for value in self.names.values() if isinstance(value, Operand)}
        dtype = np.int64 if "integer" in kinds and "real" not in kinds else np.float64
        try:
            concrete = self._concrete(one)
            inputs = {name: self.values[name] for name in self.read}
            with np.errstate(all="ignore"):
                found = ReferenceEvaluator(written(concrete, inputs, dtype)).run(None, inputs)
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, PassError):
            return None  # as numpy and the evaluator say that operands do not fit, or that they lack an operator
        return np.asarray(found[0])  # type: ignore[index]

    def _shape(self, axes: str) -> tuple[int, ...]:
        if axes == ANY:
            base = [2, 3][int(self.random.integers(0, 3)) :]
            return tuple(1 if self.random.random() < 0.25 else size for size in base)
        return tuple(size for name in axes.split() for size in self._along(name))

    def _along(self, name: str) -> list[int]:
        if name.isdigit():
            return [int(name)]
        if name not in self.sizes:
            self.sizes[name] = [int(self.random.integers(2, 5))]
        return self.sizes[name]

    def _drawn(self, value: Operand, shape: tuple[int, ...]) -> Array:
        if value.kind == "boolean":
            return np.asarray(self.random.random(shape) < 0.5)
        if value.kind == "integer":
            return np.asarray(self.random.integers(-3, 4, shape))
        drawn = np.asarray(self.random.normal(size=shape) * (1.0 + self.trial % 3))
        if self.trial % 4 == 1:
            drawn = np.abs(drawn)
        if self.trial % 4 >= 2:
            drawn = np.where(self.random.random(shape) < 0.5, self.random.choice(_SPECIAL, shape), drawn)
        if self.trial % 4 == 3 and not value.never_nan:
            drawn = np.where(self.random.random(shape) < 0.25, np.nan, drawn)
        return np.asarray(drawn, np.float64)

    def _concrete(self, one: Any) -> Any:
        """A term with numbers for what is symbolic in it."""
        if isinstance(one, Var):
            value = self.names.get(one.name)
            if isinstance(value, Operand):
                self.read.add(one.name)
                return Given(Variable(one.name))
            return None if value is None else self._concrete(term(value))
        if isinstance(one, Filled):
            value = self._concrete(one.value) if isinstance(one.value, Term) else Number(one.value)
            shape = np.array([size for name in one.axes.split() for size in self._along(name)], np.int64)
            return _expanded(value, shape)
        if isinstance(one, SizeOf):
            return Number(float(np.prod([size for name in one.axes.split() for size in self._along(name)])))
        if isinstance(one, Apply):
            attrs = {name: self._attribute(one.op, name, value) for name, value in one.attrs.items()}
            operands = tuple(self._concrete(each) for each in one.operands)
            return _in_double_precision(replace(one, operands=operands, attrs=attrs))
        if isinstance(one, Given) and isinstance(one.value, np.ndarray) and one.value.dtype.kind == "f":
            return Given(one.value.astype(np.float64))
        return one

    def _attribute(self, op: str, name: str, value: Any) -> Any:
        known = self.names.get(value.name) if isinstance(value, Var) else value
        if isinstance(known, Operand):
            return float(self.values[value.name])
        if not isinstance(known, Axes):
            return known
        names = known.names.split()
        having = [axes.split() for axes in self._shapes.values() if set(names) <= set(axes.split())]
        places = [place - len(having[0]) for place, axis in enumerate(having[0]) if axis in names]
        return places[0] if name == "axis" else places


def _in_double_precision(one: Apply) -> Term:
    """The operator as the evaluator has it, but in double precision throughout."""
    if one.op in _SINGLE:
        return BODIES[one.op](*one.operands, **one.attrs)
    if one.op == "LayerNormalization":
        x, scale, bias = (*one.operands, None)[:3]
        axis = one.attrs.get("axis", -1)
        return formula.layer_norm(x, scale, bias, list(range(axis, 0)), one.attrs.get("epsilon", 1e-5))
    if one.op == "Cast":
        (kind,) = (kind for kind, codes in CODES.items() if one.attrs["to"] in codes)
        return replace(one, attrs={**one.attrs, "to": _WIDE[kind]})
    return one


_SINGLE = ("Gelu", "Gemm", "HardSigmoid", "HardSwish", "LeakyRelu")
"""Operators with constants or attributes that the evaluator has in single precision."""
_WIDE = {"real": TensorProto.DOUBLE, "integer": TensorProto.INT64, "boolean": TensorProto.BOOL}


def _expanded(value: Term, shape: Array) -> Term:
    return Apply("Expand", (value, Given(shape)))
