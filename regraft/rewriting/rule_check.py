"""What is wrong with a rule as it is written, said where its author wrote it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from regraft.errors import RuleError, UnknownNameError
from regraft.rewriting.term import Apply, Either, Term, Var, parameters, trace, walk

GIVEN = ("out", "opset")
"""What a condition and a replacement may ask for beside the names that the pattern binds."""

OF_AUTHORS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""What Python raises where a function of a rule is called with symbols that it cannot take."""


def check(
    pattern: Callable[..., Any],
    replacement: Callable[..., Any],
    where: Callable[..., Any] | None,
    declared: Collection[str],
) -> None:
    """See that a rule can be looked for, and that its functions ask for names that there are.

    Args:
        declared: the names that facts tell of, which a condition may give.

    Raises:
        RuleError: the pattern cannot be looked for; a name is bound nowhere; an operator or attribute is unknown.
    """
    term = _traced(pattern)
    if not _ends_in_operator(term):
        raise RuleError(f"{place_of(pattern)}: a pattern ends in an operator, this one does not")
    always, ever = _bound(term).union(declared), {name for one in walk(term) for name in _names(one)}.union(declared)
    if idle := [name for name in parameters(pattern) if name not in ever]:
        raise RuleError(f"{place_of(pattern)}: the pattern takes '{idle[0]}', and does not use it")
    if where is not None:
        _check_names("condition", where, always, ever)
    else:
        _check_names("replacement", replacement, always, ever)
    try:
        trace(replacement)
    except OF_AUTHORS:
        return  # it computes with numbers or attributes, which come with a match


def check_given(replacement: Callable[..., Any], asked: Iterable[str], values: Collection[str]) -> None:
    """See that all is there that `replacement` asks for, which is `needed` of it. Raises RuleError."""
    for name in asked:
        if name not in values:
            unknown = UnknownNameError("name", name, values)
            raise RuleError(
                f"{place_of(replacement)}: the replacement asks for what neither pattern nor condition gives: {unknown}"
            )


def needed(function: Callable[..., Any]) -> list[str]:
    """The parameters of `function` that have no default."""
    found = inspect.signature(function).parameters.values()
    return [
        one.name for one in found if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def place_of(function: Callable[..., Any]) -> str:
    """Where a function is written: `file:line`."""
    code = getattr(inspect.unwrap(getattr(function, "func", function)), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _traced(pattern: Callable[..., Any]) -> Term:
    try:
        return trace(pattern)
    except OF_AUTHORS as error:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).parent != _OURS]
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else place_of(pattern)
        raise RuleError(f"{place}: the pattern cannot be written in symbols: {error}") from error


_OURS = Path(__file__).parent


def _ends_in_operator(term: Term) -> bool:
    return all(map(_ends_in_operator, term.options)) if isinstance(term, Either) else isinstance(term, Apply)


def _check_names(what: str, function: Callable[..., Any], always: set[str], ever: set[str]) -> None:
    for name in needed(function):
        if name in always or name in GIVEN:
            continue
        if name in ever:
            raise RuleError(
                f"{place_of(function)}: '{name}' is bound by some alternatives of the pattern only; "
                f"give the {what} a default for it"
            )
        unknown = UnknownNameError("name", name, [*ever, *GIVEN])
        raise RuleError(f"{place_of(function)}: the {what} asks for what the pattern does not bind: {unknown}")


def _names(term: Term) -> list[str]:
    """The names that a term binds itself."""
    if isinstance(term, Var):
        return [term.name]
    return [one.name for one in term.attrs.values() if isinstance(one, Var)] if isinstance(term, Apply) else []


def _bound(term: Term | None) -> set[str]:
    """The names that every match of `term` binds."""
    if isinstance(term, Either):
        return set.intersection(*map(_bound, term.options))
    if isinstance(term, Apply):
        return set(_names(term)).union(*map(_bound, term.operands))
    return set() if term is None else set(_names(term))
