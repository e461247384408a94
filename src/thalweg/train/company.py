"""Runs that take their steps together for as long as none enters or leaves, and what each comes to."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim import Optimizer
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import Recipe
from thalweg.record import Curve
from thalweg.task import Task
from thalweg.train.around import Around, kept_for_each_weight
from thalweg.train.augmented import Augmenting
from thalweg.train.epochs import order
from thalweg.train.executors import EXECUTORS
from thalweg.train.judging import means, outcomes
from thalweg.train.rates import Rates
from thalweg.train.state import Member, RunState, begin, masks_in
from thalweg.train.step import Executor, OneByOne
from thalweg.train.stopping import Stopping

__all__ = ["Company", "Result"]


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


class Company:
    """The runs of a population for as long as none enters or leaves it.

    Each run's facts are the scalars of its optimizer, what its schedule has seen, how many weights are in its
    average, its losses and validation metrics by epoch, the sum of its losses in this epoch, its CPU seconds, and
    what its rule to stop has seen, if it has one.
    """

    def __init__(self, task: Task, executor: str, slots: int, states: Sequence[RunState], epoch: int) -> None:
        self.task, self.members, self.epoch = task, [state.member for state in states], epoch
        self.started = time.process_time()
        self.models: Executor = EXECUTORS[executor](task, states, slots)
        self.updates = _updates(self.members, self.models)
        recipes = [member.recipe for member in self.members]
        self.around = Around(recipes, self.models, self.updates, epoch, task.train, list(map(masks_in, states)))
        self.augmenting = Augmenting(task, recipes, [member.seed for member in self.members])
        self.totals = [recipe.sizes()[1] * epoch for recipe in recipes]
        self.rates = Rates([recipe.schedule for recipe in recipes], self.totals)
        self.stopping = Stopping(recipes, higher_is_better=task.metric.higher_is_better)
        self.done = [state.step for state in states]
        self.padding = [0] * (len(self.models.parameters) - len(states))
        self.sums = torch.zeros(len(states), dtype=torch.float64)
        self.cpu = np.array([state.facts.get("cpu_seconds", 0.0) for state in states])
        self.losses = [list(state.facts.get("losses", [math.nan])) for state in states]
        self.valid = [list(state.facts.get("valid", [])) for state in states]
        for row, state in enumerate(states):
            if state.facts:
                self._go_on(row, state)
        if not all(self.valid):
            start = means(self.models, task.valid, task.metric)
            for row, seen in enumerate(self.valid):
                self.valid[row] = seen or [float(start[row])]
        self.orders = torch.empty(len(self.models.parameters), len(task.train), dtype=torch.int32)
        self._order()

    # -- going on ------------------------------------------------------------------------------------

    def _go_on(self, row: int, state: RunState) -> None:
        facts, kept = state.facts, state.tensors
        update, place = self._update_of(row)
        count = sum(name.startswith("optimizer/") for name in kept)
        update.keep(place, [kept[f"optimizer/{i}"] for i in range(count)], facts["scalars"])
        self.around.keep(row, kept, facts["averaged"])
        self.rates.see(row, facts["seen"])
        self.stopping.keep(row, kept, facts.get("stop"))
        self.sums[row] = facts["sum"]

    def snapshot(self) -> list[RunState]:
        """Return every run's state; views."""
        self._charge()
        return [self._state(row) for row in range(len(self.members))]

    def _state(self, row: int) -> RunState:
        update, place = self._update_of(row)
        state, scalars = update.kept(place)
        around, averaged = self.around.kept(row)
        best, stop = self.stopping.kept(row)
        kept = {f"optimizer/{i}": x for i, x in enumerate(state)}
        facts = {
            "scalars": scalars, "seen": self.rates.seen.get(row), "averaged": averaged, "sum": float(self.sums[row]),
            "losses": self.losses[row], "valid": self.valid[row], "cpu_seconds": float(self.cpu[row]),
        }  # fmt: skip
        if stop is not None:
            facts["stop"] = list(stop)
        tensors = {**self.models.model(row), **kept, **around, **best}
        return RunState(self.members[row], self.done[row], tensors, facts)

    def _update_of(self, row: int) -> tuple[PopulationStep, int]:
        return next((update, row - part.start) for update, part in self.updates if part.start <= row < part.stop)

    def _charge(self) -> None:
        """Share out the CPU time since this was last called."""
        now, own = time.process_time(), self.around.seconds + self.augmenting.seconds
        self.cpu += (now - self.started - own.sum()) / len(self.members) + own
        self.started = now
        self.around.seconds, self.augmenting.seconds = np.zeros_like(own), np.zeros_like(own)

    # -- steps ---------------------------------------------------------------------------------------

    def _order(self) -> None:
        if self.members[0].recipe.bucket != "none" and not isinstance(self.models, OneByOne):
            raise RuntimeError("vmap cannot take batches of different lengths together")
        for row, (member, done) in enumerate(zip(self.members, self.done, strict=True)):
            self.orders[row] = torch.from_numpy(order(self.task, member, done // self.epoch))
        self.orders[len(self.members) :] = self.orders[len(self.members) - 1]

    def step(self, cut: slice) -> None:
        """Take one step with every run."""
        batch = self.augmenting.batch(self.orders[:, cut], [done // self.epoch for done in self.done])
        steps = self.done + self.padding
        losses = self.models.differentiate(batch, steps)
        self.sums += losses[: len(self.members)]
        self.around.change_gradients(batch, steps)
        multipliers = self.rates.at(self.done)
        self.done = [done + 1 for done in self.done]
        for update, part in self.updates:
            given = self.models.given(part, pieces=update.takes_pieces)
            update.step(given, self.done[part], multipliers[part])
        self.around.change_weights(self.done)

    def end_epoch(self) -> None:
        """Note losses and validation metrics, and let schedules and what stops runs see the latter."""
        with self.around.evaluated():
            valid = means(self.models, self.task.valid, self.task.metric)
            for row, metric in enumerate(valid[: len(self.members)].tolist()):
                self.stopping.observe(row, metric, self.models.model)
        for row, (loss, metric) in enumerate(zip((self.sums / self.epoch).tolist(), valid.tolist(), strict=False)):
            self.losses[row].append(loss)
            self.valid[row].append(metric)
            self.rates.observe(row, -metric if self.task.metric.higher_is_better else metric, self.done[row])
        self.sums.zero_()
        self._charge()
        if any(done < total for done, total in zip(self.done, self.totals, strict=True)):
            self._order()

    # -- the end -------------------------------------------------------------------------------------

    def ended(self, *, keep_weights: bool) -> dict[int, Result]:
        """Return what came of the runs that have ended, by row: done, stopped, or diverged."""
        diverged = {row for row, seen in enumerate(self.losses) if not math.isfinite(seen[-1])}
        finished = {
            row for row, (done, total) in enumerate(zip(self.done, self.totals, strict=True)) if done == total
        }
        rows = sorted(diverged | finished | self.stopping.now)
        if not rows:
            return {}
        broken = _broken(self.models.parameters)
        with self.around.evaluated():
            broken |= _broken(self.models.parameters)
            splits = self.task.train, self.task.valid, self.task.test
            ends = [outcomes(self.models, split, self.task.metric) for split in splits]
            weights = {row: self.models.weights(row) if keep_weights else None for row in rows}
        for row in self.stopping.best.keys() & set(rows):
            best = OneByOne(self.task, [RunState(self.members[row], tensors=self.stopping.best[row])])
            for end, split in zip(ends, splits, strict=True):
                end[row] = outcomes(best, split, self.task.metric)[0]
            weights[row] = best.weights(0) if keep_weights else None
        self._charge()
        return {
            row: self._result(row, [end[row] for end in ends], weights[row], row in diverged or bool(broken[row]))
            for row in rows
        }

    def _result(
        self, row: int, ends: Sequence[np.ndarray], weights: dict[str, Tensor] | None, broken: bool
    ) -> Result:
        member, epochs = self.members[row], self.totals[row] // self.epoch
        train_end, valid_end, test_end = ends
        reached = len(self.losses[row]) - 1
        valid = np.full(epochs + 1, np.nan)
        losses = valid.copy()
        losses[: reached + 1], valid[: reached + 1] = self.losses[row], self.valid[row]
        reason = ""
        if broken or not np.isfinite(test_end).all():
            valid[reached] = np.nan
            reason = f"the loss or the weights stopped being finite in epoch {reached} of {epochs}"
            # A failure is kept in the comparison, as the model that it began as.
            train_end, valid_end = np.array([np.nan]), np.array([np.nan])
            test_end = outcomes(OneByOne(self.task, [begin(self.task, member)]), self.task.test, self.task.metric)[0]
        epoch_numbers = np.arange(epochs + 1)
        return Result(
            reason=reason,
            curve=Curve(epoch_numbers, epoch_numbers * self.epoch, losses, valid),
            train=float(train_end.mean(dtype=np.float64)),
            valid=float(valid_end.mean(dtype=np.float64)),
            test=float(test_end.mean(dtype=np.float64)),
            outcomes=test_end,
            steps=self.done[row],
            cpu_seconds=float(self.cpu[row]),
            state_bytes=_kept(member.recipe, self.models.shapes) * self.models.parameters.element_size(),
            weights=weights,
        )


def _kept(recipe: Recipe, shapes: Sequence[tuple[int, ...]]) -> float:
    """Return how many numbers are kept for each weight, beside it and its gradient."""
    technique = recipe.optimizer.technique
    assert isinstance(technique, Optimizer)
    kept = 0
    for shape in shapes:
        own = technique.on(shape)
        kept += sum(math.prod(own.shapes[name](shape) if name in own.shapes else shape) for name in own.state)
    return kept / sum(map(math.prod, shapes)) + kept_for_each_weight(recipe)


def _broken(parameters: Tensor) -> np.ndarray:
    """Return which rows have a number that is not finite."""
    least, most = parameters.aminmax(dim=1)  # which takes no memory, and a NaN is both
    return ~(torch.isfinite(least) & torch.isfinite(most)).numpy()


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
