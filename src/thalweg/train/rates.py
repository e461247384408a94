"""The learning rates of many runs, each by its own schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.schedule import Schedule

__all__ = ["Rates"]


class Rates:
    """Every run's multipliers of the learning rate.

    Args:
        schedules: one a run.
        totals: each run's steps.

    Attributes:
        seen: of schedules that follow a metric, by row: what they have made of it; see `Schedule.observe`.
    """

    def __init__(self, schedules: Sequence[Schedule], totals: Sequence[int]) -> None:
        pairs = list(zip(schedules, totals, strict=True))
        self.following = {i: s.resolved(total) for i, (s, total) in enumerate(pairs) if s.feedback}
        self.seen: dict[int, Any] = {i: schedule.start() for i, schedule in self.following.items()}
        self.fixed = {i: s.multipliers(total) for i, (s, total) in enumerate(pairs) if not s.feedback}

    def at(self, steps: Sequence[int]) -> np.ndarray:
        """Return each run's multiplier at its step, counted from 0; shape ``(runs,)``."""
        return np.array(
            [
                self.fixed[i][step] if i in self.fixed else self.following[i](step, self.seen[i])
                for i, step in enumerate(steps)
            ]
        )

    def observe(self, row: int, metric: float, step: int) -> None:
        """Take a run's metric after ``step`` steps; lower is better."""
        if row in self.following:
            self.seen[row] = self.following[row].observe(self.seen[row], metric, step)

    def see(self, row: int, seen: Any) -> None:
        """Give a run's schedule what it had seen; lists will do for tuples."""
        if row in self.following:
            self.seen[row] = tuple(map(tuple, seen))
