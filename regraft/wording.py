"""English that messages have in common."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """`1 node`, `2 nodes`, `1,000 axes`: a number and what it counts; of several words the last is inflected."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """`nodes`, `batches`, `queries`, `axes`."""
    if noun.endswith("axis"):
        return f"{noun[:-2]}es"
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
