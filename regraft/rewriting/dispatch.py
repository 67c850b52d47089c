"""Which of many rules may match at a node: a look at the operators near it tells, and no search."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ops.traits import SYMMETRIC
from regraft.rewriting.matcher import SEEN_THROUGH, Matcher
from regraft.rewriting.pattern import PRODUCTS, SUMS, Chain, kind_of
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import Apply, Either, Number, Term, Var

_GLANCES = ((2, 0), (3, 3))  # how deep to look, and how many links of a chain beyond that: what is cheap first
_WIDTH = 8  # a node with more inputs, such as a Concat, is known by its operator alone

Sight = Any
"""What is seen at a value: the operator, alone or with what is seen at each of its inputs; None: it may be anything.

An initializer is a Constant, and what no node makes is "".
"""


class Dispatch:
    """The rules that may match at a node. What was seen from a node is kept until it is forgotten."""

    def __init__(self, rules: Sequence[Rule], matcher: Matcher):
        self._rules, self._matcher = rules, matcher
        self._by_node: dict[Node, frozenset[Rule]] = {}
        self._by_sight: dict[Sight, frozenset[Rule]] = {}

    def rules_at(self, root: Node) -> frozenset[Rule]:
        """The rules that may match with the first output of `root` as their result: no other does."""
        found = self._by_node.get(root)
        if found is None:
            found = self._by_node[root] = self._look(root)
        return found

    def forget(self, root: Node) -> None:
        """Look anew from `root`, near which the graph has changed."""
        self._by_node.pop(root, None)

    def _look(self, root: Node) -> frozenset[Rule]:
        found: frozenset[Rule] = frozenset()
        for depth, links in _GLANCES if root.outputs else ():
            seen = look(root.outputs[0], depth, links, self._matcher)
            known = self._by_sight.get(seen)
            if known is None:
                known = frozenset(rule for rule in self._rules if may_match(rule.compiled.term, seen))
                self._by_sight[seen] = known
            if not known:
                return known
            found = known
        return found


def look(tensor: Tensor, depth: int, links: int, matcher: Matcher, ops: Sequence[str] = ()) -> Sight:
    """What is seen `depth` nodes deep. A node of `ops`, those of the chain that reads it, counts as one of `links`."""
    makers = tensor.inputs
    if len(makers) != 1:
        return "Constant" if isinstance(tensor, Constant) else ""
    node = makers[0]
    kind: str = schema.kind(node) if node.domain else node.op
    if kind in SEEN_THROUGH and matcher.sees_through(node):
        return None
    if links and kind in ops:
        depth, links = depth + 1, links - 1
    read = node.inputs if depth > 1 else ()
    if not read or len(read) > _WIDTH:
        return kind
    ops = SUMS if kind in SUMS else PRODUCTS if kind in PRODUCTS else ()
    return (kind, *[look(one, depth - 1, links, matcher, ops) for one in read])


@functools.lru_cache(maxsize=1 << 12)
def may_match(term: Term | None, seen: Sight) -> bool:
    """Whether `term` can be where this is seen: false only where it cannot."""
    if seen is None or term is None:
        return True
    kind = seen if isinstance(seen, str) else seen[0]
    inputs = None if isinstance(seen, str) else seen[1:]
    match term:
        case Number() | Var(kind="number"):
            return bool(kind == "Constant")
        case Either():
            return any(may_match(option, seen) for option in term.options)
        case Apply():
            return kind == kind_of(term) and (inputs is None or _may_take(term, inputs))
        case Chain():
            return kind in term.ops and (inputs is None or _may_hold(term, seen))
    return True


def _may_take(term: Apply, inputs: Sequence[Sight]) -> bool:
    operands = term.operands
    if term.attrs:  # of which some opsets make inputs, at any place
        return all(one is None or any(may_match(one, seen) for seen in inputs) for one in operands)
    if len(inputs) < len(operands):
        return False
    swaps = term.op in SYMMETRIC and len(operands) == 2
    orders = [inputs, (inputs[1], inputs[0])] if swaps else [inputs]
    return any(all(map(may_match, operands, order)) for order in orders)


def _may_hold(chain: Chain, seen: Sight) -> bool:
    read = set(_read_by_links(seen, chain.ops))
    if chain.needs_constant and read.isdisjoint({None, "Constant"}):
        return False
    return all(any(may_match(operand, one) for one in read) for operand in chain.operands)


def _read_by_links(seen: Sight, ops: Sequence[str]) -> Iterator[Sight]:
    """What is seen at all values that the links of a chain read; None where more of them may follow."""
    for one in seen[1:]:
        yield one
        if isinstance(one, tuple) and one[0] in ops:
            yield from _read_by_links(one, ops)
        elif one in ops:
            yield None
