"""The adapters: what to do with a node at a change that the schemas alone do not answer."""

from __future__ import annotations

from collections.abc import Callable

from regraft.opset.adapter_context import Site

Adapter = Callable[[Site], None]

UP: dict[tuple[str, int], Adapter] = {}
DOWN: dict[tuple[str, int], Adapter] = {}
"""By operator and the opset that brought the change. Going down, an adapter leads to the opset before it."""


def up(*ops: str, at: int) -> Callable[[Adapter], Adapter]:
    """Register the way of `ops` into opset `at`."""
    return _register(UP, ops, at)


def down(*ops: str, at: int) -> Callable[[Adapter], Adapter]:
    """Register the way of `ops` from opset `at` to the one before."""
    return _register(DOWN, ops, at)


def _register(table: dict[tuple[str, int], Adapter], ops: tuple[str, ...], at: int) -> Callable[[Adapter], Adapter]:
    def register(adapter: Adapter) -> Adapter:
        table.update(dict.fromkeys(((op, at) for op in ops), adapter))
        return adapter

    return register
