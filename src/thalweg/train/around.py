"""What recipes put around their optimizers, for the rows of a population: from penalties to averages and masks.

Runs with and without them share every forward and backward pass but the second one that ``sam`` asks for, and that
only its own rows go through.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.average import AverageTechnique
from thalweg.gradient import GradientTechnique
from thalweg.optim._executors.population import PopulationStep
from thalweg.optim._executors.rows import on_rows, on_shapes
from thalweg.penalty._places import places
from thalweg.penalty._rows import constrained
from thalweg.penalty._rows import gradients as penalised
from thalweg.recipe import Recipe
from thalweg.task import Split
from thalweg.task.reading import Batch
from thalweg.technique import Ingredient
from thalweg.train.divergence import Divergence
from thalweg.train.pruned import PrunedRows
from thalweg.train.step import Executor
from thalweg.wrapper import WrapperTechnique

__all__ = ["Around", "gradients_a_step", "kept_for_each_weight"]


def gradients_a_step(recipe: Recipe) -> int:
    """Return how many gradients a step of the recipe takes."""
    return 1 + _is_placed(recipe.wrapper, "before")


def kept_for_each_weight(recipe: Recipe) -> int:
    """Return how many numbers a weight has beside what the optimizer keeps for it."""
    return (recipe.average is not None) + _is_placed(recipe.wrapper, "after")


def _is_placed(part: Ingredient | None, place: str) -> bool:
    return part is not None and isinstance(part.technique, WrapperTechnique) and part.technique.place == place


class Around:
    """Changes gradients before the optimizers take them and weights after it, and knows which weights to evaluate.

    Args:
        recipes: resolved, one a run; the runs are the first rows of the models.
        models: the rows.
        updates: the optimizers, each with its slice of rows.
        epoch: steps of an epoch.
        train: the split on which batch norm's statistics are made for weights that were never trained with.
        masks: of each run, by the parameters' names, True where a weight stays; empty where none are pruned. No run
            has any if not given.

    Attributes:
        seconds: CPU seconds that each row cost beyond what it shares with all, shape ``(runs,)``.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        models: Executor,
        updates: Sequence[tuple[PopulationStep, slice]],
        epoch: int,
        train: Split,
        masks: Sequence[Mapping[str, Tensor]] = (),
    ) -> None:
        self.models, self.updates, self.epoch, self.train = models, updates, epoch, train
        self.totals = [recipe.sizes()[1] * epoch for recipe in recipes]
        self.seconds = np.zeros(len(recipes))
        wrappers = _groups([recipe.wrapper for recipe in recipes])
        self.before = [group for group in wrappers if group.technique.place == "before"]
        self.after = [group for group in wrappers if group.technique.place == "after"]
        chains = [recipe.gradient.parts for recipe in recipes]
        depth = max(map(len, chains))
        self.stages = [_groups([parts[i] if i < len(parts) else None for parts in chains]) for i in range(depth)]
        self.averages = _groups([recipe.average for recipe in recipes])
        penalties = _groups([recipe.penalty for recipe in recipes])
        self.penalties = [group for group in penalties if group.technique.place == "loss"]
        self.constraints = [group for group in penalties if group.technique.place == "after"]
        self.places = places(models.module) if penalties else []
        self.divergence = Divergence(recipes, models, epoch, len(train))
        self.pruned = PrunedRows(masks, models.names, models.shapes)
        for group in (*self.after, *self.averages):
            group.kept = models.parameters[group.rows]

    def kept(self, row: int) -> tuple[dict[str, Tensor], int]:
        """Return what a run keeps, views: slow weights, average, masks; and how many weights are in the average."""
        masks = self.pruned.masks[row] if self.pruned.masks else {}
        found, count = {f"mask/{name}": mask for name, mask in masks.items()}, 0
        for name, groups in (("slow", self.after), ("average", self.averages)):
            for group in groups:
                for place in (group.rows == row).nonzero().flatten().tolist():
                    found[name] = group.kept[place]
                    count = int(group.count[place]) if name == "average" else count
        return found, count

    def keep(self, row: int, tensors: Mapping[str, Tensor], count: int) -> None:
        """Give a run what `kept` returned of one; what is not there stays as it begins."""
        for name, place in self.kept(row)[0].items():
            if name in tensors and not name.startswith("mask/"):
                place.copy_(tensors[name])
        for group in self.averages:
            group.count[(group.rows == row).numpy()] = count

    def change_gradients(self, batch: Split | Batch, steps: Sequence[int]) -> None:
        """Change the gradients that the models have just got, before the optimizers take them.

        The penalty is that of the weights themselves, also where the loss's gradient is taken elsewhere: what SAM
        looks for the worst of is the loss (Foret et al. 2021, equation 1).

        Args:
            batch: which gave them.
            steps: of each row, counted from 0.
        """
        models = self.models
        if self.pruned.gone:
            self.pruned.hold(models.gradients)  # so that norms of gradients are those of the weights that stay
        for group in self.before:
            with self._cost(group.rows):
                both = (_rows(x, group.rows) for x in (models.parameters, models.gradients))
                there = group.call(*both, shapes=models.shapes)
                models.gradients[group.rows] = models.elsewhere(group.rows, there, batch, steps)
                self.pruned.hold(models.gradients)
        for group in self.penalties:
            rows = _rows(models.parameters, group.rows)
            models.gradients[group.rows] += penalised(group.technique, rows, group.values, self.places)
        self.divergence.add(steps)
        for group in (group for stage in self.stages for group in stage):
            asked = [models.gradients, models.parameters][: 1 + group.technique.takes_weights]
            changed = group.call(*(_rows(x, group.rows) for x in asked), shapes=models.shapes)
            models.gradients[group.rows] = changed
            self.pruned.hold(models.gradients)

    def change_weights(self, done: Sequence[int]) -> None:
        """Set pruned weights back to 0, go on from the slow weights, and take the weights into the averages.

        Args:
            done: steps that each row has made.
        """
        parameters = self.models.parameters
        self.pruned.hold(parameters)
        for group in self.constraints:
            rows = _rows(parameters, group.rows)
            parameters[group.rows] = constrained(group.technique, rows, group.values, self.places)
        for group in self.after:
            if (due := group.where([done[row] % values["k"] == 0 for row, values in group])) is not None:
                slow = due.call(due.kept, _rows(parameters, due.rows), shapes=self.models.shapes)
                parameters[due.rows] = slow
                group.kept[due.places] = slow
        for group in self.averages:
            takes = [group.technique.takes(values, done[row], self.totals[row], self.epoch) for row, values in group]
            if (due := group.where(takes)) is not None:
                weights = _rows(parameters, due.rows)
                mean = due.call(due.kept, weights, shapes=self.models.shapes, n=due.count)
                # The mean of the first weights is those weights.
                first = torch.from_numpy(due.count == 0)
                group.kept[due.places] = torch.where(first.unsqueeze(1), weights, mean) if first.any() else mean
                group.count[due.places.numpy()] += 1

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Let the models have the weights that are to be evaluated inside a ``with``.

        These are the average's, once it has begun; else a wrapper's slow ones; else what the optimizer says. Where
        they are not those that were trained with, batch norms get the statistics that belong to them.
        """
        found: dict[int, Tensor] = {}
        for update, part in self.updates:
            if update.technique.evaluate is not None:
                found |= zip(range(part.start, part.stop), update.weights(), strict=True)
        for group in self.after:
            found |= zip(group.rows.tolist(), group.kept, strict=True)
        for group in self.averages:
            begun = zip(group.rows.tolist(), group.kept, group.count, strict=True)
            found |= {row: mean for row, mean, count in begun if count}
        with ExitStack() as stack:
            if found:
                rows = torch.tensor(sorted(found))
                with self._cost(rows):
                    weights = torch.stack([self.pruned.held(row, found[row]) for row in rows.tolist()])
                    stack.enter_context(self.models.evaluated(rows, weights, self.train))
            yield

    @contextmanager
    def _cost(self, rows: Tensor) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[rows.numpy()] += (time.process_time() - started) / len(rows)


@dataclass
class _Group:
    """Rows with the same technique.

    Attributes:
        technique: whose formula.
        rows: in the population, int64.
        values: every hyperparameter, one mapping a row.
        places: in the group that this one is a part of.
        kept: slow weights or means, shape ``(len(rows), weights)``.
        count: how many weights are in each mean, int64.
    """

    technique: Any
    rows: Tensor
    values: list[dict[str, Any]]
    places: Tensor
    kept: Tensor
    count: np.ndarray

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Pass over the rows with their hyperparameters."""
        return zip(self.rows.tolist(), self.values, strict=True)

    def where(self, wanted: Sequence[bool]) -> _Group | None:
        """Return the part of the group for which something holds, or None if there is none."""
        at = [i for i, yes in enumerate(wanted) if yes]
        if not at:
            return None
        places = torch.tensor(at)
        values = [self.values[i] for i in at]
        kept = _rows(self.kept, places)
        return _Group(self.technique, self.rows[places], values, places, kept, self.count[at])

    def call(self, *tensors: Tensor, shapes: Sequence[tuple[int, ...]], **columns: np.ndarray) -> Tensor:
        """Return what the formula makes of the rows' tensors, each of shape ``(len(rows), weights)``."""
        technique: GradientTechnique | AverageTechnique | WrapperTechnique = self.technique
        values = [
            {**technique.how(own), **{name: column[i] for name, column in columns.items()}}
            for i, own in enumerate(self.values)
        ]
        if technique.scope == "tensor":
            return on_shapes(technique, tensors, values, shapes)
        return on_rows(technique, tensors, values)[0]


def _rows(matrix: Tensor, rows: Tensor) -> Tensor:
    """Return some rows, in ascending order; without a copy where they are all."""
    return matrix if len(rows) == len(matrix) else matrix[rows]


def _groups(parts: Sequence[Ingredient | None]) -> list[_Group]:
    """Return rows by technique; those without one are in no group."""
    found: dict[str, list[int]] = {}
    for row, part in enumerate(parts):
        if part is not None:
            found.setdefault(part.name, []).append(row)
    groups = []
    for rows in found.values():
        mine = [part for row in rows if (part := parts[row]) is not None]
        places, none = torch.arange(len(rows)), torch.empty(len(rows), 0)
        values = [dict(part.resolved()) for part in mine]
        groups.append(_Group(mine[0].technique, torch.tensor(rows), values, places, none, np.zeros(len(rows), int)))
    return groups
