"""Penalties on many runs at once: the weights are rows of a matrix, and each run has hyperparameters of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import grad

from thalweg.optim._executors.rows import on_rows
from thalweg.optim._weights import by_units
from thalweg.penalty._places import Place
from thalweg.penalty._technique import PenaltyTechnique

__all__ = ["constrained", "gradients"]


def gradients(
    technique: PenaltyTechnique,
    rows: Tensor,
    values: Sequence[Mapping[str, float]],
    places: Sequence[Place],
) -> Tensor:
    """Return the penalty's gradient of each row, 0 outside its weights; a row's bits do not depend on the others.

    Args:
        technique: one that is added to the loss.
        rows: trained parameters, shape ``(runs, parameters)``.
        values: every hyperparameter, one mapping a row.
        places: of the weights in a row; see `places`.

    Returns:
        Of the shape and type of ``rows``.
    """
    penalised = torch.zeros(rows.shape[1], dtype=torch.bool, device=rows.device)
    for place in places:
        penalised[place.columns] = True
    # A penalty is a sum over weights, so its gradient is taken of all that a row holds at once.
    (found,) = on_rows(technique, [rows], values, of=grad)
    return torch.where(penalised, found, 0.0)


def constrained(
    technique: PenaltyTechnique,
    rows: Tensor,
    values: Sequence[Mapping[str, float]],
    places: Sequence[Place],
) -> Tensor:
    """Return rows whose weights keep to the constraint; a row's bits do not depend on the others.

    Args:
        technique: one that is applied after the step.
        rows, values, places: as for `gradients`.

    Returns:
        Of the shape and type of ``rows``.
    """
    found = rows.clone()
    for place in places:
        mine = rows[:, place.columns].reshape(len(rows), *place.shape)
        ours = found[:, place.columns].view(len(rows), *place.shape)
        for units, out in zip(*(by_units(x, place.transposed, axis=1) for x in (mine, ours)), strict=True):
            out.copy_(on_rows(technique, [units], values)[0])
    return found
