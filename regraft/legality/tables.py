"""Reads the tables of a TOML file into dataclasses; what is wrong is one line that names the file and the key.

A key is a field's name with dashes. A class with a method `of` makes itself from what is no table: a word, a list.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from regraft.errors import TargetError, UnknownNameError

T = TypeVar("T")


class ProfileError(TargetError):
    """A profile that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Where:
    """A key of a file, as errors name it: `mine.toml: limits.opset`."""

    file: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.key}" if self.key else self.file

    def at(self, key: str) -> Where:
        """The key inside it."""
        return Where(self.file, f"{self.key}.{key}" if self.key else key)

    def item(self, number: int) -> Where:
        """The entry of a list, counted from 1."""
        return Where(self.file, f"{self.key}[{number}]")

    def error(self, problem: object) -> ProfileError:
        """What to raise."""
        return ProfileError(f"{self}: {problem}")

    def known(self, kind: str, name: str, names: Iterable[str]) -> None:
        """Raise, with the nearest, where `name` is not among `names`."""
        names = list(names)
        if name not in names:
            raise self.error(UnknownNameError(kind, name, names))


def read(kind: Any, value: Any, where: Where) -> Any:
    """`value` as a `kind`: a dataclass, a union with None, a Literal, a dict, a tuple, or a plain type.

    Raises:
        ProfileError: it is none.
    """
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return read(next(one for one in arguments if one is not types.NoneType), value, where)
    if origin is Literal:
        if value not in arguments:
            raise where.error(f"{value!r} is not one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            return (read(arguments[0], value, where),)
        return tuple(read(arguments[0], one, where.item(i)) for i, one in enumerate(value, 1))
    if origin is dict:
        return {name: read(arguments[1], one, where.at(name)) for name, one in _table(value, where).items()}
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict) and hasattr(kind, "of"):
            return kind.of(value, where)
        return _dataclass(typing.cast(Any, kind), _table(value, where), where)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise where.error(f"{value!r} is not {_NAMES[kind]}")
    return value


def _dataclass(kind: type[T], table: dict[str, Any], where: Where) -> T:
    fields = _fields(typing.cast(Any, kind))
    for key in table:
        where.known("key", key, fields)
    for key, (field, _) in fields.items():
        if key not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise where.error(f"key '{key}' is missing")
    made = kind(**{fields[key][0].name: read(fields[key][1], one, where.at(key)) for key, one in table.items()})
    check = getattr(made, "check", None)
    if check is not None:
        check(where)
    return made


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return {
        field.name.strip("_").replace("_", "-"): (field, hints[field.name])
        for field in dataclasses.fields(kind)
        if field.init
    }


def _table(value: Any, where: Where) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise where.error(f"{value!r} is not a table, such as {{ KEY = VALUE }}")
    return value


_NAMES: dict[Any, str] = {str: "text", int: "a whole number", bool: "true or false", float: "a number"}
