"""What is named in a pipeline and takes options there: a pass, a target."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from regraft.errors import PipelineError, nearest
from regraft.pipelines.grammar import write_pass
from regraft.pipelines.options import Option, Shown, check_names, make_option, show_dims


class Configurable:
    """A thing with a kebab-case `name`, a docstring whose first line is its help, and options.

    Options are annotated attributes of a subclass: `max_bytes: Bytes = option("1MiB", "bytes the file may grow by")`.
    An attribute that is annotated as ClassVar is no option. They are given by their names in Python or in text, as
    typed values or as text. Where there is an option of type `Shapes`, every other name is one of its shapes.

    Raises:
        PipelineError: an option that is unknown, missing, or of a bad value.
    """

    name: ClassVar[str] = ""
    _options: ClassVar[dict[str, Option]] = {}

    def __init_subclass__(cls, **arguments: object):
        super().__init_subclass__(**arguments)
        cls._options = {**cls._options, **dict(_declared(cls))}
        for attribute, option in cls._options.items():
            if not option.required:
                setattr(cls, attribute, option.default)

    def __init__(self, /, **given: object):
        values = {option.attribute: option.default for option in self.options()}
        for name, value in given.items():
            self._give(values, name, value)
        for option in self.options():
            if values[option.attribute] is ...:
                raise PipelineError(f"{self.name}: option {option.name} ({option.type}) must be given")
            setattr(self, option.attribute, self._read(option, values[option.attribute]))

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
            check_names([name], self._options, self.name)

    def _read(self, option: Option, value: Any) -> Any:
        try:
            return option.read(value)
        except ValueError as error:
            if option.is_open and isinstance(value, dict):  # no shape: it was rather meant for another option
                others = [one.name for one in self.options() if not one.is_open]
                check_names([name for name in value if nearest(name, others)], others, self.name)
            raise PipelineError(f"{self.name}: option {option.name}: {error}") from error


def _declared(cls: type[Configurable]) -> Iterator[tuple[str, Option]]:
    """The options that the body of `cls` declares, and those it inherits with another default."""
    scope = vars(sys.modules[cls.__module__])
    body = vars(cls)
    own = inspect.get_annotations(cls)
    root = next((base for base in cls.__mro__ if Configurable in base.__bases__), cls)
    reserved = vars(root).keys() - cls._options.keys() if root is not cls else set()
    inherited = {name: cls._options[name] for name in cls._options.keys() & body.keys() - own.keys()}
    for attribute, annotation in (own | inherited).items():
        if attribute.startswith("_") or attribute in reserved or "ClassVar" in str(annotation):
            continue
        try:
            if isinstance(annotation, Option):
                yield attribute, replace(annotation, default=annotation.read(body[attribute]))
            else:
                kind = eval(annotation, scope, dict(body)) if isinstance(annotation, str) else annotation
                yield attribute, make_option(attribute, kind, body.get(attribute, ...))
        except (ValueError, NameError) as error:
            raise PipelineError(f"{cls.__name__}.{attribute} cannot be an option: {error}") from error
