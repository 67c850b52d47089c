"""Which operators a rule removes and introduces, read off its pattern and its replacement."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from operator import and_, or_

from regraft.rewriting.pattern import Chain, kind_of
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import Apply, Either, Term, trace


def removed(rule: Rule) -> frozenset[str]:
    """The operators of which a match can hold more than what takes its place."""
    return frozenset(_count(rule.compiled.term, True) - _count(trace(rule.replacement), False))


def introduced(rule: Rule) -> frozenset[str]:
    """The operators of which what takes the place of a match can hold more than the match."""
    return frozenset(_count(trace(rule.replacement), True) - _count(rule.compiled.term, False))


def _count(term: Term | None, most: bool, seen: set[int] | None = None) -> Counter[str]:
    """How often each operator stands in `term`, at most or at least; one in several places counts once."""
    seen = set() if seen is None else seen
    if term is None or id(term) in seen:
        return Counter()
    seen.add(id(term))
    match term:
        case Either():
            return reduce(or_ if most else and_, (_count(option, most, set(seen)) for option in term.options))
        case Apply():
            own = Counter([kind_of(term)])
        case Chain():
            own = Counter(dict.fromkeys(term.ops, term.links if most else 0))
        case _:
            return Counter()
    return sum((_count(operand, most, seen) for operand in term.operands), own)
