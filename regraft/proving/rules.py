"""The verdict on a rule: whether its replacement is its pattern, in each case of its facts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from regraft.ops.traits import LOGIC
from regraft.proving.bounds import bound
from regraft.proving.counterexample import compute, search
from regraft.proving.denote import Denotation, variants
from regraft.proving.equivalence import difference
from regraft.proving.reach import OutOfReach
from regraft.proving.verdict import Verdict
from regraft.rewriting.facts import ANY, Case, Operand
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import Apply, Term, Var, trace, walk
from regraft.verification.contract import Contract, reassociation


def prove(rule: Rule, contract: Contract = reassociation) -> Verdict:
    """What is known of `rule`: the worst over its cases, and over the ways in which its pattern is written.

    Args:
        contract: what the rule's pass promises; one with a bound lets a rule be within it.
    """
    worst = Verdict("proved")
    for case in rule.facts:
        for found in _verdicts(rule, case, contract):
            if found.outcome in ("refused", "out of reach"):
                return replace(found, reason=_in_case(case) + found.reason)
            if found.outcome == "within" and (worst.bound or 0.0) < (found.bound or 0.0):
                worst = found
    return worst


def _verdicts(rule: Rule, case: Case, contract: Contract) -> Iterator[Verdict]:
    """The verdict in one case for each way in which the pattern is written."""
    pattern = trace(rule.pattern)
    names = {**_defaults(pattern), **case}
    given = {name: Var(name) if isinstance(value, Term) else value for name, value in names.items()}
    for name, parameter in inspect.signature(rule.replacement).parameters.items():
        if name not in given and parameter.default is parameter.empty:
            yield Verdict("out of reach", f"the facts of the rule do not say what '{name}' is")
            return
    try:
        after = rule.result(given)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        yield Verdict("out of reach", f"the replacement needs more than symbols: {error}")
        return
    denote = Denotation(names)
    for before in variants(pattern):
        yield _judge(before, after, denote, contract)


def _judge(before: Term, after: Term, denote: Denotation, contract: Contract) -> Verdict:
    try:
        residue = difference(denote(before), denote(after))
    except OutOfReach as error:
        residue, unknown = str(error), True
    else:
        unknown = False
        if not residue:
            return Verdict("proved")
    if contract.bound:
        try:
            most = bound(before, after, denote.names)
        except OutOfReach as error:
            return Verdict("out of reach", str(error))
        if most.most <= contract.bound:
            return Verdict("within", bound=most.most)
        if most.least <= contract.bound:
            return Verdict(
                "out of reach", f"between {most.least:.5g} and {most.most:.5g} apart, where {contract} is promised"
            )
        shown = compute(before, after, denote.names, {most.name: most.at})
        return Verdict("refused", f"more than {contract} promises: {shown}", most.most, shown)
    found = search(before, after, denote.names)
    if found is not None:
        return Verdict("refused", f"{residue}; {found}", counterexample=found)
    return Verdict("out of reach", residue if unknown else f"{residue}, which no sample shows to be wrong")


def _in_case(case: Case) -> str:
    """A case by what is known of its attributes and numbers."""
    shown = ", ".join(f"{name} = {value}" for name, value in case.items() if isinstance(value, int | float | str))
    return f"{shown}: " if shown else ""


def _defaults(pattern: Term) -> dict[str, Any]:
    """What the names of a pattern are where no fact says it: of any shape, and of the kind that operators take."""
    found: dict[str, Any] = {}
    for term in walk(pattern):
        if isinstance(term, Var):
            found.setdefault(term.name, Operand("" if term.kind == "number" else ANY))
        if not isinstance(term, Apply):
            continue
        for place, one in enumerate(term.operands):
            if isinstance(one, Var) and (term.op in LOGIC or (term.op == "Where" and place == 0)):
                found[one.name] = Operand(kind="boolean")
    return found
