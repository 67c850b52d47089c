"""What the shell offers at a tab: names of passes, targets and frontends, and in braces their options.

Names come from the entry points, and import nothing; options import the pass or the target that has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

if TYPE_CHECKING:
    from regraft.pipelines.configurable import Configurable

Kind = Literal["passes", "targets", "frontends"]

VARIABLE = "_REGRAFT_COMPLETE"
"""Is set where the shell asks for completions."""

GROUPS = ("join(", "repeat(")


def complete_passes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of passes."""
    return _items("", _names("passes"), incomplete)


def complete_pipeline(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The pass of a pipeline that is being written, or one of its options; else a file."""
    return _text("passes", [*_names("passes"), *GROUPS], incomplete)


def complete_target(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A target, or one of its options; else a file, its profile."""
    return _text("targets", _names("targets"), incomplete)


def complete_target_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of targets."""
    return _items("", _names("targets"), incomplete)


def complete_frontends(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of frontends."""
    return _items("", _names("frontends"), incomplete)


def _names(kind: Kind) -> list[str]:
    """The names that the registry has, which would take long to import."""
    return sorted({entry.name for entry in entry_points(group=f"regraft.{kind}")})


def _text(kind: Kind, names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """What may stand at the end of a text such as `fuse-gelu,lower-gelu{form=`."""
    if found := re.search(r"([^,(){}\s]+)\{([^{}]*)$", incomplete):
        name, inner = found.groups()
        before, comma, last = inner.rpartition(",")
        begin = f"{incomplete[: found.start(2)]}{before}{comma}"
        return _items(begin, _options(kind, name, last), last)
    last = re.split(r"[,(]", incomplete)[-1]
    items = _items(incomplete[: len(incomplete) - len(last)], names, last)
    return items or [CompletionItem(incomplete, type="file")]


def _options(kind: Kind, of: str, last: str) -> list[str]:
    """The options that may follow, or the values of the one that is named."""
    from regraft.pipelines import registry

    found: type[Configurable] = getattr(registry, kind).load(of)
    name, equals, _ = last.partition("=")
    if not equals:
        sizes = ["batch=", "sequence="] if any(one.is_open for one in found.options()) else []
        return [*(f"{one.name}=" for one in found.options() if not one.is_open), *sizes]
    shown = next((one.type for one in found.options() if one.name == name), "")
    return [f"{name}={value}" for value in shown.split("|") if "|" in shown]


def _items(begin: str, words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{begin}{word}") for word in words if word.startswith(incomplete)]


class Bash(BashComplete):
    """Bash's completion, which takes `a{b=c` for three words, and replaces the last of them."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        self.begin = ""
        if args[-1:] == ["="] or incomplete == "=":
            words = [*args, incomplete] if incomplete == "=" else args
            if len(words) > 1 and "{" in words[-2]:
                self.begin = f"{words[-2]}="
                return words[:-2], self.begin + ("" if incomplete == "=" else incomplete)
        return args, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.removeprefix(self.begin)}"


add_completion_class(Bash)
