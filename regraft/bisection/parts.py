"""What a pass did to a model, to be taken over in part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regraft.bisection.regions import Difference, Indivisible
from regraft.errors import PassError
from regraft.ir import verifier
from regraft.ir.clone import clone
from regraft.ir.model import Model
from regraft.pipelines import manager
from regraft.pipelines.pass_base import Change, Context, Pass, label
from regraft.refusal import Refusal


@dataclass
class Parts:
    """The changes of a pass, in an order in which the first few give a valid model.

    Attributes:
        first: the model with the first few; raises RegraftError where the pass fails there.
        told: the rule and the nodes before of one, by its index.
        has_effects: whether the pass may do something beside them.
    """

    count: int
    first: Callable[[int], Model]
    told: Callable[[int], tuple[str, tuple[str, ...]]]
    has_effects: bool


def split(one: Pass, before: Model, after: Model | None) -> Parts | Refusal:
    """The changes of a pass that can be stopped, else the regions of its difference; or why there are none.

    Args:
        after: the model after the pass; None where it failed.
    """
    changes, failed = _run(one, before, None)
    if (changes or failed) and _run(one, before, 0) == ([], False):
        return _stopped(one, before, changes, failed)
    if after is None:
        return Refusal("it fails, and cannot be stopped before that")
    try:
        found = Difference(before, after)
    except Indivisible as error:
        return Refusal(str(error))
    return _taken(found, changes) if found.regions else Refusal("no node is other")


def _stopped(one: Pass, before: Model, changes: list[Change], failed: bool) -> Parts:
    origins = _origins(changes)

    def first(count: int) -> Model:
        made = clone(before)
        manager.run_pass(one, made, Context(one.name, list(made.nodes()), limit=count))
        verifier.check(made)
        return made

    def told(number: int) -> tuple[str, tuple[str, ...]]:
        return (changes[number].rule, origins[number]) if number < len(changes) else ("", ())

    return Parts(len(changes) + failed, first, told, True)


def _taken(found: Difference, changes: list[Change]) -> Parts:
    regions = found.regions

    def told(number: int) -> tuple[str, tuple[str, ...]]:
        old, new = (tuple(map(label, nodes)) for nodes in (regions[number].before, regions[number].after))
        made = {*old, *new}
        rules = dict.fromkeys(one.rule for one in changes if made.intersection((*one.removed, *one.added)))
        return ", ".join(filter(None, rules)), old or new

    return Parts(len(regions), lambda count: found.applied(regions[:count]), told, False)


def _run(one: Pass, before: Model, limit: int | None) -> tuple[list[Change], bool]:
    """The changes that a pass tells of, and whether it failed in the middle."""
    context = Context(one.name, limit=limit)
    try:
        manager.run_pass(one, clone(before), context)
    except PassError:
        return context.changes, True
    return context.changes, False


def _origins(changes: list[Change]) -> list[tuple[str, ...]]:
    """For each change, what the nodes that went were made of, as they were called before all of them."""
    found: list[tuple[str, ...]] = []
    made: dict[str, tuple[str, ...]] = {}
    for change in changes:
        names = tuple(dict.fromkeys(name for one in change.removed for name in made.get(one, (one,))))
        made.update(dict.fromkeys(change.added, names))
        found.append(names)
    return found
