"""Where an edit may let a rule match: the nodes that stand near enough below what it made or freed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.order import reads
from regraft.rewriting.pattern import Chain, kind_of
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import Apply, Either, Term


class Neighbourhood:
    """What the patterns of `rules` reach over.

    A match has nodes inside, of the operators that stand below others in a pattern. Other nodes do not read them, but
    where a rule allows that: a value that many read ends the way from an edit to the matches that it makes possible.
    """

    def __init__(self, rules: Sequence[Rule], sees_through: Callable[[Node], bool]):
        self._sees_through = sees_through
        patterns = [rule.compiled for rule in rules]
        self._reach = max(_reach(pattern.term, {}) for pattern in patterns)
        self._readers = max(pattern.size for pattern in patterns) * 2
        self._any_readers = any(rule.shared for rule in rules)
        self._inner: set[str] = set()
        self._outer: set[str] = set()
        seen: set[int] = set()
        for pattern in patterns:
            self._add(pattern.term, seen)

    def _add(self, term: Term | None, seen: set[int]) -> None:
        if term is None or id(term) in seen:
            return
        seen.add(id(term))
        parts = term.options if isinstance(term, Either) else term.operands if isinstance(term, Apply | Chain) else ()
        for part in parts:
            self._add(part, seen)
        if isinstance(term, Chain):
            self._inner.update(term.ops)
            self._outer.update(term.ops)
        if isinstance(term, Apply | Chain) and (below := set().union(*map(_ends, parts))):
            self._inner.update(below)
            self._outer.update(_ends(term))

    def below(self, starts: Iterable[Node], edit: Editor) -> dict[Node, None]:
        """The nodes at which a match may end that holds one of `starts`, or reads it."""
        found: dict[Node, None] = {}
        level = [node for node in starts if node not in edit.dead]
        for _ in range(self._reach):
            after: list[Node] = []
            while level:
                node = level.pop()
                if node in found:
                    continue
                found[node] = None
                through = self._sees_through(node)
                if through or schema.kind(node) in self._inner:
                    for tensor in node.outputs[:1]:
                        readers = [reader for reader in edit.users(tensor) if reader not in found]
                        if through:
                            level += readers
                        elif self._any_readers or len(readers) <= self._readers:
                            after += readers
            level = after
        return found

    def freed(self, removed: Iterable[Node], edit: Editor) -> list[Node]:
        """The nodes that read what `removed` read, where it may be inside a match now that these do not."""
        values = dict.fromkeys(tensor for node in removed for tensor in reads(node))
        return [reader for tensor in values for reader in self._inside(tensor, edit)]

    def _inside(self, tensor: Tensor, edit: Editor) -> list[Node]:
        """The readers of `tensor`, if all of them can be in one match with what makes it."""
        maker = tensor.inputs[0] if tensor.inputs else None
        if maker is None or maker in edit.dead or tensor in edit.graph_outputs or schema.kind(maker) not in self._inner:
            return []
        readers = list(edit.users(tensor))
        inside = all(schema.kind(reader) in self._outer or self._sees_through(reader) for reader in readers)
        return readers if inside and len(readers) <= self._readers else []


def _ends(term: Term | None) -> set[str]:
    match term:
        case Apply():
            return {kind_of(term)}
        case Chain():
            return set(term.ops)
        case Either():
            return set().union(*map(_ends, term.options))
    return set()


def _reach(term: Term | None, known: dict[int, int]) -> int:
    """How many nodes can follow one another in a match, without those that are seen through."""
    if id(term) not in known:
        match term:
            case Either():
                known[id(term)] = max(_reach(option, known) for option in term.options)
            case Apply() | Chain():
                own = len(term.operands) + 2 if isinstance(term, Chain) else 1
                known[id(term)] = own + max((_reach(operand, known) for operand in term.operands), default=0)
            case _:
                known[id(term)] = 0
    return known[id(term)]
