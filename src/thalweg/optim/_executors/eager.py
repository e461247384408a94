"""A formula for one parameter at a time, with plain numbers for hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from thalweg.optim._technique import Optimizer

__all__ = ["update"]


def update(
    technique: Optimizer,
    p: Tensor,
    g: Tensor,
    state: Sequence[Tensor],
    scalars: Sequence[float],
    *,
    t: int,
    hyperparameters: Mapping[str, float],
) -> list[float]:
    """Update a parameter and its state in place, and return its scalars after the step.

    Args:
        technique: whose formula.
        p, g: parameter and gradient, of one shape.
        state: one tensor of that shape for each name in ``technique.state``.
        scalars: one number for each name in ``technique.scalars``.
        t: the step, counted from 1.
        hyperparameters: every hyperparameter of the formula.
    """
    new, *after = technique.formula(p, g, *state, *scalars, t=t, **hyperparameters)
    p.copy_(new)
    for kept, value in zip(state, after, strict=False):
        kept.copy_(value)
    scalars_after: list[float] = after[len(state) :]
    return scalars_after
