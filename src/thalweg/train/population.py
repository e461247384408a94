"""The training loop: many runs of one task at once, each with its own recipe, seed and course.

A single run is a population of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.key import Key
from thalweg.optim import Optimizer
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import Recipe
from thalweg.record import Curve
from thalweg.schedule import Schedule
from thalweg.task import Metric, Split, Task
from thalweg.train.around import Around, kept_for_each_weight
from thalweg.train.step import CHUNK, EXECUTORS, Executor, OneByOne, quiet_fallback

__all__ = ["Member", "Result", "batches", "order", "outcomes", "steps_per_epoch", "train"]


@dataclass(frozen=True)
class Member:
    """One run of a population: a resolved recipe and a seed."""

    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        reason: why it counts as diverged, in one sentence; empty where it finished.
        curve: see `thalweg.record.Curve`.
        train, valid, test: the metric on each split after the last step.
        outcomes: the metric of every test example, float32; where the run diverged, of the model before its
            first step.
        steps, cpu_seconds, state_bytes: the cost: steps, its share of CPU time, state a parameter.
        weights: the model's state dict, where asked for.
    """

    reason: str
    curve: Curve
    train: float
    valid: float
    test: float
    outcomes: np.ndarray
    steps: int
    cpu_seconds: float
    state_bytes: float
    weights: dict[str, Tensor] | None = None


def batches(n: int, batch_size: int) -> list[slice]:
    """Return an epoch's batches as slices of its order; a last batch of one example is left out.

    (Batch norm cannot take one example.)

    >>> batches(5, 2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    cuts = [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    return cuts[:-1] if len(cuts) > 1 and cuts[-1].stop - cuts[-1].start == 1 else cuts


def steps_per_epoch(task: Task, recipe: Recipe) -> int:
    """Return how many steps an epoch of the resolved recipe takes."""
    return len(batches(len(task.train), recipe.sizes()[0]))


def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return the order in which a run sees its training examples in an epoch, shape ``(n,)``."""
    return (Key(seed) / "order" / epoch).permutation(n)


@quiet_fallback()
def train(
    task: Task,
    members: Sequence[Member],
    executor: str = "one by one",
    *,
    keep_weights: bool = False,
    on_epoch: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Train all members, which share batch size and epochs, and return their results in order.

    A member whose loss stops being finite has diverged; the others go on undisturbed.

    Args:
        task: what they are trained on.
        members: resolved recipes and seeds.
        executor: a name in `thalweg.train.EXECUTORS`.
        keep_weights: return each model's final state dict.
        on_epoch: called after every epoch.
    """
    started = time.process_time()
    sizes = {member.recipe.sizes() for member in members}
    assert len(sizes) == 1, "members of a population share batch size and epochs"
    ((batch_size, epochs),) = sizes

    # Rows that share a formula stand together, so that it is called once on a slice of the matrix.
    ranks = sorted(range(len(members)), key=lambda i: members[i].recipe.optimizer.name)
    rows = [members[i] for i in ranks]
    models = EXECUTORS[executor](task, [row.seed for row in rows])
    updates = _updates(rows, models)
    cuts = batches(len(task.train), batch_size)
    total = epochs * len(cuts)
    around = Around([row.recipe for row in rows], models, updates, total, len(cuts), task.train)
    rates = Rates([row.recipe.schedule for row in rows], total, len(cuts))

    losses = np.full((epochs + 1, len(rows)), np.nan)
    valid = np.full((epochs + 1, len(rows)), np.nan)
    valid[0] = _means(models, task.valid, task.metric)
    step = 0
    for epoch in range(epochs):
        orders = torch.from_numpy(np.stack([order(row.seed, epoch, len(task.train)) for row in rows]))
        sums = torch.zeros(len(rows), dtype=torch.float64)
        for cut in cuts:
            batch = task.train.at(orders[:, cut])
            sums += models.differentiate(batch, step)
            around.change_gradients(batch, step)
            step += 1
            for update, part in updates:
                update.step(models.gradients[part], step, rates.multipliers[part, step - 1])
            around.change_weights(step)
        losses[epoch + 1] = (sums / len(cuts)).numpy()
        with around.evaluated():
            valid[epoch + 1] = _means(models, task.valid, task.metric)
        rates.observe(-valid[epoch + 1] if task.metric.higher_is_better else valid[epoch + 1], step)
        on_epoch()
    broken = _broken(models.parameters)
    with around.evaluated():
        diverged = _diverged(losses, broken | _broken(models.parameters))
        ends = [outcomes(models, split, task.metric) for split in (task.train, task.valid, task.test)]
        weights = [models.weights(row) if keep_weights else None for row in range(len(rows))]
    own = around.seconds
    seconds = (time.process_time() - started - own.sum()) / len(rows) + own
    results = []
    for row, member in enumerate(rows):
        train_end, valid_end, test_end = (end[row] for end in ends)
        reason = ""
        if diverged[row] or not np.isfinite(test_end).all():
            epoch = diverged[row] or epochs
            valid[epoch:, row] = np.nan
            reason = f"the loss or the weights stopped being finite in epoch {epoch} of {epochs}"
            # A failure is kept in the comparison, as the model that it began as.
            train_end, valid_end = np.array([np.nan]), np.array([np.nan])
            test_end = outcomes(OneByOne(task, [member.seed]), task.test, task.metric)[0]
        epoch_numbers = np.arange(epochs + 1)
        results.append(
            Result(
                reason=reason,
                curve=Curve(epoch_numbers, epoch_numbers * len(cuts), losses[:, row], valid[:, row]),
                train=float(train_end.mean(dtype=np.float64)),
                valid=float(valid_end.mean(dtype=np.float64)),
                test=float(test_end.mean(dtype=np.float64)),
                outcomes=test_end,
                steps=total,
                cpu_seconds=float(seconds[row]),
                state_bytes=_kept(member.recipe, models.shapes) * models.parameters.element_size(),
                weights=weights[row],
            )
        )
    return [results[ranks.index(i)] for i in range(len(members))]


def _kept(recipe: Recipe, shapes: Sequence[tuple[int, ...]]) -> float:
    """Return how many numbers are kept for each weight, beside it and its gradient."""
    technique = recipe.optimizer.technique
    assert isinstance(technique, Optimizer)
    kept = 0
    for shape in shapes:
        own = technique.on(shape)
        kept += sum(math.prod(own.shapes[name](shape) if name in own.shapes else shape) for name in own.state)
    return kept / sum(map(math.prod, shapes)) + kept_for_each_weight(recipe)


class Rates:
    """Every run's multipliers of the learning rate, as far as they are known.

    Args:
        schedules: one a run.
        total: the runs' steps.
        ahead: steps from one metric to the next.

    Attributes:
        multipliers: shape ``(runs, total)``; of a schedule that follows the metric NaN from the next metric on.
    """

    def __init__(self, schedules: Sequence[Schedule], total: int, ahead: int) -> None:
        self.ahead = ahead
        self.following = {i: s.resolved(total) for i, s in enumerate(schedules) if s.feedback}
        self.seen = {i: schedule.start() for i, schedule in self.following.items()}
        self.multipliers = np.full((len(schedules), total), np.nan)
        for i, schedule in enumerate(schedules):
            if not schedule.feedback:
                self.multipliers[i] = schedule.multipliers(total)
        self._fill(0)

    def observe(self, metrics: np.ndarray, step: int) -> None:
        """Take each run's metric after ``step`` steps, shape ``(runs,)``, lower is better."""
        for i, schedule in self.following.items():
            self.seen[i] = schedule.observe(self.seen[i], metrics[i], step)
        self._fill(step)

    def _fill(self, start: int) -> None:
        for i, schedule in self.following.items():
            for step in range(start, min(start + self.ahead, self.multipliers.shape[1])):
                self.multipliers[i, step] = schedule(step, self.seen[i])


def _diverged(losses: np.ndarray, broken: np.ndarray) -> list[int]:
    """Return for each run the first epoch whose loss was not finite, or 0; the last, if its weights are not."""
    bad = ~np.isfinite(losses[1:])
    first = np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, 0)
    return [int(epoch) for epoch in np.where((first == 0) & broken, len(bad), first)]


def _broken(parameters: Tensor) -> np.ndarray:
    """Return which rows have a number that is not finite."""
    return ~torch.isfinite(parameters).all(dim=1).numpy()


def _updates(rows: Sequence[Member], models: Executor) -> list[tuple[PopulationStep, slice]]:
    """Return, for each formula, its step and the slice of rows that use it."""
    found, start = [], 0
    for _, group in groupby(rows, key=lambda row: row.recipe.optimizer.name):
        ingredients = [row.recipe.optimizer for row in group]
        part = slice(start, start + len(ingredients))
        technique = ingredients[0].technique
        assert isinstance(technique, Optimizer)
        values: list[Any] = [dict(ingredient.values) for ingredient in ingredients]
        found.append((PopulationStep(technique, values, models.parameters[part], models.shapes), part))
        start = part.stop
    return found


def outcomes(models: Executor, split: Split, metric: Metric, chunk: int = CHUNK) -> np.ndarray:
    """Return the metric of every example, float32, shape ``(runs, examples)``; or ``(runs, 1)``.

    The latter where the metric has one value for a whole split. Examples pass ``chunk`` at a time.
    """
    pieces = []
    for start in range(0, len(split), chunk):
        part = split.at(slice(start, start + chunk))
        values = [metric.outcomes(output, part.targets) for output in models.outputs(part.inputs)]
        if values[0].dim() == 0:
            whole = models.outputs(split.inputs)
            return np.array([[float(metric.outcomes(output, split.targets))] for output in whole], np.float32)
        pieces.append(torch.stack(values).float().numpy())
    return np.concatenate(pieces, axis=1)


def _means(models: Executor, split: Split, metric: Metric) -> np.ndarray:
    values = outcomes(models, split, metric).mean(axis=1, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
