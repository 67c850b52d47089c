"""`make docs` makes a reference that has every public name, with what its docstring says."""

from __future__ import annotations

import html
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NewType

import pytest

import regraft
import regraft.testing

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IMPORTED = [
    (module, name)
    for page in PAGES
    for module, names in re.findall(r"^ *from (regraft[\w.]*) import ([\w, ]+)$", page.read_text("utf-8"), re.M)
    for name in names.split(", ")
]
TESTING = regraft.testing.__all__

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    pytest.importorskip("pdoc", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("reference")
    make = ["make", "docs", "--old-file", ".venv/docs", f"BIN={Path(sys.executable).parent}", f"REFERENCE={folder}"]
    subprocess.run(make, cwd=ROOT, check=True)
    return folder


def test_it_has_every_public_name(reference: Path) -> None:
    assert [name for name in regraft.__all__ if not is_there(reference, "regraft", name)] == []


def test_it_has_what_tests_of_passes_need(reference: Path) -> None:
    assert {"apply", "parse"} <= set(TESTING)
    assert [name for name in TESTING if not is_there(reference, "regraft.testing", name)] == []


def test_it_has_what_the_pages_import(reference: Path) -> None:
    assert ("regraft.runtime", "Session") in IMPORTED
    assert [found for found in IMPORTED if not is_there(reference, *found)] == []


def test_a_name_that_is_not_there_is_missed(reference: Path) -> None:
    assert not is_there(reference, "regraft.testing", "check")


def is_there(folder: Path, module: str, name: str) -> bool:
    """Whether the page of `module` has `name`, and it, or the page of its class, the first line of its docstring."""
    page = folder / f"{module.replace('.', '/')}.html"
    value = getattr(importlib.import_module(module), name)
    if isinstance(value, NewType):  # which has no docstring that Python keeps
        return f'id="{name}"' in page.read_text("utf-8")
    owner = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    home = folder / f"{owner.__module__.replace('.', '/')}.html"
    first = plain(inspect.getdoc(owner) or "no docstring").splitlines()[0]
    return f'id="{name}"' in page.read_text("utf-8") and any(first in shown(one) for one in (page, home))


def shown(page: Path) -> str:
    """The text of a page."""
    return plain(html.unescape(re.sub("<[^>]+>", "", page.read_text("utf-8"))))


def plain(text: Any) -> str:
    """`text` without what is only there for Markdown."""
    return text.replace("`", "")
