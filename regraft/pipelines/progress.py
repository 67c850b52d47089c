"""Progress bars on the terminal's error stream; nothing is imported where none is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


class Quiet:
    """Shows nothing."""

    def begin(self, name: str) -> None:
        """A pass begins."""

    def end(self) -> None:
        """The pass has ended."""

    def track(self, items: Iterable[T], total: int | None) -> Iterable[T]:
        return items


class Bars(Quiet):
    """A bar for the pipeline, and one for what a pass tracks."""

    def __init__(self, display: Progress, passes: int):
        self._display = display
        self._pipeline = display.add_task("", total=passes)
        self._name = ""

    def begin(self, name: str) -> None:
        self._name = name
        self._display.update(self._pipeline, description=name)

    def end(self) -> None:
        self._display.advance(self._pipeline)

    def track(self, items: Iterable[T], total: int | None) -> Iterable[T]:
        task = self._display.add_task(f"  {self._name}", total=total)
        try:
            yield from self._display.track(items, total=total, task_id=task)
        finally:
            self._display.remove_task(task)


@contextmanager
def bars(passes: int, shown: bool) -> Iterator[Quiet]:
    """Bars for a pipeline of `passes` passes, if `shown`; they are gone at the end."""
    if not shown:
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as display:
        yield Bars(display, passes)
