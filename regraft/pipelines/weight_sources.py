"""Which weights a new one was made of: by what it says itself, else by what the nodes read in whose place it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.journal import Turn
from regraft.ir.weights import Array, Derived, Value

_STEPS = 1000
"""Nodes of a change, and inputs of a weight, that are looked at at most."""


class WeightSources:
    """Finds what weights were made of.

    Args:
        turn: what happened to the model.
        called: what a value was called before.
    """

    def __init__(self, turn: Turn, called: Callable[[Tensor], str]):
        self._turn, self._called = turn, called

    def of(self, weight: Constant, gone: Iterable[Node]) -> tuple[str, ...]:
        """The names of the weights that `weight`, which belongs to a change that took `gone` away, was made of."""
        found = self._held(weight.lazy) or self._read_by(weight, gone)
        if not found:
            found = dict.fromkeys(self._named.get(weight.name, ()))
        return tuple(dict.fromkeys(map(self._called, found)))

    @cached_property
    def _holders(self) -> dict[int, Constant]:
        """The weights that there were, by the identity of what they held."""
        return {id(held): weight for weight, held in self._turn.before.items()}

    @cached_property
    def _named(self) -> dict[str, list[Constant]]:
        """The weights that there were, by what they are called now."""
        found: dict[str, list[Constant]] = {}
        for weight in self._turn.before:
            found.setdefault(weight.name, []).append(weight)
        return found

    @cached_property
    def _makers(self) -> dict[Tensor, Node]:
        """The nodes that are gone, by what they made."""
        return {value: node for node in self._turn.went for value in node.outputs} | self._turn.edits.known

    def _held(self, value: Value | Array) -> dict[Constant, None]:
        """The weights that `value` is computed from, when it is needed."""
        found: dict[Constant, None] = {}
        pending = [value]
        for _ in range(_STEPS):
            if not pending:
                break
            one = pending.pop()
            if id(one) in self._holders:
                found[self._holders[id(one)]] = None
            elif isinstance(one, Derived):
                pending += reversed(one.inputs)
        return found

    def _read_by(self, weight: Constant, gone: Iterable[Node]) -> dict[Constant, None]:
        """The weights that `gone` read, and what made them what they read; or that readers of `weight` had instead."""
        known = self._turn.edits.known.get(weight)
        pending = [known] if known is not None else list(gone)
        found, seen = dict[Constant, None](), set[Node](pending)
        for _ in range(_STEPS):
            if not pending:
                break
            node = pending.pop()
            for value in self._turn.reads(node):
                if value in self._turn.before and isinstance(value, Constant):
                    found[value] = None
                elif (maker := self._makers.get(value)) is not None and maker not in seen:
                    seen.add(maker)
                    pending.append(maker)
        if not found:
            instead = (value for node in weight.outputs for value in self._turn.edits.read.get(node, ()))
            found = {v: None for v in instead if isinstance(v, Constant) and v in self._turn.before and v is not weight}
        return found
