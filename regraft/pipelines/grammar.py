"""The text of a pipeline, and back: `strip-dropout, fold-constants{max-bytes=1MiB}, lower-gelu{form=tanh}`.

    pipeline := [step ("," step)*]
    step     := pass | pass "(" pipeline ")"
    pass     := name ["{" [option ("," option)*] "}"]
    option   := word "=" value
    value    := word | "{" [value ("," value)*] "}"
    word     := characters other than  , = { } " \\  and white space, or any in double quotes (with \\" and \\\\)
    name     := a word; one without quotes holds no ( and no )

White space between these means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from regraft.errors import PipelineError

REPEAT, JOIN = "repeat", "join"
"""The groups: passes that run until a round changes nothing; passes made of rules, which become one."""

Value = str | list[Any]
T = TypeVar("T")

_WORD = re.compile(r'[^,={}"\\\s]+|"((?:[^"\\]|\\["\\])*)"')
_NAME = re.compile(r'[^,={}()"\\\s]+|"((?:[^"\\]|\\["\\])*)"')
_SPACE = re.compile(r"\s*")
_CONTEXT = 40


class PassText(NamedTuple):
    """One pass as written: its name, and its options as text or lists of text."""

    name: str
    options: dict[str, Value]


class GroupText(NamedTuple):
    """Passes in parentheses: what is to be done with them, its options, and the passes."""

    name: str
    options: dict[str, Value]
    passes: list[Any]  # of PassText and GroupText


StepText = PassText | GroupText


def parse(text: str) -> list[StepText]:
    """The passes that `text` names. Raises PipelineError, which shows with ^ where the text goes wrong."""
    scanner = _Scanner(text)
    passes = [] if scanner.at_end() else scanner.many(scanner.one_step)
    if not scanner.at_end():
        raise scanner.error("expected ',' or the end")
    return passes


def parse_ungrouped(text: str) -> list[PassText]:
    """The same of a text that has no groups. Raises PipelineError where it has."""
    steps = parse(text)
    passes = [one for one in steps if isinstance(one, PassText)]
    if len(passes) < len(steps):
        raise PipelineError(f"'{text}' has passes in parentheses, which have no meaning here")
    return passes


def write(passes: Iterable[StepText]) -> str:
    """The text of `passes`, which parses as the same."""
    return ",".join(
        write_group(*one[:2], map(write, [[inner] for inner in one.passes]))
        if isinstance(one, GroupText)
        else write_pass(*one)
        for one in passes
    )


def write_pass(name: str, options: Mapping[str, Value]) -> str:
    """The text of one pass."""
    inner = ",".join(f"{_quote(key)}={write_value(value)}" for key, value in options.items())
    return _quote(name, _NAME) + (f"{{{inner}}}" if inner else "")


def write_group(name: str, options: Mapping[str, Value], passes: Iterable[str]) -> str:
    """The text of a group of passes, which are texts themselves."""
    return f"{write_pass(name, options)}({','.join(passes)})"


def write_value(value: Value) -> str:
    """Text as it is or quoted; a list in braces."""
    return _quote(value) if isinstance(value, str) else f"{{{','.join(map(write_value, value))}}}"


def _quote(word: str, plain: re.Pattern[str] = _WORD) -> str:
    if (match := plain.fullmatch(word)) and match[1] is None:
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

    def one_step(self) -> StepText:
        one = self.one_pass()
        if not self.take("("):
            return one
        if self.take(")"):
            return GroupText(*one, [])
        passes = self.many(self.one_step)
        if not self.take(")"):
            raise self.error("expected ',' or ')'")
        return GroupText(*one, passes)

    def one_pass(self) -> PassText:
        name = self.word("the name of a pass", _NAME)
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

    def word(self, what: str, pattern: re.Pattern[str] = _WORD) -> str:
        self.skip()
        match = pattern.match(self.text, self.at)
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
