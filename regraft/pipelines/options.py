"""Typed options of passes: what a user may write, and how it prints.

A value is read from what the textual pipeline, a TOML file and Python have in common: text, numbers, booleans and
lists. `show` gives it back as text or a list of texts, which reads as the same value.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from regraft.errors import PipelineError, RegraftError, UnknownNameError
from regraft.pipelines.grammar import write_value

Shown = str | list[str]
Dims = tuple[int | str | None, ...]

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Bytes(int):
    """A number of bytes, written with a unit: `1MiB`, `512KB`, `1_000`."""

    def __str__(self) -> str:
        exact = [f"{self // unit}{name}" for name, unit in UNITS.items() if self and self % unit == 0]
        return min([*exact, f"{int(self)}"], key=len)

    __repr__ = __str__


class Shapes(dict[str, Dims]):
    """Shapes by name, written as options of their own: `{input_ids=8x128, mask=batchx128}`.

    A dimension is a number, a name, or None (`?`). Names that hold an "x" are written as a list: `{batch,max_len}`.
    """


class Kind(typing.NamedTuple):
    """One kind of option: how it is called, read and shown. `read` raises ValueError with what it expects.

    `choices` are all the values that it can have, where these are few.
    """

    text: str
    read: Callable[[Any], Any]
    show: Callable[[Any], Shown]
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Option:
    """An option of a pass.

    Attributes:
        attribute: its name in Python; `name` is the one in text.
        default: the value when it is not given; `...` when it must be.
    """

    attribute: str
    kind: Kind
    default: Any
    help: str

    @property
    def name(self) -> str:
        return self.attribute.replace("_", "-")

    @property
    def type(self) -> str:
        """What may be written, such as `bytes` or `tanh|erf`."""
        return self.kind.text

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values to choose from, where it is a choice."""
        return self.kind.choices

    @property
    def is_open(self) -> bool:
        """Whether it takes every name that no other option has."""
        return self.kind is KINDS[Shapes]

    @property
    def required(self) -> bool:
        return self.default is ...

    @property
    def default_text(self) -> str:
        """The default as it is written in a pipeline; empty where there is none."""
        return "" if self.required else write_value(self.show(self.default))

    def read(self, value: Any) -> Any:
        """The typed value. Raises ValueError with what was expected."""
        return self.kind.read(value)

    def show(self, value: Any) -> Shown:
        return self.kind.show(value)


class Declared(typing.NamedTuple):
    """What `option` leaves in a class body until its type is known."""

    default: Any
    help: str


def check_names(
    given: Iterable[str], known: Iterable[str], owner: str, error: type[RegraftError] = PipelineError
) -> None:
    """Raise `error` for the first option that is given and `owner` does not have, with the nearest that it has."""
    names = sorted({name.replace("_", "-") for name in known})
    for name in given:
        if name.replace("_", "-") not in names:
            raise error(f"{owner}: {UnknownNameError('option', name, names)}")


def option(default: Any = ..., help: str = "") -> Any:
    """Declare an option of a pass: `max_bytes: Bytes = option("1MiB", "bytes the file may grow by")`."""
    return Declared(default, help)


def make_option(attribute: str, annotation: Any, declared: Any) -> Option:
    """The option that an annotated attribute of a pass declares. Raises ValueError for a bad default."""
    if not isinstance(declared, Declared):
        declared = Declared(declared, "")
    kind = kind_of(annotation)
    default = declared.default if declared.default is ... else kind.read(declared.default)
    return Option(attribute, kind, default, declared.help)


def kind_of(annotation: Any) -> Kind:
    """The kind of option that a type annotation stands for. Raises ValueError for a type that options cannot have."""
    if annotation in KINDS:
        return KINDS[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _literal(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return _list(kind_of(arguments[0]))
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return _optional(kind_of(next(a for a in arguments if a is not type(None))))
    raise ValueError(f"{annotation!r} is not a type of options; use one of {', '.join(k.text for k in KINDS.values())}")


def _read_int(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(_\d+)*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise ValueError(f"{value!r} is not a whole number")


def _read_float(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"{value!r} is not a number")
    return number


def _read_bool(value: Any) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ValueError(f"{value!r} is not true or false")


def _read_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is not text")


def _read_bytes(value: Any) -> Bytes:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Bytes(value)
    match = re.fullmatch(r"(\d+(?:_\d+)*(?:\.\d+)?)\s*([KMGT]i?B|B)?", value, re.I) if isinstance(value, str) else None
    if match:
        unit = next((n for name, n in UNITS.items() if name.lower() == (match[2] or "").lower()), 1)
        whole, _, fraction = match[1].replace("_", "").partition(".")
        count = int(whole) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        if not fraction or unit > 1:
            return Bytes(count)
    raise ValueError(f"{value!r} is not a number of bytes, such as 1MiB, 512KB or 1_000")


def _read_dims(value: Any) -> Dims:
    if isinstance(value, str):
        value = value.split("x")
    if isinstance(value, int):
        value = [value]
    if not isinstance(value, Iterable):
        raise ValueError(f"{value!r} is not a shape, such as 8x128 or batchx128")
    return tuple(_read_dim(dim) for dim in value)


def _read_dim(dim: Any) -> int | str | None:
    if dim is None or dim == "?":
        return None
    if isinstance(dim, str) and dim.strip().isdecimal():
        return int(dim)
    if isinstance(dim, str) and dim.strip() and not dim.strip().startswith("-"):
        return dim.strip()
    if isinstance(dim, int) and not isinstance(dim, bool) and dim >= 0:
        return dim
    raise ValueError(f"{dim!r} is not a dimension; write a number, a name or ?, as in 8x128 or batchx?")


def show_dims(dims: Dims) -> Shown:
    """A shape as `8x128`, or as a list where a name holds an "x"."""
    shown = ["?" if dim is None else str(dim) for dim in dims]
    ambiguous = not dims or any("x" in dim for dim in shown)
    return shown if ambiguous else "x".join(shown)


def _read_shapes(value: Any) -> Shapes:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} does not name shapes; write them as input=8x128")
    return Shapes({_read_text(name): _read_dims(dims) for name, dims in value.items()})


def _show_shapes(shapes: Shapes) -> Shown:
    return [f"{name}={show_dims(dims)}" for name, dims in shapes.items()]


def _literal(values: tuple[Any, ...]) -> Kind:
    by_text = {str(value): value for value in values}

    def read(value: Any) -> Any:
        if str(value) not in by_text:
            raise ValueError(f"{value!r} is not one of {', '.join(by_text)}")
        return by_text[str(value)]

    return Kind("|".join(by_text), read, str, values)


def _list(item: Kind) -> Kind:
    def read(value: Any) -> tuple[Any, ...]:
        many = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        return tuple(item.read(v) for v in (value if many else [value]))

    return Kind(f"{{{item.text},...}}", read, lambda values: [str(item.show(value)) for value in values])


def _optional(kind: Kind) -> Kind:
    return Kind(
        f"{kind.text}|none",
        lambda value: None if value is None or value == "none" else kind.read(value),
        lambda value: "none" if value is None else kind.show(value),
    )


KINDS: dict[Any, Kind] = {
    int: Kind("int", _read_int, str),
    float: Kind("float", _read_float, repr),
    bool: Kind("true|false", _read_bool, lambda value: str(value).lower()),
    str: Kind("text", _read_text, str),
    Bytes: Kind("bytes", _read_bytes, str),
    Shapes: Kind("NAME=SHAPE,...", _read_shapes, _show_shapes),
}
