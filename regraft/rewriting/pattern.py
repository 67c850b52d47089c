"""A term made ready to be looked for: its sums and products in a form that knows no order and no brackets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from regraft.rewriting.term import Apply, Either, Number, Term, Var

SUMS = ("Add", "Sub")
PRODUCTS = ("Mul", "Div", "Neg")
"""The operators that the links of a sum, and of a product, can be."""


@dataclass(frozen=True, eq=False)
class Chain(Term):
    """A sum or a product in any order: `operands` and one number, which is the neutral one where there is none."""

    op: str  # "Add" or "Mul"
    operands: tuple[Term, ...]
    number: float

    @property
    def ops(self) -> tuple[str, ...]:
        """The operators that a link of the chain can be."""
        return SUMS if self.op == "Add" else PRODUCTS

    @property
    def links(self) -> int:
        """How many nodes it takes, one with two operands each."""
        return len(self.operands) - 1 + (self.number != (0.0 if self.op == "Add" else 1.0))

    @property
    def needs_constant(self) -> bool:
        """Whether no match does without a constant: its number is not near the neutral one, or that negated."""
        return abs(self.number) > 1e-30 if self.op == "Add" else not 0.9 < abs(self.number) < 1.1


class Pattern:
    """A term, ready to be looked for."""

    def __init__(self, term: Term):
        self.term = _normal(term, {})

    @cached_property
    def roots(self) -> frozenset[str]:
        """The operators that a node must have for the pattern to end there."""
        return frozenset(_roots(self.term))

    @cached_property
    def needs(self) -> frozenset[str]:
        """Operators without which a graph cannot hold the pattern."""
        return frozenset(_needs(self.term))

    @cached_property
    def size(self) -> int:
        """Number of operators in the pattern; one that stands in several places counts once."""
        return _size(self.term, set())


def kind_of(term: Apply) -> str:
    """What `schema.kind` says of a node that computes the term."""
    return f"{term.domain}::{term.op}" if term.domain else term.op


def ends_in(term: Term) -> str:
    """The operator that a pattern ends in; of several the first."""
    return ends_in(term.options[0]) if isinstance(term, Either) else str(term)


def shown(term: Term) -> str:
    """How a report names the term."""
    match term:
        case Apply():
            return kind_of(term)
        case Chain():
            return "a product" if term.op == "Mul" else "a sum"
        case Number():
            return f"the constant {term.value:g}"
        case Var():
            return f"'{term.name}'"
        case Either():
            return " or ".join(dict.fromkeys(map(shown, term.options)))
    return str(term)


def _normal(term: Term, made: dict[int, Term]) -> Term:
    """`term` with its sums and products as chains; `made` keeps what stands in several places one."""
    if id(term) not in made:
        made[id(term)] = _normal_new(term, made)
    return made[id(term)]


def _normal_new(term: Term, made: dict[int, Term]) -> Term:
    if isinstance(term, Either):
        return Either(tuple(_normal(option, made) for option in term.options))
    if not isinstance(term, Apply):
        return term
    operands = tuple(_normal(o, made) if o is not None else None for o in term.operands)
    if term.domain is None and not term.attrs:
        match term.op, operands:
            case ("Add" | "Mul") as chain, (Term() as a, Term() as b):
                return _chain(chain, (a, b))
            case "Sub", (Term() as a, Number(value)):
                return _chain("Add", (a, Number(-value)))
            case "Div", (Term() as a, Number(value)):
                return _chain("Mul", (a, Number(1 / value)))
            case "Neg", (Term() as a,):
                return _chain("Mul", (a, Number(-1.0)))
    return Apply(term.op, operands, term.attrs, term.domain)


def _chain(op: str, terms: tuple[Term, ...]) -> Chain | Either:
    for place, term in enumerate(terms):
        if isinstance(term, Either) and any(isinstance(o, Chain) and o.op == op for o in term.options):
            return Either(tuple(_chain(op, (*terms[:place], option, *terms[place + 1 :])) for option in term.options))
    operands: list[Term] = []
    number: float = 0 if op == "Add" else 1
    for term in terms:
        if isinstance(term, Chain) and term.op == op:
            operands += term.operands
            value = term.number
        elif isinstance(term, Number):
            value = term.value
        else:
            operands.append(term)
            continue
        number = number + value if op == "Add" else number * value
    return Chain(op, tuple(sorted(operands, key=_rank)), number)


def _rank(term: Term) -> int:
    """What is most telling comes first."""
    if isinstance(term, Var):
        return 5 if term.kind == "any" else 4
    return {Apply: 0, Chain: 1, Either: 2}.get(type(term), 3)


def _roots(term: Term) -> set[str]:
    match term:
        case Apply():
            return {kind_of(term)}
        case Chain():
            return set(term.ops)
        case Either():
            return set().union(*map(_roots, term.options))
    raise TypeError(f"a pattern ends in an operator, not in {shown(term)}")


def _needs(term: Term | None) -> set[str]:
    match term:
        case Apply():
            return {kind_of(term)}.union(*map(_needs, term.operands))
        case Chain():
            return set().union(*map(_needs, term.operands))
        case Either():
            return set.intersection(*map(_needs, term.options))
    return set()


def _size(term: Term | None, seen: set[int]) -> int:
    if term is None or id(term) in seen:
        return 0
    seen.add(id(term))
    match term:
        case Apply():
            return 1 + sum(_size(operand, seen) for operand in term.operands)
        case Chain():
            return term.links + sum(_size(operand, seen) for operand in term.operands)
        case Either():
            return max(_size(option, set(seen)) for option in term.options)
    return 0
