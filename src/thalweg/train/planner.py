"""How runs are executed: measured on the task itself, chosen once, and said with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from thalweg import optim
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.train.population import batches, outcomes
from thalweg.train.state import Member, begin
from thalweg.train.step import EXECUTORS, quiet_fallback

__all__ = ["Plan", "measure"]

TOGETHER = 32
"""How many runs train together, at most: beyond it the matrix outgrows the processor's cache."""

MEMORY = 2 * 2**30
"""Bytes that the weights, gradients and optimizer states of one population may take."""


@dataclass(frozen=True)
class Plan:
    """How runs of one batch size are executed.

    Attributes:
        executor: a name in `thalweg.train.EXECUTORS`.
        together: how many runs make a population.
        step_seconds: CPU seconds a run and step.
        epoch_seconds: CPU seconds a run takes at the end of each epoch to be evaluated.
        reason: one sentence on why.
    """

    executor: str
    together: int
    step_seconds: float
    epoch_seconds: float
    reason: str

    def seconds(self, steps: int, epochs: int) -> float:
        """Return the CPU seconds that a run is expected to take."""
        return steps * self.step_seconds + (epochs + 2) * self.epoch_seconds


@quiet_fallback()
def measure(task: Task, batch_size: int) -> Plan:
    """Try both executors on the task for a moment, and choose the faster.

    Takes about a second. What vmap cannot take trains one by one; the reason says what stood in the way.
    """
    size = batches(len(task.train), batch_size)[0].stop
    alone_step, alone_epoch, weights = _time(task, "one by one", 2, size)
    bytes_a_run = weights * task.dtype.itemsize * 6
    together = max(1, min(TOGETHER, MEMORY // max(1, bytes_a_run)))
    one_by_one = f"{alone_step * 1e6:.0f} µs a run and step"
    if together < 3:
        reason = f"one by one, at {one_by_one}: {weights:,} weights a model are too many to stack"
        return Plan("one by one", 1, alone_step, alone_epoch, reason)
    try:
        step, epoch, _ = _time(task, "vmapped", together, size)
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError) as error:
        reason = f"one by one, at {one_by_one}, because vmap cannot take this model: {_obstacle(error)}"
        return Plan("one by one", together, alone_step, alone_epoch, reason)
    ratio = alone_step / step
    if ratio > 1:
        reason = f"{together} together by vmap, {ratio:.1f} times faster than one by one at {one_by_one}"
        return Plan("vmapped", together, step, epoch, reason)
    reason = f"one by one, at {one_by_one}: {together} together by vmap would take {1 / ratio:.1f} times as long"
    return Plan("one by one", together, alone_step, alone_epoch, reason)


def _obstacle(error: Exception) -> str:
    """Return what stood in vmap's way: torch's own first sentence, or plainer words for its longest one."""
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if ".item()" in text:
        return "its forward takes a number out of a tensor, by .item() or by an if on the tensor's values"
    return text.partition(". ")[0][:200]


def _time(task: Task, executor: str, runs: int, batch_size: int) -> tuple[float, float, int]:
    """Return CPU seconds a run and step, a run and evaluation, and how many weights a model has."""
    states = [begin(task, Member(Recipe(), seed)) for seed in range(runs)]
    models = EXECUTORS[executor](task, states)
    rows = torch.arange(batch_size).repeat(runs, 1)
    ingredient = optim.adam().resolved()
    update = PopulationStep(optim.adam, [dict(ingredient.values)] * runs, models.parameters)

    def step(number: int) -> None:
        models.differentiate(task.train.at(rows), [number] * runs)
        update.step(models.gradients, number + 1, np.zeros(runs))

    step_seconds = _median_seconds(step, least=3, budget=0.5) / runs
    started = time.process_time()
    outcomes(models, task.valid, task.metric)
    return step_seconds, (time.process_time() - started) / runs, models.parameters.shape[1]


def _median_seconds(step: Callable[[int], None], least: int, budget: float) -> float:
    """Return the median CPU seconds of a call, the first left out, within ``budget`` seconds or so."""
    step(0)
    taken: list[float] = []
    while len(taken) < least or (sum(taken) < budget and len(taken) < 30):
        started = time.process_time()
        step(len(taken) + 1)
        taken.append(time.process_time() - started)
    return float(np.median(taken))
