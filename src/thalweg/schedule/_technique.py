"""What a schedule is: a pure function from the step to a multiplier of the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np

from thalweg.errors import InputError
from thalweg.technique import Chain, Distribution, Ingredient, Technique, about, by_name

__all__ = ["Schedule", "ScheduleTechnique", "State", "schedule"]

State = tuple[tuple[float, ...], ...]
"""What the parts of a schedule have seen of the metric, part by part: plain numbers."""


@dataclass(frozen=True, repr=False)
class ScheduleTechnique(Technique):
    """A schedule's formula. Call it to say how long it lasts and with which hyperparameters.

    ``steps`` is a whole number of steps, or a share of the run below 1, or None: what the run has left.

    Attributes:
        endless: the formula goes on by itself, however long it is said to last.
        counts: hyperparameters that count in steps, or in shares below 1 of how long it lasts.
        state: of a formula that follows a metric, what it keeps, with the values it starts from; the multiplier is
            the first. Such a formula takes the metric and the state, and returns the state after it.
    """

    endless: bool = False
    counts: tuple[str, ...] = ()
    state: Mapping[str, float] = field(default_factory=dict, compare=False)

    def placed(self) -> tuple[str, ...]:
        """Return ``steps``, how long it lasts, where the formula has it."""
        return ("steps",) if "steps" in self.hyperparameters else ()

    def about(self, name: str, default: Any) -> str:
        """Return what an argument takes; those that count, count in steps or in shares."""
        what = {"steps": "a whole number of steps, or a share of the run below 1"}
        what |= dict.fromkeys(self.counts, "whole numbers of steps, or shares of its length below 1")
        return about(self, name, default, what.get(name, ""))

    def __call__(self, *positional: Any, **values: Any) -> Schedule:
        """Return the schedule of one part; how long it lasts may stand in its place, as in ``cosine(1000)``."""
        return Schedule((Ingredient(self, by_name(self, positional, values)),))


@dataclass(frozen=True)
class _Part:
    """A part with its numbers: what it computes with, and how long it lasts."""

    technique: ScheduleTechnique
    values: dict[str, Any]
    steps: Any

    @cached_property
    def shares(self) -> bool:
        """Whether a hyperparameter is a share of how long it lasts."""
        return any(value < 1 for name in self.technique.counts for value in _each(self.values[name]))


@dataclass(frozen=True, repr=False)
class Schedule(Chain):
    """Schedules one after the other; ``>>`` appends. Call it with a step, counted from 0.

    Each part counts its own steps from 0. After its last step the last part's final multiplier stays.
    There is no counter inside, so there is nothing to restore.

    >>> from thalweg import schedule
    >>> rate = schedule.warmup(4) >> schedule.cosine(8)
    >>> [round(rate(step), 3) for step in (0, 3, 4, 8, 12, 99)]
    [0.25, 1.0, 1.0, 0.5, 0.0, 0.0]

    A part that follows a metric is as pure: what it has seen goes in and comes out.

    >>> rate = schedule.warmup(4) >> schedule.plateau(patience=1, factor=0.5)
    >>> seen = rate.start()
    >>> for step, metric in ((10, 0.9), (20, 1.1), (30, 1.0)):
    ...     seen = rate.observe(seen, metric, step)
    >>> rate(30, seen)
    0.5
    """

    kind: ClassVar[str] = "schedule"
    what: ClassVar[str] = "a schedule"
    example: ClassVar[str] = "schedule.cosine()"

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in self.parts:
            _check(part)

    @property
    def feedback(self) -> bool:
        """Whether a part follows a metric."""
        return any(isinstance(part.technique, ScheduleTechnique) and part.technique.state for part in self.parts)

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

    def __call__(self, step: int, state: State | None = None) -> float:
        """Return the multiplier at ``step``, counted from 0.

        Args:
            step: how many steps have been taken.
            state: what has been seen of the metric, where a part follows one: `start`, then what `observe` returns.

        Raises:
            InputError: a part whose end matters has no length in steps, or one follows a metric and has no state.
        """
        found = self._at(step)
        if found is None:
            return 1.0
        i, at = found
        technique, values, steps = self._parts[i].technique, self._parts[i].values, self._parts[i].steps
        if not technique.state:
            return float(technique.formula(at, steps=steps, **values))
        if state is None:
            raise InputError(f"{technique.name} follows a metric: give what it has seen, of start() and observe()")
        return float(state[i][0])

    def start(self) -> State:
        """Return the state before any metric; ``()`` for each part that follows none."""
        return tuple(tuple(part.technique.state.values()) for part in self._parts)

    def observe(self, state: State, metric: float, step: int) -> State:
        """Return the state after a metric, lower is better, that was measured when ``step`` steps had been taken.

        The part that the last of these steps belongs to sees it; the others do not.
        """
        found = self._at(max(step - 1, 0))
        if found is None or not self._parts[found[0]].technique.state:
            return state
        i, part = found[0], self._parts[found[0]]
        seen = part.technique.formula(float(metric), *state[i], steps=part.steps, **part.values)
        return (*state[:i], tuple(seen), *state[i + 1 :])

    def multipliers(self, total: int) -> np.ndarray:
        """Return the multipliers of a run of ``total`` steps, float64, shape ``(total,)``.

        Raises:
            InputError: a part follows a metric.
        """
        return _multipliers(self, total)

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        found = []
        for part in self.parts:
            values = dict(part.resolved())
            assert isinstance(part.technique, ScheduleTechnique)
            found.append(_Part(part.technique, values, values.pop("steps", None)))
        return tuple(found)

    def _at(self, step: int) -> tuple[int, int] | None:
        """Return which part a step belongs to, and its number there; None where there is no part."""
        for i, part in enumerate(self._parts):
            last = i == len(self._parts) - 1
            endless = last and part.technique.endless
            if (not endless or part.shares) and (part.steps is None or part.steps < 1):
                name = part.technique.name
                raise InputError(f"say how many steps {name} lasts, as in {name}(1000)")
            if last or step < part.steps:
                return i, step if endless else min(step, part.steps)
            step -= part.steps
        return None


@cache
def _multipliers(schedule: Schedule, total: int) -> np.ndarray:
    resolved = schedule.resolved(total)
    return np.array([resolved(step) for step in range(total)])


def _each(value: Any) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _check(part: Ingredient) -> None:
    """Refuse what a schedule cannot compute with."""
    assert isinstance(part.technique, ScheduleTechnique)
    values = dict(part.resolved())
    steps = values.get("steps")
    if steps is not None and not (0 < steps < 1 or (steps >= 1 and steps == int(steps))):
        raise InputError(
            f"steps of {part.name} takes a whole number of steps or a share of the run below 1, not {steps!r}"
        )
    for name in part.technique.counts:
        if not all(0 < value < 1 or (value >= 1 and value == int(value)) for value in _each(values[name])):
            raise InputError(
                f"{name} of {part.name} takes whole numbers of steps or shares of its length below 1, "
                f"not {values[name]!r}"
            )


def _show(part: Ingredient) -> str:
    given = [(name, value) for name, value in part.values if value is not None]
    words = [repr(value) if name == "steps" else f"{name}={value!r}" for name, value in given]
    return f"{part.name}({', '.join(words)})" if words else part.name


def schedule(
    *,
    source: str,
    endless: bool = False,
    counts: tuple[str, ...] = (),
    limits: Mapping[str, str] | None = None,
    state: Mapping[str, float] | None = None,
    space: Mapping[str, Distribution] | None = None,
    generalises: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], ScheduleTechnique]:
    """Declare the decorated formula a schedule.

    The formula takes the step counted from 0; by keyword ``steps``, how many the part lasts, and its
    hyperparameters with their defaults. It returns the multiplier. For ``state`` see `ScheduleTechnique`.
    """

    def declare(formula: Callable[..., Any]) -> ScheduleTechnique:
        return ScheduleTechnique(
            kind="schedule", formula=formula, source=source, space=space or {}, generalises=generalises,
            endless=endless, counts=counts, limits=limits or {}, state=state or {},
        )  # fmt: skip

    return declare
