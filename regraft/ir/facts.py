"""Facts that live with a graph: found out once, and again only where an edit reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from regraft.ir.changes import Changes, Watch

if TYPE_CHECKING:
    from regraft.ir.model import Model


class Analysis(Protocol):
    """What is found out of a whole model, and kept in step with it."""

    def __init__(self, model: Model): ...

    def follow(self, model: Model, changes: Changes) -> None:
        """Bring what is known in step with `model`, which has `changes` since."""


Kept = TypeVar("Kept", bound=Analysis)


class FactStore:
    """The facts of one graph, and what changed since each of them was found."""

    def __init__(self) -> None:
        self._watch = Watch()
        self._kept: dict[type[Any], Any] = {}
        self._pending: dict[type[Any], Changes] = {}

    def of(self, analysis: type[Kept], model: Model) -> Kept:
        """What `analysis` finds of `model` as it is now."""
        if found := self._watch.look(model):
            for pending in self._pending.values():
                pending |= found
        kept: Kept | None = self._kept.pop(analysis, None)  # where it fails half way, nothing of it is believed
        if kept is None:
            kept = analysis(model)
        else:
            changes = self._pending[analysis]
            changes.nodes = {node for node in changes.nodes if node.graph is model.graph}  # some have gone since
            kept.follow(model, changes)
        self._pending[analysis] = Changes()
        self._kept[analysis] = kept
        return kept
