"""The divergence of weights that are distributions from their prior, added to the gradients of many runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from thalweg.dropout import Dropout, kl, warm_up
from thalweg.recipe import Recipe
from thalweg.train.step import Executor

__all__ = ["Divergence"]


class Divergence:
    """What a recipe whose dropout is variational adds to the loss; nothing for others.

    Args:
        recipes: resolved, one a run; they share the kind of dropout.
        models: the rows.
        epoch: steps of an epoch.
        examples: of the training data.
    """

    def __init__(self, recipes: Sequence[Recipe], models: Executor, epoch: int, examples: int) -> None:
        parts = [recipe.dropout for recipe in recipes if isinstance(recipe.dropout, Dropout)]
        self.values: list[dict[str, Any]] = [dict(part.resolved()) for part in parts if part.technique.diverges]
        self.models, self.epoch, self.examples = models, epoch, examples
        self.module = _OfWeights(models.module)

    def add(self, steps: Sequence[int]) -> None:
        """Add its gradient to the models'; ``steps`` are those of each row, counted from 0."""
        if not self.values:
            return
        shares = [self._share(own, step) for own, step in zip(self.values, steps, strict=False)]
        if not any(shares):
            return
        rows = self.models.parameters[: len(shares)]
        # One row more: torch computes a tensor's last few numbers by other means, and to other last bits.
        found = vmap(grad(self._of))(torch.cat([rows, rows[-1:]]))[:-1]
        self.models.gradients[: len(shares)] += found * torch.tensor(shares, dtype=rows.dtype).unsqueeze(1)

    def _share(self, own: dict[str, Any], step: int) -> float:
        grown = warm_up(step // self.epoch, own["start"], own["end"]) if "start" in own else 1.0
        return float(own["weight"] * grown / self.examples)

    def _of(self, row: Tensor) -> Tensor:
        named = {f"module.{name}": x for name, x in self.models.named(row).items()}
        found: Tensor = functional_call(self.module, named, ())
        return found


class _OfWeights(nn.Module):
    """A module's divergence, as something to call."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self) -> Tensor:
        """Return the divergence, in nats, of shape ``()``."""
        return kl(self.module)
