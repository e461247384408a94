"""What a study writes of itself while it runs, for those who watch: one small row, now and then."""

from __future__ import annotations

import os
import time
from collections import deque
from types import TracebackType
from typing import Any

from thalweg.record import Store
from thalweg.study.engines.lanes import Course
from thalweg.study.progress import Show

__all__ = ["Live"]

SECONDS = 1.0
"""Between two writes, at least."""

SHARE = 0.01
"""Of the time that writing may take."""


class Live:
    """Shows what it is told, as `Show` does, and keeps it in the study's store under ``progress``.

    A write waits until a second has passed since the last one, and a hundred times what that one took.

    Args:
        show: what else shows it.
        store: of the study, open to write.
    """

    def __init__(self, show: Show, store: Store) -> None:
        self.show, self.store = show, store
        self.said: deque[str] = deque(maxlen=8)
        self.facts: dict[str, Any] = {}
        self.running: dict[str, Course] = {}
        self.due, self.unwritten = 0.0, False

    def say(self, line: str) -> None:
        """See `Show`."""
        self.show.say(line)
        self.said.append(line)
        self.unwritten = True

    def begin(self, what: str, runs: int, epochs: int) -> None:
        """See `Show`."""
        self.show.begin(what, runs, epochs)
        self.facts = {
            "what": what, "runs": runs, "runs_done": 0, "epochs": epochs, "epochs_done": 0, "began": time.time(),
            "process": os.getpid(),
        }  # fmt: skip
        self.running = {}
        self.write()

    def epochs(self, count: int) -> None:
        """See `Show`."""
        self.show.epochs(count)
        self.facts["epochs_done"] += count
        self._tell()

    def run(self) -> None:
        """See `Show`."""
        self.show.run()
        self.facts["runs_done"] += 1
        self._tell()

    def ended(self, identity: str) -> None:
        """Forget a run's course: its record has it."""
        self.running.pop(identity, None)

    def courses(self, found: list[Course]) -> None:
        """Take how far some runs are."""
        self.running.update({course["run"]: course for course in found})
        self._tell()

    def _tell(self) -> None:
        if time.perf_counter() >= self.due:
            self.write()

    def write(self) -> None:
        """Write what is known now."""
        started = time.perf_counter()
        now = {"at": time.time(), "said": list(self.said), "courses": list(self.running.values())}
        self.store.put("progress", {**self.facts, **now})
        self.unwritten, ended = False, time.perf_counter()
        self.due = ended + max(SECONDS, (ended - started) / SHARE)

    def __enter__(self) -> Live:
        self.show.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.unwritten:  # what was said last stays to be read
            self.write()
        self.show.__exit__(kind, error, trace)
