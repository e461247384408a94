"""A model and the average of its weights, for anyone's own training loop."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from thalweg.average._technique import AverageTechnique
from thalweg.errors import InputError, spelt
from thalweg.technique import Ingredient

__all__ = ["Averaged"]


@spelt
class Averaged(nn.Module):
    """The average of a model's weights: a copy of the model, which `update` moves towards it.

    Call it as the model; or let the model have the averaged weights for a while, by `swapped`. Buffers are the
    model's own: where there is batch norm, follow with `thalweg.average.precise_batch_norm`. The state dict has the
    keys of ``torch.optim.swa_utils.AveragedModel``, and either loads the other's.

    Args:
        model: what is trained.
        how: an average, such as ``average.ema(0.99)``; when weights are taken in, the loop decides.

    Attributes:
        module: the copy with the averaged weights.
        n_averaged: how many weights are in the average, int64, shape ``()``.

    Raises:
        InputError: something else than an average, or one that says when, as a recipe does.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import average
    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = average.Averaged(model, average.swa())
    >>> for weight in (1.0, 2.0, 6.0):
    ...     _ = model.weight.data.fill_(weight)
    ...     averaged.update()
    >>> averaged(torch.ones(1, 1)).item()
    3.0
    """

    n_averaged: torch.Tensor

    def __init__(self, model: nn.Module, how: Ingredient | AverageTechnique) -> None:
        super().__init__()
        ingredient = how() if isinstance(how, AverageTechnique) else how
        technique = ingredient.technique if isinstance(ingredient, Ingredient) else None
        if not isinstance(technique, AverageTechnique):
            raise InputError(f"Averaged takes an average, such as average.ema(0.99), not {how!r}")
        given = dict(ingredient.values)
        if early := [name for name in given if name in technique.when]:
            raise InputError(f"{early[0]} of {technique.name} is for recipes; here, call update() when it is time")
        if ranges := [name for name, value in given.items() if not isinstance(value, int | float)]:
            raise InputError(f"{ranges[0]} of {technique.name} is a range to search; give it a value")
        self.ingredient = ingredient
        self._formula = technique.formula
        self._values = technique.how(dict(ingredient.resolved()))
        self._model = (model,)  # in a tuple, so that it is no part of this module
        self.module = copy.deepcopy(model)
        self.module.requires_grad_(requires_grad=False)
        self.register_buffer("n_averaged", torch.tensor(0))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return the averaged model's output."""
        return self.module(*inputs, **named)

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's weights in; its buffers are copied."""
        (model,) = self._model
        n = int(self.n_averaged)
        for mean, p in zip(self.module.parameters(), model.parameters(), strict=True):
            new = p.to(mean.device)
            mean.copy_(self._formula(mean, new, n=n, **self._values) if n and p.is_floating_point() else new)
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
        self.n_averaged += 1

    @contextmanager
    def swapped(self) -> Iterator[nn.Module]:
        """Let the model have the averaged weights and buffers inside a ``with``, and its own again after it."""
        (model,) = self._model
        self._swap(model)
        try:
            yield model
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        ours = (*self.module.parameters(), *self.module.buffers())
        for mine, theirs in zip(ours, (*model.parameters(), *model.buffers()), strict=True):
            kept = mine.clone()
            mine.copy_(theirs)
            theirs.copy_(kept)
