"""Pipelines: passes in a row, written as text, as TOML or in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, TypeAlias

from regraft.errors import PipelineError
from regraft.outside import parse_toml, read_text
from regraft.pipelines.grammar import JOIN, REPEAT, PassText, StepText, parse, write_group
from regraft.pipelines.options import Shown, check_names
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.registry import passes as registry

SUFFIXES = (".toml", ".txt", ".pipeline")


ROUNDS = 10
"""How often a group is repeated at most, where nothing else is said."""


@dataclass(frozen=True, init=False)
class Repeat:
    """Passes that run again and again, until a round of them changes nothing: `repeat{rounds=4}(a,b)`.

    Args:
        passes: as `Pipeline` takes them.
        rounds: how many there are at most.

    Raises:
        PipelineError: as `Pipeline` does; fewer rounds than one.
    """

    steps: tuple[Step, ...]
    rounds: int

    def __init__(self, *passes: PassLike, rounds: int = ROUNDS):
        if rounds < 1:
            raise PipelineError(f"a group is repeated once at least, not {rounds} times")
        object.__setattr__(self, "steps", tuple(Pipeline(*passes).steps))
        object.__setattr__(self, "rounds", rounds)

    @property
    def passes(self) -> list[Pass]:
        """The passes of a round."""
        return [one for step in self.steps for one in _flat(step)]

    def __str__(self) -> str:
        options = {} if self.rounds == ROUNDS else {"rounds": str(self.rounds)}
        return write_group(REPEAT, options, map(str, self.steps))


Step = Pass | Repeat

PassLike: TypeAlias = "str | Pass | type[Pass] | Repeat | Pipeline | Iterable[PassLike]"
"""What stands for passes: a pipeline, the text of one, a pass, a class whose options all have defaults, or several."""


class Pipeline:
    """Passes in a row.

    Args:
        passes: passes, pass classes whose options all have defaults, texts, `Repeat`s, and iterables of these.

    Attributes:
        steps: the passes, and the groups that are repeated.

    Raises:
        PipelineError: a text that does not parse, or an option that a pass does not take.
        UnknownNameError: a pass that does not exist.
    """

    def __init__(self, *passes: PassLike):
        self.steps: list[Step] = [one for item in passes for one in _steps(item)]

    @property
    def passes(self) -> list[Pass]:
        """The passes, those of a group once."""
        return [one for step in self.steps for one in _flat(step)]

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

    def before(self, name: str, *passes: PassLike) -> Pipeline:
        """This pipeline with `passes` ahead of each called `name`. Raises PipelineError where there is none."""
        return self._each(name, lambda one: [*Pipeline(*passes), one])

    def replacing(self, name: str, *passes: PassLike) -> Pipeline:
        """This pipeline with `passes` in the place of each called `name`. Raises PipelineError where there is none."""
        return self._each(name, lambda one: Pipeline(*passes))

    def _each(self, name: str, put: Callable[[Pass], Iterable[Pass]]) -> Pipeline:
        if all(one.name != name for one in self.passes):
            raise PipelineError(f"there is no '{name}' in the pipeline {self}")

        def edited(step: Step) -> Any:
            if isinstance(step, Repeat):
                return Repeat(*map(edited, step.steps), rounds=step.rounds)
            return put(step) if step.name == name else step

        return Pipeline(*map(edited, self.steps))

    def to_toml(self) -> str:
        """The TOML file that reads as this pipeline, one pass a line."""
        return "".join(["pipeline = [\n", *(f"    {_toml(one)},\n" for one in self.steps), "]\n"])

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))

    def __repr__(self) -> str:
        return f"Pipeline({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(str(self))

    def __iter__(self) -> Iterator[Pass]:
        return iter(self.passes)

    def __len__(self) -> int:
        return len(self.passes)


def _flat(step: Step) -> list[Pass]:
    return step.passes if isinstance(step, Repeat) else [step]


def _steps(item: Any) -> Iterator[Step]:
    """The steps that one thing of a pipeline stands for."""
    if isinstance(item, Pass | Repeat):
        yield item
    elif isinstance(item, Pipeline):
        yield from item.steps
    elif isinstance(item, type) and issubclass(item, Pass):
        yield item()
    elif isinstance(item, str):
        yield from map(_of_text, parse(item))
    elif isinstance(item, dict):
        yield _of_table(item)
    elif isinstance(item, Iterable):
        for one in item:
            yield from _steps(one)
    else:
        raise PipelineError(f"{item!r} is no pass; write its text, a Pass, or a list of these")


def _of_text(text: StepText) -> Step:
    if isinstance(text, PassText):
        return registry.load(text.name)(**text.options)
    steps = list(map(_of_text, text.passes))
    if text.name == REPEAT:
        return _repeat(steps, text.options)
    if text.name != JOIN:
        raise PipelineError(f"'{text.name}' takes no passes in parentheses; '{REPEAT}' and '{JOIN}' do")
    passes = [one for one in steps if isinstance(one, Pass)]
    if text.options or not passes or len(passes) < len(steps):
        raise PipelineError(f"'{JOIN}' takes passes and nothing else: {JOIN}(fuse-layer-norm,fuse-gelu)")
    return reduce(add, passes)


def _repeat(passes: Any, options: dict[str, Any]) -> Repeat:
    check_names(options, ["rounds"], REPEAT)
    rounds = options.get("rounds", ROUNDS)
    if not (isinstance(rounds, int) or (isinstance(rounds, str) and rounds.isdecimal())):
        raise PipelineError(f"'rounds' of '{REPEAT}' is a number, not {rounds!r}")
    return Repeat(passes, rounds=int(rounds))


def _of_table(table: dict[str, Any]) -> Step:
    options = dict(table)
    if REPEAT in options and "pass" not in options:
        return _repeat(options.pop(REPEAT), options)
    name = options.pop("pass", None)
    if not isinstance(name, str):
        raise PipelineError(f'{table} names no pass; write {{pass = "NAME", OPTION = VALUE}}')
    return registry.load(name)(**options)


def _toml(one: Step) -> str:
    if isinstance(one, Repeat):
        rounds = f", rounds = {one.rounds}" if one.rounds != ROUNDS else ""
        return f"{{{REPEAT} = [{', '.join(map(_toml, one.steps))}]{rounds}}}"
    options = one.shown_options()
    if not options or "pass" in options:
        return _toml_value(str(one))
    pairs = [("pass", one.name), *options.items()]
    return "{" + ", ".join(f"{_toml_value(key)} = {_toml_value(value)}" for key, value in pairs) + "}"


def _toml_value(value: Shown) -> str:
    """TOML's strings are JSON's, but for the delete character, which it wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
