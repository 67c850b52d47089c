"""Reads files, JSON, TOML and numbers from outside, each within limits. Every fault in them becomes one error of the
reader's own kind, which says what is wrong and where. Nothing else in regraft opens a file or parses a text that it did
not write itself.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType
from typing import Any

from regraft.errors import ModelError, RegraftError, nearest
from regraft.wording import count

TEXT_LIMIT = 256 * 2**20
"""Bytes of the longest text file that is read."""

DEPTH = 100
"""Levels of the deepest nesting in JSON, TOML, and the subgraphs and types of a model; protobuf parses no deeper."""

LARGEST = 2**63 - 1
"""The largest size, offset or version: the range of ONNX's own integers."""

Error = type[RegraftError]

_BESIDE = 1000  # names in a folder that are looked at, where one is not there

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """What is at `path` if that is no plain file: "a pipe"; empty for a plain file, and if nothing is there.

    Raises:
        OSError, ValueError: `path` is no path.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return ""
    return next((name for test, name in _KINDS if test(mode)), "")


def cannot_read(path: str | os.PathLike[str], problem: Exception, error: Error = ModelError) -> RegraftError:
    """The error that `path` cannot be opened; where nothing is there, with what lies beside it under a like name."""
    text = f"cannot read {path}: {getattr(problem, 'strerror', None) or problem}"
    folder, name = os.path.split(os.fspath(path))
    if not isinstance(problem, FileNotFoundError) or not os.path.isdir(folder or "."):
        return error(text)
    with os.scandir(folder or ".") as entries:
        near = nearest(name, [entry.name for entry in itertools.islice(entries, _BESIDE)])
    return error(f"{text}; did you mean '{os.path.join(folder, near)}'?" if near else text)


def open_file(path: str | os.PathLike[str], error: Error = ModelError) -> int:
    """A descriptor to read the plain file at `path`; a pipe or a device is refused, not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as problem:
        raise cannot_read(path, problem, error) from problem
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise error(f"cannot read {path}: it is {next((n for test, n in _KINDS if test(mode)), 'no file')}; name a file")


def read_bytes(path: str | os.PathLike[str], error: Error = ModelError, *, limit: int = TEXT_LIMIT) -> bytes:
    """The bytes of the file at `path`, up to `limit`."""
    with open(open_file(path, error), "rb") as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > limit else file.read(limit + 1)
        except OSError as problem:
            raise error(f"cannot read {path}: {problem.strerror}") from problem
    if max(size, len(data)) > limit:
        raise error(f"cannot read {path}: {count(size, 'byte')}, which is more than {limit:,}")
    return data


def first_bytes(path: str | os.PathLike[str], count: int, error: Error = ModelError) -> bytes:
    """The first `count` bytes of the file at `path`, or all of a shorter one."""
    with open(open_file(path, error), "rb") as file:
        return file.read(count)


def read_text(path: str | os.PathLike[str], error: Error = ModelError) -> str:
    """The text in the file at `path`."""
    try:
        return read_bytes(path, error).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"cannot read {path}: {problem}") from problem


def read_json(path: str | os.PathLike[str], error: Error = ModelError) -> Any:
    """The value in the JSON file at `path`."""
    return parse_json(read_text(path, error), f"cannot read {path}", error)


def read_toml(path: str | os.PathLike[str], error: Error = ModelError) -> dict[str, Any]:
    """The tables in the TOML file at `path`."""
    return parse_toml(read_text(path, error), f"{path}: bad TOML", error)


def parse_json(text: str | bytes, where: str, error: Error = ModelError) -> Any:
    """The value of a JSON text; an error begins with `where`."""
    return _parse(json.loads, text, where, error)


def parse_toml(text: str, where: str, error: Error = ModelError) -> dict[str, Any]:
    """The tables of a TOML text; an error begins with `where`."""
    return _parse(tomllib.loads, text, where, error)


def _parse(parse: Callable[[Any], Any], text: str | bytes, where: str, error: Error) -> Any:
    try:
        content = parse(text)
    except RecursionError as problem:
        raise error(f"{where}: nested more than {DEPTH} deep") from problem
    except ValueError as problem:  # of the syntax, of the encoding, or a number of more than 4300 digits
        raise error(f"{where}: {problem}") from problem
    if _levels(text) > DEPTH and _depth(content) > DEPTH:
        raise error(f"{where}: nested more than {DEPTH} deep")
    return content


def _levels(text: str | bytes) -> int:
    """An upper bound of the nesting, quickly: each level takes a bracket, or in TOML a dot."""
    if isinstance(text, bytes):
        return sum(text.count(one) for one in b"[{.")
    return sum(text.count(one) for one in "[{.")


def _depth(content: Any) -> int:
    """Levels of nesting, counted up to one more than `DEPTH`."""
    level, depth = [content], 0
    while level and depth <= DEPTH:
        inner = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in inner for part in (item.values() if isinstance(item, dict) else item)]
        depth += bool(inner)
    return depth


def whole(text: str, what: str, error: Error = ModelError) -> int:
    """The number from 0 to `LARGEST` that `text` writes in decimal digits."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST)) and int(text) <= LARGEST:
        return int(text)
    shown = text if len(text) <= 40 else f"{text[:20]}…, {len(text)} characters long"
    raise error(f"{what} '{shown}', which is no number from 0 to 2^63 - 1")


Form = Any
"""The required form of a value: a type; None; a tuple of forms, one of which holds; `[form]`, a list of such;
`Row(form, ...)`, a list of exactly these; `{str: form}`, an object with any keys; `{"key": form, "other?": form}`, an
object with these, of which the last may lack."""


class Row:
    """The form of a list with a form of its own at each index."""

    def __init__(self, *forms: Form):
        self.forms = forms


def check_form(value: Any, form: Form, where: str, error: Error = ModelError) -> None:
    """Raise `error` if `value`, which was read from JSON or TOML, does not have the form `form`."""
    if (problem := _misfit(value, form)) is not None:
        path, wanted = problem
        raise error(f"{where}: {path or 'the whole'} is not {wanted}")


def _misfit(value: Any, form: Form) -> tuple[str, str] | None:
    """Where `value` differs from `form`, and what is required there."""
    if type(value) is form is str:
        return None
    if isinstance(form, tuple):
        found = [_misfit(value, one) for one in form]
        return None if None in found else ("", " or ".join(map(_name, form)))
    if isinstance(form, list):
        if not isinstance(value, list):
            return "", _name(form)
        if form[0] is str and {*map(type, value)} <= {str}:
            return None
        return _first_of(zip(value, itertools.repeat(form[0])))
    if isinstance(form, Row):
        if not isinstance(value, list) or len(value) != len(form.forms):
            return "", f"a list of {len(form.forms)}"
        return _first_of(zip(value, form.forms, strict=True))
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return "", _name(form)
        if str in form:
            return _first((f".{key}", item, form[str]) for key, item in value.items())
        keys = {key.removesuffix("?"): key for key in form}
        if missing := next((key for key, said in keys.items() if key not in value and key == said), None):
            return "", f"an object with '{missing}'"
        return _first((f".{key}", value[key], form[said]) for key, said in keys.items() if key in value)
    wanted = NoneType if form is None else (int, float) if form is float else form
    wrong = not isinstance(value, wanted) or (isinstance(value, bool) and form in (int, float))
    large = isinstance(value, int) and abs(value) > LARGEST
    return ("", _name(form)) if wrong or large else None


def _first(parts: Any) -> tuple[str, str] | None:
    for path, item, form in parts:
        if (problem := _misfit(item, form)) is not None:
            return path + problem[0], problem[1]
    return None


def _first_of(items: Iterable[tuple[Any, Form]]) -> tuple[str, str] | None:
    """As `_first`, of the items of a list."""
    for i, (item, form) in enumerate(items):
        if (problem := _misfit(item, form)) is not None:
            return f"[{i}]{problem[0]}", problem[1]
    return None


def _name(form: Form) -> str:
    if isinstance(form, list | Row):
        return "a list"
    if isinstance(form, dict):
        return "an object"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false", None: "null"}.get(form, "")


def read_arrays(path: str | os.PathLike[str], error: Error = ModelError) -> dict[str, Any]:
    """The arrays in a `.npz` file, by name, or the one in a `.npy` file, by the file's; nothing is unpickled."""
    import numpy as np

    with open(open_file(path, error), "rb") as file:
        try:
            found = np.load(file, allow_pickle=False)
            return dict(found) if isinstance(found, np.lib.npyio.NpzFile) else {Path(path).stem: found}
        except MemoryError as problem:
            raise error(f"cannot read {path}: it says to hold more than fits the memory") from problem
        except Exception as problem:  # zipfile, zlib, struct and numpy have an error each for what may be damaged
            raise error(f"cannot read {path}: {problem or type(problem).__name__}") from problem
