"""When training ends: a pure function from what was seen of the metric to what is seen now, and whether to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from thalweg.errors import InputError
from thalweg.technique import Distribution, Ingredient, Technique, by_name

__all__ = ["Seen", "Stop", "StopTechnique", "stop"]


class Seen(NamedTuple):
    """What was seen of the metric: plain numbers, which JSON can hold as a list.

    Attributes:
        best: the metric of the best epoch; None before the first.
        waited: epochs since.
        epoch: how many there were; the first is 1.
        higher_is_better: of the metric.
    """

    best: float | None
    waited: int
    epoch: int
    higher_is_better: bool

    @property
    def best_epoch(self) -> int:
        """The last epoch that was an improvement; 0 if there was none."""
        return self.epoch - self.waited


@dataclass(frozen=True, repr=False)
class StopTechnique(Technique):
    """A formula from ``(metric, best, waited)``, where lower is better, to ``(best, waited, stop)``.

    Attributes:
        restores: a run that it watches ends with the weights of its best epoch.
    """

    restores: bool = True

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Stop`."""
        return Stop

    def __call__(self, *positional: Any, **values: Any) -> Stop:
        """Return the ingredient; hyperparameters may stand in their place, as in ``patience(5)``."""
        return Stop(self, by_name(self, positional, values))


class Stop(Ingredient):
    """A way to stop with its hyperparameters.

    >>> from thalweg import stop
    >>> early = stop.patience(2)
    >>> seen = early.start(higher_is_better=True)
    >>> for accuracy in (0.5, 0.8, 0.7, 0.75, 0.9):
    ...     seen, now = early.observe(seen, accuracy)
    ...     if now:
    ...         break
    >>> seen.epoch, seen.best_epoch, seen.best
    (4, 2, 0.8)
    """

    technique: StopTechnique

    def start(self, *, higher_is_better: bool = False) -> Seen:
        """Return what was seen before the first epoch: nothing."""
        return Seen(None, 0, 0, higher_is_better)

    def observe(self, seen: Sequence[Any], metric: float) -> tuple[Seen, bool]:
        """Return what has been seen after an epoch, and whether training should stop here.

        Args:
            seen: of `start`, or what this returned after the epoch before; read back from JSON, a list will do.
            metric: of the epoch, a number; one that is not a number is no improvement.

        Raises:
            InputError: ``seen`` is something else, such as both that this returns, or a hyperparameter is a range.
        """
        if ranges := [name for name, value in self.values if isinstance(value, Distribution)]:
            raise InputError(f"{ranges[0]} of {self.name} is a range to search; give it a value")
        if len(seen) == 2 and isinstance(seen[0], Seen):
            raise InputError("observe returns two things, what was seen and whether to stop: seen, now = observe(…)")
        if len(seen) != len(Seen._fields):
            raise InputError(f"observe takes what start or observe returned, not {seen!r}")
        before = Seen(*seen)
        sign = -1.0 if before.higher_is_better else 1.0
        best = math.inf if before.best is None else sign * before.best
        values = {**self.technique.hyperparameters, **dict(self.values)}
        best, waited, now = self.technique.formula(sign * float(metric), best, before.waited, **values)
        kept = None if best == math.inf else sign * best
        return Seen(kept, waited, before.epoch + 1, before.higher_is_better), bool(now)


def stop(
    *,
    source: str,
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
    restores: bool = True,
) -> Callable[[Callable[..., Any]], StopTechnique]:
    """Declare the decorated formula a way to stop; see `StopTechnique` for what it takes and returns."""

    def declare(formula: Callable[..., Any]) -> StopTechnique:
        return StopTechnique(
            kind="stop", formula=formula, source=source, space=dict(space or {}), limits=dict(limits or {}),
            restores=restores,
        )  # fmt: skip

    return declare
