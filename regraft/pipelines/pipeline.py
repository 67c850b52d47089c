"""Pipelines: passes in a row, written as text, as TOML or in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from regraft.errors import PipelineError
from regraft.outside import parse_toml, read_text
from regraft.pipelines.grammar import parse
from regraft.pipelines.options import Shown
from regraft.pipelines.pass_ import Pass
from regraft.pipelines.registry import passes as registry

SUFFIXES = (".toml", ".txt", ".pipeline")


class Pipeline:
    """Passes in a row.

    Args:
        passes: passes, pass classes whose options all have defaults, texts, and iterables of these.

    Raises:
        PipelineError: a text that does not parse, or an option that a pass does not take.
        UnknownNameError: a pass that does not exist.
    """

    def __init__(self, *passes: Any):
        self.passes: list[Pass] = [one for item in passes for one in _passes(item)]

    @classmethod
    def parse(cls, text: str) -> Pipeline:
        """The pipeline of a text such as `strip-dropout,fold-constants{max-bytes=1MiB}`."""
        return cls(text)

    @classmethod
    def read(cls, source: str | Path) -> Pipeline:
        """The pipeline of a text, or of the file that it names: TOML, or text in .txt or .pipeline."""
        if not isinstance(source, Path) and not source.strip().endswith(SUFFIXES):
            return cls.parse(source)
        path = Path(source)
        text = read_text(path, PipelineError)
        try:
            return cls.from_toml(text) if path.suffix == ".toml" else cls.parse(text)
        except PipelineError as error:
            raise PipelineError(f"{path}: {error}") from error

    @classmethod
    def from_toml(cls, text: str) -> Pipeline:
        """The pipeline of `pipeline = ["strip-dropout", {pass = "fold-constants", max-bytes = "1MiB"}]`."""
        table = parse_toml(text, "bad TOML", PipelineError)
        if unknown := table.keys() - {"pipeline"}:
            raise PipelineError(f"unknown key '{min(unknown)}'; a pipeline file has the key 'pipeline' only")
        return cls(table.get("pipeline", []))

    def without(self, name: str) -> Pipeline:
        """This pipeline without the passes called `name`. Raises PipelineError where there is none."""
        return self.replacing(name)

    def before(self, name: str, *passes: Any) -> Pipeline:
        """This pipeline with `passes` ahead of each called `name`. Raises PipelineError where there is none."""
        return self._each(name, lambda one: [*Pipeline(*passes), one])

    def replacing(self, name: str, *passes: Any) -> Pipeline:
        """This pipeline with `passes` in the place of each called `name`. Raises PipelineError where there is none."""
        return self._each(name, lambda one: Pipeline(*passes))

    def _each(self, name: str, put: Callable[[Pass], Iterable[Pass]]) -> Pipeline:
        if all(one.name != name for one in self.passes):
            raise PipelineError(f"there is no '{name}' in the pipeline {self}")
        return Pipeline(*(put(one) if one.name == name else one for one in self.passes))

    def to_toml(self) -> str:
        """The TOML file that reads as this pipeline, one pass a line."""
        return "".join(["pipeline = [\n", *(f"    {_toml(one)},\n" for one in self.passes), "]\n"])

    def __str__(self) -> str:
        return ",".join(map(str, self.passes))

    def __repr__(self) -> str:
        return f"Pipeline({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self.passes == other.passes

    def __hash__(self) -> int:
        return hash(str(self))

    def __iter__(self) -> Iterator[Pass]:
        return iter(self.passes)

    def __len__(self) -> int:
        return len(self.passes)


def _passes(item: Any) -> Iterator[Pass]:
    """The passes that one thing of a pipeline stands for."""
    if isinstance(item, Pass):
        yield item
    elif isinstance(item, type) and issubclass(item, Pass):
        yield item()
    elif isinstance(item, str):
        for name, options in parse(item):
            yield registry.load(name)(**options)
    elif isinstance(item, dict):
        yield _of_table(item)
    elif isinstance(item, Iterable):
        for one in item:
            yield from _passes(one)
    else:
        raise PipelineError(f"{item!r} is no pass; write its text, a Pass, or a list of these")


def _of_table(table: dict[str, Any]) -> Pass:
    options = dict(table)
    name = options.pop("pass", None)
    if not isinstance(name, str):
        raise PipelineError(f'{table} names no pass; write {{pass = "NAME", OPTION = VALUE}}')
    return registry.load(name)(**options)


def _toml(one: Pass) -> str:
    options = one.shown_options()
    if not options or "pass" in options:
        return _toml_value(str(one))
    pairs = [("pass", one.name), *options.items()]
    return "{" + ", ".join(f"{_toml_value(key)} = {_toml_value(value)}" for key, value in pairs) + "}"


def _toml_value(value: Shown) -> str:
    """TOML's strings are JSON's, but for the delete character, which it wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
