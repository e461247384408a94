"""The training loop: many runs of one task at once, each with its own recipe, seed and course.

A single run is a population of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
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
from thalweg.task import Task
from thalweg.train.around import Around, kept_for_each_weight
from thalweg.train.augmented import Augmenting
from thalweg.train.bucket import bucketed
from thalweg.train.executors import EXECUTORS
from thalweg.train.judging import means, outcomes
from thalweg.train.rates import Rates
from thalweg.train.state import Member, RunState, begin, begin_all, masks_in
from thalweg.train.step import Executor, OneByOne, quiet_fallback
from thalweg.train.stopping import Stopping

__all__ = ["Member", "Population", "Result", "batches", "order", "steps_per_epoch", "train"]


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


def order(task: Task, member: Member, epoch: int) -> np.ndarray:
    """Return the order in which a run sees its training examples in an epoch, shape ``(n,)``."""
    key = Key(member.seed) / "order" / epoch
    plain = key.permutation(len(task.train))
    if member.recipe.bucket == "none":
        return plain
    return bucketed(plain, task.lengths.numpy(), member.recipe.sizes()[0], key / "batches")


@quiet_fallback()
def train(
    task: Task,
    members: Sequence[Member],
    executor: str = "one by one",
    *,
    keep_weights: bool = False,
    on_epoch: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Train all members, which share what `thalweg.recipe.Together` holds, and return their results in order.

    A member whose loss stops being finite has diverged; the others go on undisturbed.

    Args:
        task: what they are trained on.
        members: resolved recipes and seeds.
        executor: a name in `thalweg.train.EXECUTORS`.
        keep_weights: return each model's final state dict.
        on_epoch: called after every epoch.
    """
    population = Population(
        task, executor, len(members),
        begin_all(task, [Member(one.recipe, one.seed, str(i)) for i, one in enumerate(members)]),
        keep_weights=keep_weights,
    )  # fmt: skip
    found = {int(member.identity): result for member, result in population.run(on_epoch=lambda _: on_epoch())}
    return [found[i] for i in range(len(members))]


class Population:
    """Runs that train together, each at its own step of its own course; all at the same batch of their epochs.

    Args:
        task: what they are trained on.
        executor: a name in `thalweg.train.EXECUTORS`.
        slots: how many there can be. Where there are fewer, what is stacked is padded: under one executor a run's
            bits do not depend on its company.
        states: of the runs, begun or gone on with; they share what `thalweg.recipe.Together` holds, and the number of
            batches that they have seen of their epoch.
        keep_weights: results have each model's state dict.
    """

    def __init__(
        self, task: Task, executor: str, slots: int, states: Sequence[RunState], *, keep_weights: bool = False
    ) -> None:
        self.task, self.executor, self.slots, self.keep_weights = task, executor, slots, keep_weights
        (together,) = {state.member.recipe.together() for state in states}
        self.cuts = batches(len(task.train), together.batch_size)
        # An epoch whose last step is done but that is not yet judged has all its batches behind it.
        (self.cut,) = {state.step - _ended(state) * len(self.cuts) for state in states}
        self.begun = list(states)

    def run(
        self,
        *,
        more: Callable[[int], Sequence[RunState]] = lambda _: (),
        on_step: Callable[[Population], None] = lambda _: None,
        on_epoch: Callable[[int], None] = lambda _: None,
    ) -> Iterator[tuple[Member, Result]]:
        """Train until no run is left, and yield each as it ends.

        Args:
            more: asked at an epoch's end, if runs have left, for up to so many others, which begin or have done whole
                epochs.
            on_step: called after each step; may ask for `snapshot`.
            on_epoch: called after each epoch with the number of runs that went through it.
        """
        rows, self.begun = self._seated(self.begun), []  # rows have copies of their own
        while True:
            while self.cut < len(self.cuts):
                rows.step(self.cuts[self.cut])
                self.cut += 1
                on_step(self)
            rows.end_epoch()
            self.cut = 0
            on_epoch(len(rows.members))
            ended = rows.ended(keep_weights=self.keep_weights)
            if not ended:
                continue
            yield from ((rows.members[row], result) for row, result in ended.items())
            left = [state for row, state in enumerate(rows.snapshot()) if row not in ended]
            left += more(self.slots - len(left))
            if not left:
                return
            rows = self._seated(left)

    def snapshot(self) -> list[RunState]:
        """Return the runs as they are between two steps; views, to be written down at once."""
        return self._rows.snapshot()

    def courses(self) -> list[tuple[Member, int, int, list[float], list[float]]]:
        """Return of each run: which, steps done, steps in all, and losses and validation metrics by epoch; views."""
        rows = self._rows
        return list(zip(rows.members, rows.done, rows.totals, rows.losses, rows.valid, strict=True))

    def _seated(self, states: Sequence[RunState]) -> _Rows:
        # Rows that share a formula stand together, so that it is called once on a slice of the matrix.
        states = sorted(states, key=lambda state: state.member.recipe.optimizer.name)
        self._rows = _Rows(self.task, self.executor, self.slots, states, len(self.cuts))
        return self._rows


def _ended(state: RunState) -> int:
    """Return how many epochs of a run have their loss and validation metric."""
    return len(state.facts.get("losses", [math.nan])) - 1


class _Rows:
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
            update.step(self.models.gradients[part], self.done[part], multipliers[part])
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
