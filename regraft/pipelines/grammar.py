"""The text of a pipeline, and back: `strip-dropout, fold-constants{max-bytes=1MiB}, lower-gelu{form=tanh}`.

    pipeline := [pass ("," pass)*]
    pass     := word ["{" [option ("," option)*] "}"]
    option   := word "=" value
    value    := word | "{" [value ("," value)*] "}"
    word     := characters other than  , = { } " \\  and white space, or any in double quotes (with \\" and \\\\)

White space between these means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from regraft.errors import PipelineError

Value = str | list[Any]
T = TypeVar("T")

_WORD = re.compile(r'[^,={}"\\\s]+|"((?:[^"\\]|\\["\\])*)"')
_SPACE = re.compile(r"\s*")
_CONTEXT = 40


class PassText(NamedTuple):
    """One pass as written: its name, and its options as text or lists of text."""

    name: str
    options: dict[str, Value]


def parse(text: str) -> list[PassText]:
    """The passes that `text` names. Raises PipelineError, which shows with ^ where the text goes wrong."""
    scanner = _Scanner(text)
    passes = [] if scanner.at_end() else scanner.many(scanner.one_pass)
    if not scanner.at_end():
        raise scanner.error("expected ',' or the end")
    return passes


def write(passes: Iterable[PassText]) -> str:
    """The text of `passes`, which parses as the same."""
    return ",".join(write_pass(*one) for one in passes)


def write_pass(name: str, options: Mapping[str, Value]) -> str:
    """The text of one pass."""
    inner = ",".join(f"{_quote(key)}={write_value(value)}" for key, value in options.items())
    return _quote(name) + (f"{{{inner}}}" if inner else "")


def write_value(value: Value) -> str:
    """Text as it is or quoted; a list in braces."""
    return _quote(value) if isinstance(value, str) else f"{{{','.join(map(write_value, value))}}}"


def _quote(word: str) -> str:
    if (match := _WORD.fullmatch(word)) and match[1] is None:
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Scanner:
    def __init__(self, text: str):
        self.text = text
        self.at = 0

    def at_end(self) -> bool:
        self.skip()
        return self.at == len(self.text)

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, mark: str) -> bool:
        self.skip()
        found = self.text.startswith(mark, self.at)
        self.at += len(mark) * found
        return found

    def many(self, item: Callable[[], T]) -> list[T]:
        items = [item()]
        while self.take(","):
            items.append(item())
        return items

    def braced(self, item: Callable[[], T]) -> list[T]:
        """Items up to the closing brace; the opening one is taken."""
        if self.take("}"):
            return []
        items = self.many(item)
        if not self.take("}"):
            raise self.error("expected ',' or '}'")
        return items

    def one_pass(self) -> PassText:
        name = self.word("the name of a pass")
        options: dict[str, Value] = {}

        def one_option() -> None:
            start = self.at
            key = self.word("the name of an option")
            if not self.take("="):
                raise self.error(f"expected '=' after {key}")
            if key in options:
                raise self.error(f"option {key} is given twice", start)
            options[key] = self.value()

        if self.take("{"):
            self.braced(one_option)
        return PassText(name, options)

    def value(self) -> Value:
        return self.braced(self.value) if self.take("{") else self.word("a value")

    def word(self, what: str) -> str:
        self.skip()
        match = _WORD.match(self.text, self.at)
        if not match:
            unclosed = self.text.startswith('"', self.at)
            raise self.error("this quote is not closed, or holds a bad \\" if unclosed else f"expected {what}")
        self.at = match.end()
        return match[0] if match[1] is None else re.sub(r"\\(.)", r"\1", match[1])

    def error(self, problem: str, at: int | None = None) -> PipelineError:
        at = self.at if at is None else at
        before, after = self.text[:at], self.text[at:]
        left = "…" * (len(before) > _CONTEXT) + before[-_CONTEXT:]
        right = after[:_CONTEXT] + "…" * (len(after) > _CONTEXT)
        shown = re.sub(r"\s", " ", f"{left}^{right}")
        return PipelineError(f"bad pipeline: {problem} at ^ (column {at + 1}): {shown}")
