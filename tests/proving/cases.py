"""Operators on operands with some axes, and what ONNX Runtime makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from regraft.ir.graph import Variable
from regraft.proving.denote import Denotation
from regraft.proving.writer import written
from regraft.rewriting.facts import Operand
from regraft.rewriting.term import Apply, Given, Term, Var, term
from regraft.runtime import Session
from tests.proving.evaluate import Numbers

SIZES = {"A": (2, 2), "B": (2,), "C": (3,), "a": (3,), "b": (2,), "k": (4,), "m": (2,), "n": (3,), "r": (3,), "c": (4,)}
OTHERS = {**SIZES, "a": (4,), "b": (3,), "k": (3,), "m": (4,)}
RANKS = [SIZES, {**SIZES, "A": (3,), "B": (2, 1)}, {**SIZES, "A": (2,), "B": (), "C": ()}]


class Case(NamedTuple):
    """An operator on operands with some axes; `concrete` has the attributes as ONNX Runtime takes them.

    Operands that are no text are numbers, or say themselves what they are.
    """

    op: str
    operands: tuple[Any, ...]
    attrs: Mapping[str, Any] = MappingProxyType({})
    concrete: dict[str, Any] | None = None
    kind: Any = "real"
    positive: bool = False

    def __str__(self) -> str:
        shown = map(_shown, self.operands)
        return f"{self.op}({', '.join(shown)}) {dict(self.attrs) or ''}"


def _shown(operand: Any) -> str:
    if isinstance(operand, np.ndarray) and operand.size > 8:
        return f"{operand.dtype} {list(operand.shape)}"
    return operand.axes if isinstance(operand, Operand) else str(operand).replace("\n", "")


def sized(cases: list[Case]) -> list[tuple[Case, dict[str, tuple[int, ...]]]]:
    """Each case with sizes: where it has groups of axes, of several ranks."""
    found = []
    for case in cases:
        axes = " ".join(one.axes if isinstance(one, Operand) else one for one in case.operands if not _is_known(one))
        several = RANKS if any(map(str.isupper, axes)) else [SIZES, OTHERS] if any(map(str.islower, axes)) else [SIZES]
        found += [(case, sizes) for sizes in several]
    return found


def _is_known(operand: Any) -> bool:
    return not isinstance(operand, str | Operand)


def operand_names(case: Case) -> tuple[dict[str, Any], list[Term | None]]:
    """The facts of the operands, and the terms that stand for them."""
    names: dict[str, Any] = {}
    terms: list[Term | None] = []
    for number, one in enumerate(case.operands):
        if isinstance(one, str | Operand):
            kind = "boolean" if case.op == "Where" and not number else case.kind
            names[f"x{number}"] = one if isinstance(one, Operand) else Operand(one, kind)
            terms.append(Var(f"x{number}"))
        else:
            given = np.array(one, np.int64) if case.op == "Trilu" else one
            terms.append(None if one is None else term(given))
    return names, terms


def drawn(operand: Operand, sizes: Any, random: np.random.Generator, positive: bool) -> np.ndarray:
    counts = Numbers({}, {}, sizes)
    shape = [n for name in operand.axes.split() for n in counts.along(name)]
    if operand.kind == "boolean":
        return random.random(shape) < 0.5
    if operand.kind == "integer":
        return random.integers(-2, 3, shape)
    values = random.normal(size=shape)
    return np.asarray(np.abs(values) + 0.1 if positive else values, np.float32)


def hold(case: Case, sizes: Any, opset: int | None = None) -> None:
    """What the operator means is what ONNX Runtime computes."""
    random = np.random.default_rng(len(str(case)))
    names, terms = operand_names(case)
    values = {name: drawn(one, sizes, random, case.positive) for name, one in names.items()}
    meant = Denotation(names)(Apply(case.op, tuple(terms), dict(case.attrs)))
    concrete = dict(case.attrs if case.concrete is None else case.concrete)
    if concrete.get("axes") == "A":
        concrete["axes"] = list(range(1, 1 + len(sizes["A"])))
    inputs = tuple(Given(Variable(one.name)) if isinstance(one, Var) else one for one in terms)
    model = written(Apply(case.op, inputs, concrete), values, np.float32, **({"opset": opset} if opset else {}))
    expected = Session(model, threads=1).run(values)["result"]
    found = Numbers(values, {name: one.axes for name, one in names.items()}, sizes).array(meant)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected.astype(np.float64), rtol=2e-5, atol=2e-6)
    assert {"b": "boolean", "i": "integer", "u": "integer", "f": "real"}[expected.dtype.kind] == meant.kind
