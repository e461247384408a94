"""A task's model in training, one step after the other, at any learning rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from thalweg import optim
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.train.around import Around
from thalweg.train.augmented import Augmenting
from thalweg.train.epochs import batches, order
from thalweg.train.state import Member, begin, masks_in
from thalweg.train.step import OneByOne

__all__ = ["Steps"]


class Steps:
    """Training as a run does it: the same weights, order of examples and masks as that of the same seed.

    Of the recipe counts all but schedule, average and epochs.

    Args:
        task, recipe, seed: of the run; the recipe is resolved.
    """

    def __init__(self, task: Task, recipe: Recipe, seed: int) -> None:
        self.task, self.member, self.taken = task, Member(recipe, seed), 0
        state = begin(task, self.member)
        self.models = OneByOne(task, [state])
        technique = recipe.optimizer.technique
        assert isinstance(technique, optim.Optimizer)
        values = {**dict(recipe.optimizer), "lr": 1.0}
        self._update = PopulationStep(technique, [values], self.models.parameters, self.models.shapes)
        self._augmenting = Augmenting(task, [recipe], [seed])
        self._cuts = batches(len(task.train), recipe.sizes()[0])
        alone = replace(recipe, average=None)  # what is averaged is not what is trained with
        self._around = Around(
            [alone], self.models, [(self._update, slice(0, 1))], len(self._cuts), task.train, [masks_in(state)]
        )

    def __call__(self, rate: float | None) -> float:
        """Return the loss of the next batch, and then update at a rate, unless that is None."""
        step, count = self.taken, len(self._cuts)
        self.taken += 1
        rows = order(self.task, self.member, step // count)[self._cuts[step % count]]
        batch = self._augmenting.batch(torch.from_numpy(rows[None]), [step // count])
        loss = self.models.differentiate(batch, [step])
        if rate is not None:
            self._around.change_gradients(batch, [step])
            self._update.step(self.models.gradients, step + 1, np.array([rate]))
            self._around.change_weights([step + 1])
        return float(loss[0])
