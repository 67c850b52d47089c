"""The page: one file that needs no server and no network. What it has of the models stands in it as JSON."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from regraft.errors import ModelError
from regraft.files.loading import load
from regraft.files.stream import write_file
from regraft.inspection.html.measured import Measured
from regraft.inspection.html.scene import Scene
from regraft.inspection.html.statistics import LIMIT
from regraft.inspection.sides import Sides, compared
from regraft.ir.gc_pause import paused
from regraft.ir.model import Model
from regraft.pipelines.dump import runs

Data = dict[str, Any]

SCRIPTS = ("graph.js", "canvas.js", "details.js", "view.js")

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""What could end a script; JSON reads the escapes as the characters."""


@paused()
def page_of_model(model: Model, name: str, limit: int = LIMIT) -> str:
    """The page of one model; weights of up to `limit` bytes are read for their statistics."""
    return page(name, [Scene([model], [name], None, limit).to_dict()])


@paused()
def page_of_diff(sides: Sides, measured: Sequence[Measured] = (), steps: Path | None = None, limit: int = LIMIT) -> str:
    """The page of two models.

    Args:
        measured: what a report says of the passes between them.
        steps: a folder of dumps between passes; the page steps through them, too.
        limit: bytes of the largest weight that is read for its statistics.

    Raises:
        ModelError: a dump cannot be read, or there are fewer than two.
    """
    scenes = [_scene(sides, measured, limit)]
    if steps is not None:
        scenes += (_scene(one, measured, limit) for one in _steps(steps))
    return page(" → ".join(sides.names), scenes)


def page(title: str, scenes: Sequence[Data]) -> str:
    """The text of the page; the first scene is shown first."""
    folder = files(__package__)
    parts = {
        "title": html.escape(title),
        "style": folder.joinpath("view.css").read_text("utf-8"),
        "script": "\n".join(folder.joinpath(name).read_text("utf-8") for name in SCRIPTS),
        "scenes": "\n".join(map(_element, scenes)),
    }
    template = folder.joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _element(scene: Data) -> str:
    name = html.escape(scene["sides"][-1])
    return f'<script type="application/json" class="scene" data-name="{name}">{script_safe(scene)}</script>'


def write_page(path: Path, text: str) -> None:
    """Write a page. Raises ModelError where that cannot be."""
    write_file(path, text.encode())


def script_safe(value: Any) -> str:
    """`value` as JSON in ASCII that may stand inside a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def _scene(sides: Sides, measured: Sequence[Measured], limit: int) -> Data:
    scene = Scene(list(sides.models), list(sides.names), (sides.found, sides.diff), limit).to_dict()
    waiting: dict[str, list[Measured]] = {}
    for one in reversed(measured):
        waiting.setdefault(one.text, []).append(one)
    for entry in scene["passes"]:
        if found := waiting.get(entry["text"]):
            entry |= found.pop()._asdict()
    return scene


def _steps(folder: Path) -> Iterator[Sides]:
    """Each dump beside the one before it."""
    last = runs(folder)[-1:] if folder.is_dir() else []
    paths = sorted((last[0] if last else folder).glob("*.onnx"))
    if len(paths) < 2:
        raise ModelError(f"{folder} has no dumps; 'regraft rewrite --dump-dir' writes them")
    before = load(paths[0], weights=False)
    for old, new in pairwise(paths):
        after = load(new, weights=False)
        yield compared(before, after, (old.stem, new.stem))
        before = after
