"""How long steps take: a few of them, tried on the task itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from thalweg import optim
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import Together
from thalweg.task import Task
from thalweg.task.waiting import Waiting
from thalweg.train.epochs import batches
from thalweg.train.executors import EXECUTORS
from thalweg.train.judging import outcomes
from thalweg.train.mixing import as_trained
from thalweg.train.state import beginnings

__all__ = ["Trial", "repeats", "timed"]

Clock = Callable[[], float]


def timed(
    task: Task,
    together: Together,
    executor: str,
    runs: int,
    budget: float,
    clock: Clock = time.process_time,
    *,
    slots: int = 0,
) -> tuple[float, float]:
    """Return seconds a run and step, and a run and evaluation, by steps that take ``budget`` seconds or so.

    Args:
        task: what is trained on.
        together: what the runs have in common.
        executor: a name in `thalweg.train.EXECUTORS`.
        runs: how many train together.
        budget: seconds; a few steps are tried however little that is.
        clock: what they are read from: CPU seconds, if not given.
        slots: how many places the code has, where it is compiled for more than there are runs.
    """
    return Trial(task, together, executor, runs, slots).seconds(budget, clock)


def repeats(task: Task, together: Together) -> bool:
    """Return whether the first step of a run gives the same bits again, with the threads that there are."""
    one, other = (Trial(task, together, "one by one", 1).gradients() for _ in range(2))
    return torch.equal(one.view(torch.uint8), other.view(torch.uint8))


class Trial:
    """Steps of so many runs, all of them on a task's first batch; see `timed`."""

    def __init__(self, task: Task, together: Together, executor: str, runs: int, slots: int = 0) -> None:
        self.task, self.runs = task, runs
        self.models = EXECUTORS[executor](task, beginnings(task, runs, together.recipe().resolved()), slots)
        size = batches(len(task.train), together.batch_size)[0].stop
        numbers = torch.arange(size).repeat(len(self.models.parameters), 1)
        self.batch = as_trained(task.train.at(numbers), together)
        values = [dict(optim.adam().resolved().values)] * runs
        self.update = PopulationStep(optim.adam, values, self.models.parameters[:runs], self.models.shapes)

    def __call__(self, number: int) -> None:
        """Take a step, counted from 0."""
        self.models.differentiate(self.batch, [number] * len(self.models.parameters))
        given = self.models.given(slice(0, self.runs), pieces=self.update.takes_pieces)
        self.update.step(given, number + 1, np.zeros(self.runs))

    def gradients(self) -> torch.Tensor:
        """Return the gradients of the first step."""
        self.models.differentiate(self.batch, [0] * len(self.models.parameters))
        return self.models.gradients

    def seconds(self, budget: float, clock: Clock) -> tuple[float, float]:
        """See `timed`."""
        step_seconds = _median_seconds(self, least=3 if budget else 1, budget=budget, clock=clock) / self.runs
        started = clock()
        outcomes(self.models, self.task.valid, self.task.metric)
        return step_seconds, (clock() - started) / self.runs


def _median_seconds(step: Callable[[int], None], least: int, budget: float, clock: Clock) -> float:
    """Return the median seconds of a call, the first left out, within ``budget`` seconds or so."""
    waiting = Waiting()
    step(0)
    waiting.say(f"measuring steps, of which one takes {waiting.seconds:.0f} s")
    taken: list[float] = []
    while len(taken) < least or (sum(taken) < budget and len(taken) < 30):
        started = clock()
        step(len(taken) + 1)
        taken.append(clock() - started)
    return float(np.median(taken))
