"""What an optimizer's declaration says beside its formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.technique import Distribution, Technique

__all__ = ["Optimizer", "optimizer"]


@dataclass(frozen=True, repr=False)
class Optimizer(Technique):
    """An optimizer: one formula from ``(p, g, *state, *scalars)`` to ``(p, *state, *scalars)``.

    Attributes:
        state: names of what is kept for every element of a parameter.
        scalars: names of what is kept once for a whole group of parameters.
        start: what state and scalars are before the first step, where that is not 0.
    """

    state: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    start: Mapping[str, float] = field(default_factory=dict, compare=False)


def optimizer(
    *,
    source: str,
    space: Mapping[str, Distribution],
    state: tuple[str, ...] = (),
    scalars: tuple[str, ...] = (),
    start: Mapping[str, float] | None = None,
    generalises: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Optimizer]:
    """Declare the decorated formula an optimizer.

    The formula takes the parameter ``p``, its gradient ``g``, then state and scalars in the order declared,
    then by keyword the step ``t`` counted from 1, and the hyperparameters with their defaults; it returns the
    new ``p``, state and scalars. It may use arithmetic and the words of `_vocabulary`, nothing else.
    """

    def declare(formula: Callable[..., Any]) -> Optimizer:
        return Optimizer(
            kind="optimizer",
            formula=formula,
            source=source,
            space=dict(space),
            generalises=generalises,
            given=("t",),
            state=state,
            scalars=scalars,
            start=dict(start or {}),
        )

    return declare
