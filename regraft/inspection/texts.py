"""A difference as Markdown, and as counts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regraft.display import Table
from regraft.errors import visible
from regraft.inspection.diff import Diff
from regraft.inspection.sections import SHOWN, displayed, sections
from regraft.wording import count


def markdown(found: Diff, shown: int | None = SHOWN) -> Iterator[str]:
    """The lines of `str(found)` as headings and lists."""
    for part in displayed(found, shown):
        if isinstance(part, Table):
            yield f"### {visible(part.title)}"
            yield ""
            yield from (f"- {_code(visible(str(line)))}" for (line,) in part.rows)
            yield ""
        else:
            yield visible(part)


def stat(found: Diff) -> Iterator[tuple[str, str]]:
    """Of each kind of difference how many are gone, came, and changed."""
    for section in sections(found):
        kinds = zip(section.counts, ("removed", "added", "changed"), strict=True)
        yield section.title, ", ".join(f"{number:,} {kind}" for number, kind in kinds if number) or section.lines[0]
    yield "unchanged", count(found.unchanged, "node")


def _code(text: str) -> str:
    """`text` as code, whatever is in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return f"{'`' * (longest + 1)} {text} {'`' * (longest + 1)}" if longest else f"`{text}`"
