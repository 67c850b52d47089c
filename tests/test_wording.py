"""One thing is `1 node`, and nowhere `1 nodes`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from regraft.wording import count

ROOT = Path(__file__).parents[1]
ROOMS = ("regraft", "passes", "frontends")
NOUNS = (
    *("arrays", "axes", "batches", "bytes", "dimensions", "elements", "groups", "heads", "initializers", "inputs"),
    *("layers", "models", "nodes", "operands", "operators", "outputs", "pairs", "pipelines", "places", "products"),
    *("rounds", "rows", "runs", "sequences", "steps", "tensors", "tokens", "trials", "tries", "values", "violations"),
)


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "node", "0 nodes"),
        (1, "node", "1 node"),
        (2, "node", "2 nodes"),
        (12345, "node", "12,345 nodes"),
        (1, "batch", "1 batch"),
        (2, "batch", "2 batches"),
        (2, "try", "2 tries"),
        (2, "array", "2 arrays"),
        (2, "query", "2 queries"),
        (2, "axis", "2 axes"),
        (2, "pass", "2 passes"),
        (1, "more output", "1 more output"),
        (3, "more output", "3 more outputs"),
    ],
)
def test_a_number_and_what_it_counts(number: int, noun: str, said: str) -> None:
    assert count(number, noun) == said


def counted(text: str) -> Iterator[tuple[int, str]]:
    """Where f-strings of a program put a number, which may be 1, before a noun of many."""
    noun = re.compile(rf" ({'|'.join(NOUNS)})\b")
    for string in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.JoinedStr)):
        for one, after in zip(string.values, string.values[1:], strict=False):
            if not isinstance(one, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            shown = ast.unparse(one.value)
            is_text = shown.isupper() or shown.endswith((".text", ".name"))
            is_real = one.format_spec is not None and "." in ast.unparse(one.format_spec)
            if noun.match(str(after.value)) and not is_text and not is_real:
                yield one.lineno, f"{{{shown}}}{after.value}"


def test_no_message_counts_by_itself() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {said}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, said in counted(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_what_counts_by_itself_is_seen() -> None:
    assert list(counted('f"{n} nodes"')) == [(1, "{n} nodes")]
    assert list(counted('f"{count(n, word)}; {MOST} nodes; {x:.2f} nodes; {n} notes"')) == []
