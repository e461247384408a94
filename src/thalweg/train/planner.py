"""How runs are executed: measured on the task itself, chosen once, and said with the reason."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thalweg import optim
from thalweg.optim._executors.population import PopulationStep
from thalweg.task import Task, apply
from thalweg.train.compiled import Traced, compile_steps, no_compiler, traced
from thalweg.train.executors import EXECUTORS
from thalweg.train.population import batches, outcomes
from thalweg.train.state import beginnings
from thalweg.train.step import FEWEST, quiet_fallback

__all__ = ["Plan", "compiled", "graphs", "measure", "not_compiled", "obstacle", "ready", "to_compile"]

TOGETHER = 32
"""How many runs train together, at most."""

CACHE = 16 * 2**20
"""Bytes that a population may touch in a step before it outgrows the processor's cache."""

MEMORY = 0.5
"""The share of the memory that is free which all populations together may take."""

WORTH = 20.0
"""CPU seconds of vmapped work below which nothing is compiled: it would not even be worth to look for code."""


@dataclass(frozen=True)
class Plan:
    """How runs of one batch size are executed.

    Attributes:
        executor: a name in `thalweg.train.EXECUTORS`: how the first runs, or all of them, are trained.
        together: how many runs make a population, vmapped or compiled; 1 where there can be none.
        step_seconds: CPU seconds a run and step.
        epoch_seconds: CPU seconds a run takes at the end of each epoch to be evaluated.
        reason: one sentence on why.
        compiles: whether the runs after the first ones wait for compiled code; ``"yes"``, once it is known to be
            faster; ``"pending"``, before that; else empty.
        first: how many runs of the study do not wait.
    """

    executor: str
    together: int
    step_seconds: float
    epoch_seconds: float
    reason: str
    compiles: str = ""
    first: int = 0

    def seconds(self, steps: int, epochs: int) -> float:
        """Return the CPU seconds that a run is expected to take."""
        return steps * self.step_seconds + (epochs + 2) * self.epoch_seconds


@quiet_fallback()
def measure(task: Task, batch_size: int, *, processes: int = 1, memory: float | None = None) -> Plan:
    """Try to train one by one and vmapped for a moment, and choose the faster.

    Takes about a second. What vmap cannot take trains one by one; the reason says what stood in the way.

    Args:
        task: what is trained on.
        batch_size: of the runs.
        processes: how many populations train at once.
        memory: bytes that they may take together; half of what is free if not given.
    """
    size = batches(len(task.train), batch_size)[0].stop
    alone_step, alone_epoch = _time(task, "one by one", 2, size)
    one_by_one = f"{alone_step * 1e6:.0f} µs a run and step"
    weights, touched = _bytes(task, size)
    room = (memory if memory is not None else MEMORY * _free()) / processes
    fits = int(room / (3 * weights + touched))
    together = min(TOGETHER, max(4, 2 ** int(math.log2(max(1, CACHE / touched)))), fits)
    if together < FEWEST:
        reason = f"one by one, at {one_by_one}: {FEWEST} models together do not fit into {room / 2**20:,.0f} MiB"
        return Plan("one by one", 1, alone_step, alone_epoch, reason)
    try:
        step, epoch = _time(task, "vmapped", together, size)
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError, AttributeError) as error:
        reason = f"one by one, at {one_by_one}, because vmap cannot take this model: {obstacle(error)}"
        return Plan("one by one", 1, alone_step, alone_epoch, reason)
    ratio = alone_step / step
    if ratio > 1:
        reason = f"{together} together by vmap, {ratio:.1f} times faster than one by one at {one_by_one}"
        return Plan("vmapped", together, step, epoch, reason)
    reason = f"one by one, at {one_by_one}: {together} together by vmap would take {1 / ratio:.1f} times as long"
    return Plan("one by one", together, alone_step, alone_epoch, reason)


def to_compile(task: Task, batch_size: int, plan: Plan, seconds: float, processes: int) -> Plan:
    """Return the plan with the decision to compile or not, by the CPU seconds of the work there is.

    Code that is there is used. Else compilers come first; what processes are left then begin with a population each,
    uncompiled. Where vmap alone is no faster than one by one, less is to be hoped for, and more work is asked for.
    """
    if plan.together < FEWEST or seconds < WORTH:
        return plan
    if missing := no_compiler():
        return not_compiled(plan, f"because {missing}")
    try:
        needed = graphs(task, batch_size, plan)
    except Exception as error:
        return not_compiled(plan, obstacle(error))
    pending = replace(plan, compiles="pending", first=max(0, processes - len(needed)) * plan.together)
    if all([graph.load() for graph in needed]):  # noqa: C419  load them all
        return compiled(task, batch_size, replace(pending, first=0))
    if seconds < (2 if plan.executor == "vmapped" else 10) * sum(graph.seconds for graph in needed):
        return replace(plan, reason=f"{plan.reason}; compiling would take longer than it can save")
    return pending


def graphs(task: Task, batch_size: int, plan: Plan) -> list[Traced]:
    """Return what a plan needs compiled."""
    return traced(task, plan.together, _sizes(task, batch_size))


@quiet_fallback()
def compiled(task: Task, batch_size: int, plan: Plan) -> Plan:
    """Compile what is not there yet, and return the plan with its figures, or with the reason why it is not used.

    Args:
        task, batch_size, plan: whose ``compiles`` is pending.
    """
    sizes = _sizes(task, batch_size)
    try:
        compile_steps(task, plan.together, sizes)
        step, epoch = _time(task, "compiled", plan.together, sizes[-1])
    except Exception as error:
        return not_compiled(plan, obstacle(error))
    ratio = plan.step_seconds / step
    if ratio <= 1:
        return replace(
            plan, compiles="", reason=f"{plan.reason}; compiled, it would take {1 / ratio:.1f} times as long"
        )
    reason = f"{plan.reason}; compiled another {ratio:.1f} times faster"
    return replace(plan, step_seconds=step, epoch_seconds=epoch, reason=reason, compiles="yes")


def not_compiled(plan: Plan, why: str) -> Plan:
    """Return a plan that goes without, and says why."""
    joined = ", " if why.startswith("because") else ": "
    return replace(plan, compiles="", reason=f"{plan.reason}; not compiled{joined}{why}")


def ready(task: Task, batch_size: int, plan: Plan) -> Plan:
    """Return a plan that was made before, with its code ready; where that is gone, it is compiled again at once."""
    if plan.compiles == "yes":
        compile_steps(task, plan.together, _sizes(task, batch_size))
    return plan


def _sizes(task: Task, batch_size: int) -> list[int]:
    """Return the sizes of an epoch's batches, the full one last."""
    return sorted({cut.stop - cut.start for cut in batches(len(task.train), batch_size)})


def obstacle(error: Exception) -> str:
    """Return what stood in the way: torch's own first sentence, or plainer words for its longest one."""
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if ".item()" in text:
        return "its forward takes a number out of a tensor, by .item() or by an if on the tensor's values"
    return text.partition(". ")[0][:200]


def _time(task: Task, executor: str, runs: int, batch_size: int) -> tuple[float, float]:
    """Return CPU seconds a run and step, and a run and evaluation."""
    models = EXECUTORS[executor](task, beginnings(task, runs))
    rows = torch.arange(batch_size).repeat(len(models.parameters), 1)
    values = [dict(optim.adam().resolved().values)] * runs
    update = PopulationStep(optim.adam, values, models.parameters[:runs])

    def step(number: int) -> None:
        models.differentiate(task.train.at(rows), [number] * len(rows))
        update.step(models.gradients[:runs], number + 1, np.zeros(runs))

    step_seconds = _median_seconds(step, least=3, budget=0.5) / runs
    started = time.process_time()
    outcomes(models, task.valid, task.metric)
    return step_seconds, (time.process_time() - started) / runs


def _median_seconds(step: Callable[[int], None], least: int, budget: float) -> float:
    """Return the median CPU seconds of a call, the first left out, within ``budget`` seconds or so."""
    step(0)
    taken: list[float] = []
    while len(taken) < least or (sum(taken) < budget and len(taken) < 30):
        started = time.process_time()
        step(len(taken) + 1)
        taken.append(time.process_time() - started)
    return float(np.median(taken))


def _bytes(task: Task, batch_size: int) -> tuple[int, int]:
    """Return the bytes of a model's weights, and what a step of one run touches: weights, state and activations."""
    module = task.model(0).train()
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    batch = task.train.at(slice(0, batch_size))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        task.loss(apply(module, batch.inputs), batch.targets)
    return weights, 4 * weights + sum(kept.values())


def _free() -> int:
    """Return the bytes of memory that can be had, those among them in which files are cached."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
