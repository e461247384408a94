"""What a schedule is: a pure function from the step to a multiplier of the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from thalweg.errors import InputError
from thalweg.technique import Ingredient, Technique

__all__ = ["Schedule", "ScheduleTechnique", "schedule"]


@dataclass(frozen=True, repr=False)
class ScheduleTechnique(Technique):
    """A schedule's formula. Call it to say how long it lasts and with which hyperparameters.

    ``steps`` is a whole number of steps, or a share of the run below 1, or None: what the run has left.

    Attributes:
        endless: the formula does not depend on how long it lasts.
    """

    endless: bool = False

    def __call__(self, steps: float | None = None, **values: Any) -> Schedule:  # type: ignore[override]
        return Schedule((Ingredient(self, values if steps is None else {"steps": steps, **values}),))


@dataclass(frozen=True)
class Schedule:
    """Schedules one after the other; ``>>`` appends. Call it with a step, counted from 0.

    Each part counts its own steps from 0. After its last step the last part's final multiplier stays.
    There is no counter inside, so there is nothing to restore.

    >>> from thalweg import schedule
    >>> rate = schedule.warmup(4) >> schedule.cosine(8)
    >>> [round(rate(step), 3) for step in (0, 3, 4, 8, 12, 99)]
    [0.25, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    parts: tuple[Ingredient, ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            steps = dict(part.resolved()).get("steps")
            if steps is not None and not (0 < steps < 1 or (steps >= 1 and steps == int(steps))):
                raise InputError(
                    f"steps of {part.name} takes a whole number of steps or a share of the run below 1, not {steps!r}"
                )

    @property
    def name(self) -> str:
        """The parts' names, joined by ``>>``."""
        return " >> ".join(part.name for part in self.parts)

    def __rshift__(self, other: Schedule) -> Schedule:
        return Schedule(self.parts + other.parts)

    def __repr__(self) -> str:
        return " >> ".join(_show(part) for part in self.parts)

    def resolved(self, total: int | None = None) -> Schedule:
        """Return the schedule with its defaults filled in and, given the run's steps, its lengths.

        Parts without a length share what the others leave.

        Raises:
            InputError: the lengths add up to more than the run has.
        """
        parts = [part.resolved() for part in self.parts]
        if total is None:
            return Schedule(tuple(parts))
        lengths: list[Any] = [dict(part).get("steps") for part in parts]
        lengths = [round(n * total) if n is not None and n < 1 else n for n in lengths]
        left = total - sum(int(n) for n in lengths if n is not None)
        if left < 0:
            raise InputError(f"the schedule {self} lasts {total - left} steps, and the run has {total}")
        if None in lengths:
            shares = np.diff(np.linspace(0, left, lengths.count(None) + 1).round()).astype(int).tolist()
            lengths = [shares.pop(0) if n is None else int(n) for n in lengths]
        timed = zip(parts, lengths, strict=True)
        return Schedule(tuple(part.resolved({"steps": int(n)}) for part, n in timed if n > 0))

    def __call__(self, step: int) -> float:
        """Return the multiplier at ``step``, counted from 0.

        Raises:
            InputError: a part whose end matters has no length in steps.
        """
        for i, part in enumerate(self.parts):
            technique, values = part.technique, dict(part.resolved())
            steps: Any = values.pop("steps", None)
            last = i == len(self.parts) - 1
            endless = last and isinstance(technique, ScheduleTechnique) and technique.endless
            if not endless and (steps is None or steps < 1):
                raise InputError(f"say how many steps {part.name} lasts, as in {part.name}(1000)")
            if last or step < steps:
                at = step if endless else min(step, steps)
                return float(technique.formula(at, steps=steps, **values))
            step -= steps
        return 1.0

    def multipliers(self, total: int) -> np.ndarray:
        """Return the multipliers of a run of ``total`` steps, float64, shape ``(total,)``."""
        return _multipliers(self, total)


@cache
def _multipliers(schedule: Schedule, total: int) -> np.ndarray:
    resolved = schedule.resolved(total)
    return np.array([resolved(step) for step in range(total)])


def _show(part: Ingredient) -> str:
    given = [(name, value) for name, value in part.values if value is not None]
    words = [repr(value) if name == "steps" else f"{name}={value!r}" for name, value in given]
    return f"{part.name}({', '.join(words)})" if words else part.name


def schedule(
    *, source: str, endless: bool = False, generalises: tuple[str, ...] = ()
) -> Callable[[Callable[..., float]], ScheduleTechnique]:
    """Declare the decorated formula a schedule.

    The formula takes the step counted from 0; by keyword ``steps``, how many the part lasts, and its
    hyperparameters with their defaults. It returns the multiplier.
    """

    def declare(formula: Callable[..., float]) -> ScheduleTechnique:
        return ScheduleTechnique(
            kind="schedule", formula=formula, source=source, generalises=generalises, endless=endless
        )

    return declare
