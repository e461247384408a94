"""What a study's records say by now, read a little at a time: rows that are there never change."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path
from typing import Any

from thalweg.record import Entry, RunRecord, Store, StoreError, is_held

__all__ = ["Reader"]


class Reader:
    """A study's records as they come.

    Args:
        directory: the study's; it, or the study in it, may not be there yet.

    Attributes:
        names: of recipes, in the user's order.
        facts: task, protocol, verdict and progress; None where they are not there.
        entries: why runs are made.
        runs: those that are there, by identity.
        courses: what has been made of runs, for `thalweg.watch.state` to keep.
        problem: why nothing can be read, in a sentence; empty where it can.
        there: whether there are records to read.
        held: whether a process writes them; None if that cannot be known.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.lock = threading.Lock()
        self._read_at = -math.inf
        self._forget()

    def _forget(self) -> None:
        self.names: list[str] = []
        self.facts: dict[str, Any] = {}
        self.entries: list[Entry] = []
        self.runs: dict[str, RunRecord] = {}
        self.courses: dict[Any, Any] = {}
        self.problem, self.there = "", False
        self.held: bool | None = False
        self._place = 0

    def read(self, least: float = 0.5) -> None:
        """Read what is new, unless that was done less than ``least`` seconds ago; to be called with the lock."""
        now = time.monotonic()
        if now - self._read_at < least:
            return
        self._read_at = now
        if not os.path.exists(self.directory / "study.db"):  # noqa: PTH110 – Path.exists raises for long names
            self._forget()
            return
        self.held = is_held(self.directory)
        try:
            with Store(self.directory, checked=self._place == 0) as store:
                self._take(store)
        except StoreError as error:
            self.problem = str(error)

    def _take(self, store: Store) -> None:
        begun = store.get("environment")  # which says when
        if self.facts.get("environment", begun) not in (None, begun):  # another study, in the place of the one before
            held = self.held
            self._forget()
            self.held = held
        names = ("task", "protocol", "verdict", "progress", "lottery", "environment")
        self.facts = {name: store.get(name) for name in names}
        self.names = [recipe.name for recipe in store.recipes()]
        self.entries = store.entries()
        new, self._place = store.runs_since(self._place)
        self.runs |= new
        self.problem, self.there = "", bool(self.names or self.runs or self.facts["progress"])
