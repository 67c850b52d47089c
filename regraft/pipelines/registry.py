"""Finds passes, frontends, targets and recipes of models by name, wherever they are installed.

All come through entry points, ours and those of other packages alike; listing the names imports none of them.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from regraft.errors import PipelineError, RegraftError, RuleError, UnknownNameError
from regraft.pipelines.configurable import Configurable
from regraft.pipelines.frontend import Frontend
from regraft.pipelines.pass_base import Pass

T = TypeVar("T")


class Registry(Generic[T]):
    """What is known by name of one kind.

    Args:
        kind: how errors call one, such as "pass".
        plural: how they call many; entry points are in the group `regraft.<plural>`.
        base: the class that each must derive from, and whose subclasses have the attribute `name`.
    """

    def __init__(self, kind: str, plural: str, base: Any = None):
        self.kind, self.plural = kind, plural
        self._base = base
        self._found: dict[str, EntryPoint] | None = None
        self._added: dict[str, tuple[T, str]] = {}

    def names(self) -> list[str]:
        """All names, sorted. Raises RegraftError when two packages claim one."""
        return sorted({*self._entries(), *self._added})

    def load(self, name: str) -> T:
        """Import what is called `name`. Raises UnknownNameError, or RegraftError when importing fails."""
        if name in self._added:
            return self._added[name][0]
        entry = self._entries().get(name)
        if entry is None:
            raise UnknownNameError(self.kind, name, self.names())
        try:
            loaded = entry.load()
        except Exception as error:
            raise RegraftError(f"{self.kind} '{name}' of {_origin(entry)} cannot be imported: {error}") from error
        if self._base and not (isinstance(loaded, type) and issubclass(loaded, self._base) and _name(loaded) == name):
            raise RegraftError(f"{self.kind} '{name}' of {_origin(entry)} is no {self._base.__name__} of that name")
        return loaded

    def add(self, name: str, item: T, origin: str) -> None:
        """Make `item` known. Raises RegraftError when another origin has the name."""
        entry = self._entries().get(name)
        taken = self._added[name][1] if name in self._added else _origin(entry) if entry else origin
        if taken != origin:
            raise self._duplicate(name, taken, origin)
        self._added[name] = (item, origin)

    def origin(self, name: str) -> str:
        """The file or package that `name` comes from."""
        if name in self._added:
            return self._added[name][1]
        return _origin(self._entries()[name])

    def _entries(self) -> dict[str, EntryPoint]:
        if self._found is None:
            found: dict[str, EntryPoint] = {}
            for entry in entry_points(group=f"regraft.{self.plural}"):
                first = found.setdefault(entry.name, entry)
                if first.value != entry.value:
                    raise self._duplicate(entry.name, _origin(first), _origin(entry))
            self._found = found
        return self._found

    def _duplicate(self, name: str, first: str, second: str) -> RegraftError:
        return RegraftError(f"two {self.plural} named '{name}': one of {first}, one of {second}; rename one")


def _name(loaded: type[Any]) -> str:
    return getattr(loaded, "name", "")


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} ({entry.value})" if entry.dist else entry.value


passes: Registry[type[Pass]] = Registry("pass", "passes", Pass)
frontends: Registry[type[Frontend]] = Registry("frontend", "frontends", Frontend)
targets: Registry[Any] = Registry("target", "targets")
models: Registry[Any] = Registry("model", "models")


def load_file(path: str | Path) -> list[type[Configurable]]:
    """Register every pass and every target that a Python file defines.

    Raises:
        PipelineError: the file cannot be read or run, defines none, or one whose name is taken.
    """
    path = Path(path).resolve()
    module = _run_file(path)
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Configurable)
        and item.__module__ == module.__name__
        and item.name
    ]
    if not found:
        raise PipelineError(f"{path} defines no pass and no target; write a subclass of regraft.Pass with a name")
    for item in found:
        if issubclass(item, Pass):
            passes.add(item.name, item, str(path))
        else:
            targets.add(item.name, item, str(path))
    return found


class _Uncached(SourceFileLoader):
    """Leaves no bytecode beside a user's file."""

    def set_data(self, *_: Any, **__: Any) -> None:
        """Write nothing."""


def _run_file(path: Path) -> Any:
    if not path.is_file():
        raise PipelineError(f"no file of passes at {path}")
    name = f"regraft_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PipelineError(f"{path} is not a Python file")
    spec.loader = _Uncached(name, str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RuleError:
        raise  # says in which line
    except Exception as error:
        raise PipelineError(f"{path} fails: {type(error).__name__}: {error}") from error
    return module
