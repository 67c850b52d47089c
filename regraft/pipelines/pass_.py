"""The base of every pass, and what a pass is given to say what it did."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from regraft.errors import PipelineError, UnknownNameError
from regraft.pipelines.grammar import write_pass
from regraft.pipelines.options import Option, Shown, make_option, show_dims
from regraft.verification.contract import Contract, exact

if TYPE_CHECKING:
    from regraft.ir.graph import Node
    from regraft.ir.model import Model

T = TypeVar("T")

MADE_BY = "regraft.pass"
REPLACES = "regraft.replaces"
STAGE = "regraft.stage"
"""Metadata of a node: the part of a split model that it belongs to, and that what takes its place belongs to."""


class Pass:
    """A rewrite of a model.

    A subclass has a kebab-case `name`, a docstring whose first line is its help, a `contract`, a `run`, and its
    options as annotated attributes: `max_bytes: Bytes = option("1MiB", "bytes the file may grow by")`. An attribute
    that is annotated as ClassVar is no option. A contract that depends on the options is a property.

    Options are given by their names in Python or in text, as typed values or as text. Where a pass has an
    option of type `Shapes`, every other name is one of its shapes.

    Raises:
        PipelineError: an option that is unknown, missing, or of a bad value.
    """

    name: ClassVar[str] = ""
    _options: ClassVar[dict[str, Option]] = {}

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        cls._options = {**cls._options, **dict(_declared(cls))}
        for attribute, option in cls._options.items():
            if not option.required:
                setattr(cls, attribute, option.default)

    def __init__(self, /, **given: Any):
        values = {option.attribute: option.default for option in self.options()}
        for name, value in given.items():
            self._give(values, name, value)
        for option in self.options():
            if values[option.attribute] is ...:
                raise PipelineError(f"{self.name}: option {option.name} ({option.type}) must be given")
            setattr(self, option.attribute, self._read(option, values[option.attribute]))

    @property
    def contract(self) -> Contract:
        """What the pass promises about the outputs."""
        return exact

    def run(self, model: Model, context: Context) -> None:
        """Change `model`, and tell `context` what was changed."""
        raise NotImplementedError(f"pass '{self.name}' has no run")

    def reference(self, model: Model) -> Model | None:
        """The model to hold the result against, where that is not `model` itself: say, a copy that does not train."""
        return None

    @classmethod
    def options(cls) -> list[Option]:
        """The options, in the order of their declaration."""
        return list(cls._options.values())

    @classmethod
    def help(cls) -> str:
        """The first line of the docstring."""
        return (inspect.cleandoc(cls.__doc__ or "").splitlines() or [""])[0]

    def shown_options(self) -> dict[str, Shown]:
        """The options that differ from their defaults, as text or lists of text."""
        shown: dict[str, Shown] = {}
        for option in self.options():
            value = getattr(self, option.attribute)
            if option.is_open:
                shown |= {name: show_dims(dims) for name, dims in value.items()}
            elif option.required or value != option.default:
                shown[option.name] = option.show(value)
        return shown

    def __str__(self) -> str:
        return write_pass(self.name, self.shown_options())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def _give(self, values: dict[str, Any], name: str, value: Any) -> None:
        """Put `value` where option `name` belongs."""
        open_option = next((option.attribute for option in self.options() if option.is_open), "")
        attribute = name.replace("-", "_")
        if open_option and (attribute not in self._options or attribute == open_option):
            others = {} if values[open_option] is ... else values[open_option]
            more = value if attribute == open_option and isinstance(value, dict) else {name: value}
            values[open_option] = {**others, **more}
        elif attribute in self._options:
            values[attribute] = value
        else:
            unknown = UnknownNameError("option", name, [option.name for option in self.options()])
            raise PipelineError(f"{self.name}: {unknown}")

    def _read(self, option: Option, value: Any) -> Any:
        try:
            return option.read(value)
        except ValueError as error:
            raise PipelineError(f"{self.name}: option {option.name}: {error}") from error


def _declared(cls: type[Pass]) -> Iterator[tuple[str, Option]]:
    """The options that the body of `cls` declares, and those it inherits with another default."""
    scope = vars(sys.modules[cls.__module__])
    body = vars(cls)
    own = inspect.get_annotations(cls)
    inherited = {name: cls._options[name] for name in cls._options.keys() & body.keys() - own.keys()}
    for attribute, annotation in (own | inherited).items():
        if attribute.startswith("_") or attribute in vars(Pass) or "ClassVar" in str(annotation):
            continue
        try:
            if isinstance(annotation, Option):
                yield attribute, replace(annotation, default=annotation.read(body[attribute]))
            else:
                kind = eval(annotation, scope, dict(body)) if isinstance(annotation, str) else annotation
                yield attribute, make_option(attribute, kind, body.get(attribute, ...))
        except (ValueError, NameError) as error:
            raise PipelineError(f"{cls.__name__}.{attribute} cannot be an option: {error}") from error


@dataclass(frozen=True)
class Change:
    """Nodes that left the model and the nodes that took their place, by name.

    Attributes:
        rule: which rule of the pass did it; empty where the pass has no rules.
    """

    rule: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass
class Context:
    """What a pass is given beside the model: where it says what it did.

    Attributes:
        pass_name: written into the metadata of the nodes that the pass makes.
        known: by id, the nodes that were there before the pass, which are not marked as made by it.
        track: shows progress; called with an iterable and its length.
    """

    pass_name: str = ""
    known: Mapping[int, Node] = field(default_factory=dict)
    track: Callable[[Iterable[Any], int | None], Iterable[Any]] = lambda items, total: items
    changes: list[Change] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def replaced(self, old: Iterable[Node], new: Iterable[Node] = (), rule: str = "") -> None:
        """Record that `new` took the place of `old`, or that `old` went."""
        gone, added = list(old), list(new)
        removed = tuple(map(label, gone))
        made = [node for node in added if id(node) not in self.known]
        marks = {MADE_BY: self.pass_name, REPLACES: json.dumps(removed)} if made and self.pass_name else {}
        stages = [node.metadata[STAGE] for node in gone if STAGE in getattr(node, "metadata", {})]
        for node in made:
            node.metadata = {**getattr(node, "metadata", {}), **marks}
            if stages:
                node.metadata.setdefault(STAGE, stages[0])
        self.changes.append(Change(rule, removed, tuple(map(label, added))))

    def changed(self, what: str) -> None:
        """Record a change that is not one of nodes: of types, shapes, the opset."""
        self.effects.append(what)

    def note(self, text: str) -> None:
        """Tell the user something; it stands in the report."""
        self.notes.append(text)

    def progress(self, items: Iterable[T], total: int | None = None) -> Iterable[T]:
        """`items`, with a progress bar where one is shown."""
        return self.track(items, total)


def label(node: Node) -> str:
    """What a node is called in reports: its name, or its first output's."""
    return node.name or next((f"%{tensor.name}" for tensor in node.outputs if tensor.name), node.op)
