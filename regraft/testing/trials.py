"""Trials of a rule on models made from its own pattern.

No model is needed. Each form of the pattern is written as a model, for each choice of its attributes and numbers;
shapes that fit are found by trying; the rule is applied as its pass does it; both models run on values of many kinds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from regraft.errors import PassError, RuleError
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.pipelines.manager import run_pass
from regraft.pipelines.pass_base import Context
from regraft.proving.denote import variants
from regraft.rewriting.facts import Case
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_check import OF_AUTHORS
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Number, Var, parameters, trace, walk
from regraft.rewriting.why import why
from regraft.testing.alone import Alone
from regraft.testing.difference import Difference
from regraft.testing.fitting import Shapes, fitting
from regraft.testing.instance import FILLS, MOST, NUMBERS, Instance, choices, constants, since
from regraft.testing.judging import Judge, smallest
from regraft.testing.runner import Runner, divides_integers, may_divide_by_zero
from regraft.testing.values import NARROW, SETS, turning_points
from regraft.verification.runtime import RuntimeFailure

OPSET, OPSETS = 20, (11, 13, 17, 22, 24)
"""The opset of most trials, and others that are tried as well."""
DTYPES = ("float64", "float32", "float16", "int64", "int32")
FEW, TURNS = 4, 5
"""Inputs with so few elements are drawn so often."""
ENOUGH, TRIED, MANY = 40, 600, 4
"""Models of one rule that are compared in double precision, models that are tried, and forms of which all is tried."""

Array = np.ndarray[Any, Any]


class Trials:
    """All trials of a rule, up to the first that shows it wrong.

    Attributes:
        models: how many models the rule was applied to and compared on.
        reason: why there are none.
    """

    def __init__(self, rule: Rule, owner: RulePass):
        self.rule, self.owner = rule, owner
        self.models, self.reason, self._turn = 0, "no model of its pattern runs", 0
        self._near = turning_points([*_constants(rule), *_of_facts(rule.facts)])

    def run(self) -> Difference | None:
        """The first difference that shows the rule wrong. Raises RuleError where it is written wrongly."""
        for tried, (one, shapes) in enumerate(self._instances()):
            if self.models >= 2 * ENOUGH or tried >= TRIED:
                break
            found = self._compare(one, shapes)
            if found is not None:
                return self._smaller(one, shapes, found)
        return None

    def _smaller(self, one: Instance, shapes: Shapes, found: Difference) -> Difference:
        """A difference in smaller shapes, where axes that had one size have one still."""
        for size in sorted({size for shape in shapes.values() for size in shape}, reverse=True):
            for less in (1, 2):
                fewer = {n: tuple(less if each == size else each for each in shape) for n, shape in shapes.items()}
                again = self._compare(self._stored(one, [*one.stored], fewer), fewer) if less < size else None
                if again is not None:
                    shapes, found = fewer, again
                    break
        return found

    def _instances(self) -> Iterator[tuple[Instance, Shapes]]:
        """What to try: every form in double precision, in a few shapes; then other dtypes, opsets, shapes."""
        kept: list[tuple[Instance, list[Shapes]]] = []
        for one, shapes in self._forms():
            for stored in self._ways_to_store(one):
                before = self.models
                yield from self._with_shapes(one, stored, _some(shapes))
                if self.models == before:
                    yield from self._with_shapes(one, stored, shapes)
                if self.models > before:
                    kept.append((replace(one, stored=dict.fromkeys(stored, np.zeros(0))), shapes))
                    break
            if self.models >= ENOUGH:
                break
        for one, shapes in kept[:MANY]:
            for dtype in map(np.dtype, DTYPES[1:]):
                other = replace(one, dtype=dtype)
                if (
                    dtype != one.dtype
                    and dtype in other.operands.values()
                    and (dtype.kind == "f" or _takes_integers(self.rule))
                ):
                    yield from self._with_shapes(other, [*one.stored], _some(shapes)[:FEW])
            for opset in OPSETS:
                if since(one.term) <= opset != one.opset:
                    other = replace(one, dtype=np.dtype(np.float32), opset=opset)
                    yield from self._with_shapes(other, [*one.stored], shapes[-1:])
        for one, shapes in kept:
            yield from self._with_shapes(one, [*one.stored], [each for each in shapes if each not in _some(shapes)])

    def _forms(self) -> Iterator[tuple[Instance, list[Shapes]]]:
        """Every form of the pattern with each choice of what it leaves open, and shapes that fit."""
        forms = variants(trace(self.rule.pattern))
        for term in forms:
            opset = max(OPSET, since(term))
            for given in choices(term, opset, max(MOST // len(forms), 3)):
                yield _fitted(Instance(term, opset, np.dtype(np.float64), given, order=parameters(self.rule.pattern)))

    def _with_shapes(
        self, one: Instance, stored: Sequence[str], shapes: Iterable[Shapes]
    ) -> Iterator[tuple[Instance, Shapes]]:
        yield from ((self._stored(one, stored, each), each) for each in shapes)

    def _ways_to_store(self, one: Instance) -> Iterator[list[str]]:
        """Which operands are constants: those that must be; else all but the first, as weights are."""
        must = [term.name for term in walk(one.term) if isinstance(term, Var) and term.kind == "constant"]
        yield must
        if rest := [name for name in [*one.operands][1:] if name not in must]:
            yield [*must, *rest]

    def _stored(self, one: Instance, names: Sequence[str], shapes: Shapes) -> Instance:
        self._turn += 1
        which = self._turn % (len(NUMBERS) + 2)
        kind = "ordinary" if which == len(NUMBERS) else "ties"
        values = one.draw(kind, shapes, names, self._near)
        if which < len(NUMBERS):  # one number throughout, as scales and exponents are
            fills = {name: np.full_like(values[name], NUMBERS[which]) for name in values.keys() - one.indices}
            values |= fills
        return replace(one, stored=values)

    def _compare(self, one: Instance, shapes: Shapes) -> Difference | None:
        """Apply the rule to one model, and run both."""
        inputs = one.draw("ordinary", shapes, one.inputs, self._near)
        try:
            proto = one.model(inputs, lambda value: value.shape)
            whole = divides_integers(proto, one.dtype)
            before = Runner(proto, reference=may_divide_by_zero(proto, one.dtype))
            before.run(inputs)
        except (RuntimeFailure, PassError):
            return None  # no operator of the pattern takes these
        try:
            after = self._applied(proto)
        except PassError as error:
            if isinstance(error.__cause__, RuleError):
                raise error.__cause__ from None
            if error.needs:
                self.reason = str(error)
                return None
            return Difference({}, None, None, str(error), str(one.dtype), one.opset)
        if after is None:
            return None
        self.models += 1
        try:
            whole = whole or divides_integers(after, one.dtype)
            changed = Runner(after, reference=before.is_reference or may_divide_by_zero(after, one.dtype))
            if changed.is_reference and not before.is_reference:
                before = Runner(proto, reference=True)
        except RuntimeFailure as error:
            return Difference({}, None, None, f"the result is no valid model: {error}", str(one.dtype), one.opset)
        return self._judged(self._judge(before, changed, one, shapes), one, shapes, whole)

    def _applied(self, proto: onnx.ModelProto) -> onnx.ModelProto | None:
        """What the rule makes of a model; None where it does not apply."""
        model, alone, context = from_proto(proto), Alone(self.rule, self.owner), Context("alone")
        run_pass(alone, model, context)
        if context.changes:
            return to_proto(model)
        if not self.models and self._turn < 20:
            misses = why(from_proto(proto), alone, 1)
            self.reason = f"it does not apply to its own pattern: {misses[0].reason if misses else 'nothing matches'}"
        return None

    def _judge(self, before: Runner, after: Runner, one: Instance, shapes: Shapes) -> Judge:
        contract = self.owner.contract
        if one.dtype == np.float64:
            return Judge(before, after, contract)
        wide = replace(one, dtype=np.dtype(np.float64))
        dtypes = wide.operands
        wide = replace(wide, stored={name: value.astype(dtypes[name]) for name, value in one.stored.items()})
        try:
            inputs = wide.draw("ordinary", shapes, wide.inputs)
            double = Runner(wide.model(inputs, lambda value: value.shape))
            double.run(inputs)
            return Judge(before, after, contract, double, wide.inputs)
        except (RuntimeFailure, PassError):
            return Judge(before, after, contract)

    def _judged(self, judge: Judge, one: Instance, shapes: Shapes, whole: bool) -> Difference | None:
        sets = NARROW if one.dtype == np.float16 else SETS
        few = sum(int(np.prod(shapes[name])) for name in one.inputs) <= FEW
        for turn, name in itertools.product(range(TURNS if few and self.models <= ENOUGH // 4 else 1), sets):
            inputs = one.draw(name, shapes, one.inputs, self._near, whole, turn)
            try:
                found = judge.fault(inputs)
            except RuntimeFailure:
                continue  # the original is not defined there
            if found is not None:
                simple = smallest(inputs, lambda given: _is_wrong(judge, given, whole))
                reason, before, after = judge.fault(simple) or found
                every = {**simple, **one.stored, **{n: np.array(v) for n, v in one.given.items() if v is not None}}
                known = {name: every[name] for name in one.order if name in every}
                return Difference(known, before, after, reason, str(one.dtype), one.opset)
        return None


def _fitted(one: Instance) -> tuple[Instance, list[Shapes]]:
    """The instance in double precision, else in single, else of whole numbers, and shapes that fit it."""
    for dtype, fill in itertools.product(("float64", "float32", "int64"), range(len(FILLS))):
        each = replace(one, dtype=np.dtype(dtype), fill=fill)
        dtypes = each.operands
        if fill and not each.indices:
            continue
        try:
            free = {name: np.zeros((), kind) for name, kind in dtypes.items()}
            proto = each.model(free, lambda value: None)
            runner = Runner(proto, reference=may_divide_by_zero(proto, each.dtype))
        except (RuntimeFailure, PassError):
            continue

        def fits(shapes: Shapes, runner: Runner = runner, each: Instance = each) -> bool:
            try:
                runner.run(each.draw("positive", shapes, each.operands))
            except RuntimeFailure:
                return False
            return True

        if found := fitting([*dtypes], fits):
            return each, found
    return one, []


def _some(shapes: list[Shapes]) -> list[Shapes]:
    """The smallest, and of each ranks the one with the largest sizes."""
    largest = {tuple(map(len, each.values())): each for each in shapes}
    return [*shapes[:2], *(each for each in largest.values() if each not in shapes[:2])]


def _is_wrong(judge: Judge, inputs: Any, whole: bool) -> bool:
    if whole and any(value.dtype.kind in "iu" and not value.all() for value in inputs.values()):
        return False
    try:
        return judge.fault(inputs) is not None
    except RuntimeFailure:
        return False


def _constants(rule: Rule) -> list[float]:
    """The numbers in a rule, as far as symbols show them."""
    found = constants(trace(rule.pattern))
    try:
        return [*found, *constants(trace(rule.replacement))]
    except OF_AUTHORS:
        return found


def _of_facts(facts: Iterable[Case]) -> list[float]:
    return [float(value) for case in facts for value in case.values() if isinstance(value, int | float)]


def _takes_integers(rule: Rule) -> bool:
    """Whether a pattern may be meant for whole numbers: none of its numbers is written as a float."""
    return not any(isinstance(one, Number) and isinstance(one.value, float) for one in walk(trace(rule.pattern)))
