"""What a person sees while a study runs: lines, and one bar with the time left."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Bar", "Quiet", "Show"]


class Show(Protocol):
    """Where a study says what it does."""

    def say(self, line: str) -> None:
        """Show a line."""

    def begin(self, what: str, runs: int, epochs: int) -> None:
        """Show that ``runs`` runs start, which take ``epochs`` epochs in all."""

    def epochs(self, count: int) -> None:
        """Count epochs that are done."""

    def run(self) -> None:
        """Count a run that is done."""

    def __enter__(self) -> Show: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Quiet:
    """Says nothing."""

    def say(self, line: str) -> None:
        """See `Show`."""

    def begin(self, what: str, runs: int, epochs: int) -> None:
        """See `Show`."""

    def epochs(self, count: int) -> None:
        """See `Show`."""

    def run(self) -> None:
        """See `Show`."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Bar:
    """Lines and a progress bar on standard error; the bar counts epochs, so that it moves evenly."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[runs]}/{task.fields[of]} runs"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            transient=True,
            expand=True,
        )
        self.bar: TaskID | None = None
        self.done = 0

    def say(self, line: str) -> None:
        """See `Show`."""
        self.console.print(escape(line), soft_wrap=True)

    def begin(self, what: str, runs: int, epochs: int) -> None:
        """See `Show`."""
        if self.bar is not None:
            self.progress.remove_task(self.bar)
        self.done = 0
        self.bar = self.progress.add_task(what, total=epochs, runs=0, of=runs)

    def epochs(self, count: int) -> None:
        """See `Show`."""
        assert self.bar is not None, "begin comes first"
        self.progress.advance(self.bar, count)

    def run(self) -> None:
        """See `Show`."""
        assert self.bar is not None, "begin comes first"
        self.done += 1
        self.progress.update(self.bar, runs=self.done)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
