"""The base of every pass, and what a pass is given to say what it did."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

from regraft.errors import PipelineError
from regraft.pipelines.configurable import Configurable
from regraft.pipelines.inheritance import inherited
from regraft.refusal import Refusal
from regraft.verification.contract import Contract, exact

if TYPE_CHECKING:
    from regraft.ir.graph import Node
    from regraft.ir.model import Model

T = TypeVar("T")

EVERY = frozenset({"*"})
"""What a pass removes or introduces that may do so with any operator."""

MADE_BY = "regraft.pass"
REPLACES = "regraft.replaces"
BESIDE = "besides"
"""The rule of changes of which a pass that says what it does said nothing."""


class Need(NamedTuple):
    """What must hold of a model before a pass runs.

    Attributes:
        name: how it is called.
        arrange: sees to it, where it does not hold yet.
    """

    name: str
    arrange: Callable[[Model], None]


def _declare_types(model: Model) -> None:
    from regraft.shapes import declare_types  # with onnx, which a pipeline is read without

    declare_types(model)


TYPES = Need("types", _declare_types)
"""That the values of the main graph have types and shapes, as far as they can be known."""


class Pass(Configurable):
    """A rewrite of a model.

    A subclass has a kebab-case `name`, a docstring whose first line is its help, a `contract`, a `run`, and its
    options as annotated attributes: `max_bytes: Bytes = option("1MiB", "bytes the file may grow by")`. A contract that
    depends on the options is a property. What searches for a pass reads which operators it `removes` and `introduces`;
    these too are class attributes, or properties where they depend on the options.

    What the pass `needs` is arranged before `run`, and only where it `has_work`.

    Raises:
        PipelineError: an option that is unknown, missing, or of a bad value.
    """

    needs: ClassVar[tuple[Need, ...]] = ()

    def __init_subclass__(cls, **arguments: object):
        super().__init_subclass__(**arguments)
        if "run" in vars(cls):
            cls.run = _arranged(cls.run)  # type: ignore[assignment, method-assign]

    @property
    def contract(self) -> Contract:
        """What the pass promises about the outputs."""
        return exact

    @property
    def removes(self) -> frozenset[str]:
        """The operators that the pass is there to take away, as `schema.kind` calls them; nothing else needs to go."""
        return frozenset()

    @property
    def introduces(self) -> frozenset[str]:
        """The operators of which there may be more after the pass, but for an Identity between input and output."""
        return frozenset()

    def __add__(self, other: Pass) -> Pass:
        """The pass that has the rules of both. Raises PipelineError where one is not made of rules."""
        raise PipelineError(f"'{self.name}' is not made of rules, and cannot be joined with others")

    def has_work(self, model: Model) -> bool:
        """Whether there may be anything to do: a quick look. Where there is nothing, the pass does not run."""
        return True

    def run(self, model: Model, context: Context) -> None:
        """Change `model`, and tell `context` what was changed."""
        raise NotImplementedError(f"pass '{self.name}' has no run")

    def reference(self, model: Model) -> Model | None:
        """The model to hold the result against, where that is not `model` itself: say, a copy that does not train."""
        return None


Run = Callable[[Any, "Model", "Context"], None]


def _arranged(run: Run) -> Run:
    """`run`, after all that the pass needs."""

    @functools.wraps(run)
    def arranged(self: Pass, model: Model, context: Context) -> None:
        if self.has_work(model):
            for need in self.needs:
                need.arrange(model)
            run(self, model, context)

    return arranged


class Derivation(NamedTuple):
    """A weight that is new or has other elements, and the weights that it was made of, by name."""

    weight: str
    sources: tuple[str, ...]


class Change(NamedTuple):
    """Nodes that left the model and the nodes that took their place, by name.

    Attributes:
        rule: which rule of the pass did it; empty where the pass has no rules.
        edited: nodes that stayed, and compute or read something else.
        values: values that are gone or are called otherwise, each with the value that stands for it, or "".
        weights: those of the new nodes, and of those that were edited.
    """

    rule: str
    removed: tuple[str, ...]
    added: tuple[str, ...]
    edited: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    weights: tuple[Derivation, ...] = ()


def count_rules(changes: Iterable[Change]) -> dict[str, int]:
    """At how many places each rule changed something; what a pass did besides does not count."""
    return dict(Counter(change.rule for change in changes if change.rule != BESIDE))


@dataclass
class RuleUse:
    """What became of a rule in a pass.

    Attributes:
        hits: how often it was applied.
        tries: the nodes at which it was looked for; most are ruled out by a glance and do not count.
        seconds: time in looking for it and applying it.
    """

    rule: str
    hits: int = 0
    tries: int = 0
    seconds: float = 0.0


class Track(Protocol):
    """Gives the items on, and shows how far it is."""

    def __call__(self, items: Iterable[T], total: int | None) -> Iterable[T]: ...


@dataclass
class Context:
    """What a pass is given beside the model: where it says what it did.

    Attributes:
        pass_name: written into the metadata of the nodes that the pass makes.
        known: the nodes that were there before the pass, which are not marked as made by it.
        track: shows progress; called with an iterable and its length.
        changes: what the pass said it did; the edits tell what it did.
        claims: of each the nodes that it replaced, and those that took their place.
        said: what the user is told, in order: refusals as they are, other notes as text.
        limit: how many changes may be made; a pass that asks `spent` before each leaves the rest.
        explains: whether somebody asks why: quiet refusals are kept, too.
    """

    pass_name: str = ""
    known: Collection[Node] = ()
    track: Track = lambda items, total: items
    changes: list[Change] = field(default_factory=list)
    claims: list[tuple[list[Node], list[Node]]] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    said: list[Refusal | str] = field(default_factory=list)
    rule_uses: list[RuleUse] = field(default_factory=list)
    limit: int | None = None
    explains: bool = False

    @property
    def spent(self) -> bool:
        """Whether as many changes are made as may be."""
        return self.limit is not None and len(self.changes) >= self.limit

    @functools.cached_property
    def _known(self) -> Set[Node]:
        return self.known if isinstance(self.known, Set) else frozenset(self.known)

    def _is_new(self, node: Node) -> bool:
        """Whether the pass made `node`; what graphsurgeon makes has no hash."""
        return not isinstance(node, Hashable) or node not in self._known

    @property
    def notes(self) -> list[str]:
        """All that the user is told, as text."""
        return list(map(str, self.said))

    @property
    def refusals(self) -> list[Refusal]:
        """What was left as it was, and why."""
        return [one for one in self.said if isinstance(one, Refusal)]

    def replaced(self, old: Iterable[Node], new: Iterable[Node] = (), rule: str = "") -> None:
        """Record that `new` took the place of `old`, or that `old` went."""
        gone, added = list(old), list(new)
        removed = tuple([label(node) for node in gone])
        if made := [node for node in added if self._is_new(node)]:
            self.mark(gone, removed, made)
        self.changes.append(Change(rule, removed, tuple([label(node) for node in added])))
        self.claims.append((gone, added))

    def mark(self, gone: Iterable[Node], names: Sequence[str], made: Iterable[Node]) -> None:
        """Write into the metadata of the nodes `made` who made them, and what of `gone`, which have these `names`."""
        marks = {MADE_BY: self.pass_name, REPLACES: json.dumps(names)} if self.pass_name else {}
        said = [node.metadata for node in gone if getattr(node, "has_metadata", False)]
        kept = inherited(said) if said else {}
        for node in made:
            node.metadata = {**kept, **getattr(node, "metadata", {}), **marks}

    def changed(self, what: str) -> None:
        """Record a change that is not one of nodes: of types, shapes, the opset."""
        self.effects.append(what)

    def note(self, text: str) -> None:
        """Tell the user something; it stands in the report."""
        self.said.append(text)

    def refuse(self, refusal: Refusal, node: Node | None = None, heading: str = "") -> None:
        """Say why something stays as it is; a note tells the user.

        Args:
            node: what stays, where the refusal does not name it.
            heading: what the note begins with instead of "kept NODE".
        """
        if refusal.quiet and not self.explains:
            return
        at = refusal.node if node is None else label(node)
        self.said.append(replace(refusal, node=at, heading=heading or refusal.heading))

    def progress(self, items: Iterable[T], total: int | None = None) -> Iterable[T]:
        """`items`, with a progress bar where one is shown."""
        return self.track(items, total)


def label(node: Node) -> str:
    """What a node is called in reports: its name, or its first output's."""
    return node.name or next((f"%{tensor.name}" for tensor in node.outputs if tensor.name), node.op)
