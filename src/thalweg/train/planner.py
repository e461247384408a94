"""How runs are executed: measured on the task itself, chosen once, and said with the reason."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.task import Task
from thalweg.task.memory import at_most, check_size, free, is_memory, size
from thalweg.task.waiting import Waiting
from thalweg.train.compiled import Graph, compile_steps, forget, graphs_of
from thalweg.train.epochs import batches
from thalweg.train.footprint import saved_bytes
from thalweg.train.inductor import no_compiler
from thalweg.train.obstacle import obstacle
from thalweg.train.passes import freeze, parts
from thalweg.train.step import FEWEST, quiet_fallback
from thalweg.train.trial import Trial, timed

__all__ = [
    "SECONDS",
    "WORTH",
    "Here",
    "Plan",
    "Where",
    "compiled",
    "evenly",
    "graphs",
    "look",
    "measure",
    "not_compiled",
    "obstacle",
    "ready",
    "to_compile",
]

TOGETHER = 32
"""How many runs train together, at most."""

CACHE = 16 * 2**20
"""Bytes that a population may touch in a step before it outgrows the processor's cache."""

MEMORY = 0.5
"""The share of the memory that is free which all populations together may take."""

ALONE = 0.8
"""The share that all runs may take which train one by one: where they do not fit, fewer train at once."""

SECONDS = 1.0
"""How long is measured, about, where there is work enough."""

MOMENT = 0.02
"""How long is measured where little depends on it, but something: three steps of each at least."""

PAYS = ((1.0, 3), (0.6, 5), (0.0, 10))
"""How many times what compiling is estimated to take the work must be, by how much faster vmap is than one by one.

Compiled steps of small models take a third of what vmapped ones take, so 1.5 times would be even; on a busy machine
compiling took two thirds more than estimated, and then 2.5 was even. Convolutions are no faster by vmap, but compiled
three times as fast; large products are hardly faster by any means.
"""

WORTH = 20.0
"""CPU seconds of vmapped work below which nothing is compiled: it would not even be worth to look for code."""

LOOKS = 100
"""How many times what it takes to look for code the work must be."""


@dataclass(frozen=True)
class Plan:
    """How runs are executed that have in common what `thalweg.recipe.Together` holds.

    Attributes:
        executor: a name in `thalweg.train.EXECUTORS`: how the first runs, or all of them, are trained.
        together: how many runs make a population, vmapped or compiled; 1 where there can be none.
        step_seconds: CPU seconds a run and step.
        epoch_seconds: CPU seconds a run takes at the end of each epoch to be evaluated.
        reason: one sentence on why.
        compiles: whether the runs after the first ones wait for compiled code; ``"yes"``, once it is known to be
            faster; ``"pending"``, before that; else empty.
        first: how many runs of the study do not wait.
        without: the share of the others that go without all the same, for nodes of a cluster that cannot compile.
        graphs: how many are to be compiled for that.
        nodes: on how many machines, each of which has code of its own.
        threads: how many each of their processes has; more than one only where they train one by one.
        processes: how many of these memory has room for at once; 0 where that is as many as there are cores.
        runs: how many of a population's places are filled, where there are fewer runs than places; 0 if all.
        vmap: how many times faster than one by one it is, if that was measured.
    """

    executor: str
    together: int
    step_seconds: float
    epoch_seconds: float
    reason: str
    compiles: str = ""
    first: int = 0
    graphs: int = 0
    threads: int = 1
    processes: int = 0
    without: float = 0.0
    nodes: int = 1
    runs: int = 0
    vmap: float = 0.0

    def at_once(self, cores: int) -> int:
        """Return how many processes train such runs at once on so many cores."""
        return max(1, min(cores // self.threads, self.processes or cores))

    def share(self, cores: int) -> float:
        """Return how many of the cores one of them takes, with those that stay idle for want of memory."""
        return min(cores, max(self.threads, cores / self.processes if self.processes else 0))

    def seconds(self, steps: int, epochs: int) -> float:
        """Return the CPU seconds that a run is expected to take: those of all its threads."""
        return steps * self.step_seconds + (epochs + 2) * self.epoch_seconds


def evenly(runs: int, most: int, processes: int) -> int:
    """Return how many of some runs a process trains together, so that all processes get as much in the end.

    Args:
        runs: how many there are; with 0, any number.
        most: that train together.
        processes: that train at once.

    >>> evenly(0, 32, 2), evenly(100, 32, 2), evenly(5, 32, 2)
    (32, 25, 3)
    """
    rounds = -(-runs // (most * processes))
    return -(-runs // (rounds * processes)) if runs else most


@quiet_fallback()
def measure(
    task: Task,
    together: Together,
    *,
    processes: int = 1,
    memory: float | None = None,
    seconds: float = SECONDS,
    runs: int = 0,
) -> Plan:
    """Try to train one by one and vmapped for a moment, and choose the faster.

    What vmap cannot take trains one by one; the reason says what stood in the way.

    Args:
        task: what is trained on.
        together: what the runs have in common.
        processes: how many populations train at once; runs one by one in fewer, where memory has no room for so many.
        memory: bytes that they may take together; half of what is free if not given.
        seconds: how long it may take, about; a few steps are tried however little that is.
        runs: how many there are to be trained at once; see `evenly`.

    Raises:
        InputError: there is no memory for one model.
    """
    waiting = Waiting()
    check_size(task.name, freeze(task.model(0), together.freeze), state=2)
    waiting.say(f"measuring how long runs on task {task.name} take", least=1)
    alone = _alone(task, together, processes, seconds / 2)
    if together.alone:
        why = "blocks are computed again" if together.recompute != "none" else "its batches differ in length"
        return _because(alone, why)
    with at_most(free(processes)):
        return _together(task, together, alone, processes, memory, seconds, runs)


def _together(
    task: Task, together: Together, alone: Plan, processes: int, memory: float | None, seconds: float, runs: int
) -> Plan:
    """Return the plan with which runs train together, if that is faster than alone."""
    count, room = _fitting(task, together, processes, memory)
    if count < FEWEST:
        return replace(alone, reason=f"{alone.reason}: {FEWEST} models together do not fit into {size(room)}")
    most = evenly(runs, count, processes)
    while True:
        some = evenly(runs, count, processes)
        try:
            step, epoch = timed(task, together, "vmapped", some, seconds / 2)
            break
        except Exception as error:
            why = "" if is_memory(error) else obstacle(error)
        if why:
            return _because(alone, f"vmap cannot take this model: {why}")
        gc.collect()  # models, which may hold themselves; the exception, which held them, is gone
        if count == FEWEST:
            return _because(alone, f"memory runs out with {FEWEST} models together")
        count = max(FEWEST, count // 2)
    ratio = alone.step_seconds / step
    fewer = f"; with {most} memory runs out" if some < most else ""
    if ratio > 1:
        one_by_one = f"one by one at {alone.step_seconds * 1e6:.0f} µs a run and step"
        reason = f"{some} together by vmap, {ratio:.1f} times faster than {one_by_one}{fewer}"
        return Plan("vmapped", count, step, epoch, reason, vmap=ratio)
    reason = f"{alone.reason}: {some} together by vmap would take {1 / ratio:.1f} times as long{fewer}"
    return replace(alone, together=count, reason=reason, vmap=ratio)


def _because(plan: Plan, why: str) -> Plan:
    return replace(plan, reason=f"{plan.reason}, because {why}")


def _alone(task: Task, together: Together, processes: int, seconds: float) -> Plan:
    """Return the plan of runs one by one, in as many processes as memory has room for.

    Raises:
        InputError: there is no memory for one.
    """
    count = _room_for(task, together, processes)
    while True:
        for runs in (2, 1):
            try:
                with at_most(free(count)):
                    step, epoch = timed(task, together, "one by one", runs, seconds)
            except Exception as error:
                if not is_memory(error):
                    raise InputError(f"a model of task {task.name} cannot be trained: {obstacle(error)}") from error
            else:
                reason = f"one by one, at {step * 1e6:.0f} µs a run and step"
                return Plan("one by one", 1, step, epoch, reason, processes=count if count < processes else 0)
            gc.collect()  # models, which may hold themselves
        if count == 1:
            break
        count //= 2
    examples = batches(len(task.train), together.batch_size)[0].stop
    raise InputError(
        f"memory runs out when one model of task {task.name} trains on a batch of {examples} examples, with "
        f"{size(free())} of it left; take smaller batches, let them pass in parts by accumulate, make the model "
        "smaller, or use a machine with more memory"
    )


def _room_for(task: Task, together: Together, processes: int) -> int:
    """Return how many of so many processes memory has room for, by what a run is estimated to take; 1 at least."""
    if processes == 1:
        return 1
    try:
        weights, touched = _bytes(task, together)
    except Exception:  # what stands in the way is said where a step is tried
        return processes
    needed = 3 * weights + (4 * weights if together.recompute != "none" else touched)
    return next((count for count in range(processes, 1, -1) if needed <= ALONE * free(count)), 1)


@quiet_fallback()
def look(
    task: Task, together: Together, like: Plan, *, processes: int = 1, memory: float | None = None, runs: int = 0
) -> Plan:
    """Return the plan of runs with too little work to be measured: that of others, if vmap takes these too.

    Where few are together, it is tried for a moment whether they had better train one by one.

    Args:
        task, together, processes, memory, runs: as for `measure`.
        like: what was measured of the others, on the same task.
    """
    measured = partial(measure, task, together, processes=processes, memory=memory, runs=runs)
    if together.alone or like.executor != "vmapped":
        return measured(seconds=0)
    count, _ = _fitting(task, together, processes, memory)
    some = evenly(runs, max(1, count), processes)
    if some < 2 * FEWEST:
        return measured(seconds=MOMENT)
    try:
        with at_most(free(processes)):
            Trial(task, together, "vmapped", FEWEST)(0)
    except Exception:
        return measured(seconds=0)
    reason = f"{some} together by vmap, too little work to measure it"
    return replace(like, together=count, reason=reason)


class Where(Protocol):
    """The machines that steps are compiled on, each for itself."""

    def missing(self) -> str:
        """Return why nothing can be compiled on any of them, or nothing."""

    def lacking(self, together: Together, plan: Plan, needed: Sequence[Graph]) -> tuple[int, float]:
        """Return how many have to compile for a kind of runs, and the share of the work that those get who cannot."""

    def compiled(self, task: Task, together: Together, plan: Plan) -> Plan:
        """Return a plan with its figures, where none lacks the code; see `compiled`."""

    def compilers(self, graphs: int) -> int:
        """Return how many cores compile at first, where so many graphs are to be compiled."""


class Here:
    """The machine that this process is on, alone; see `Where`."""

    def missing(self) -> str:
        """See `Where`."""
        return no_compiler()

    def lacking(self, together: Together, plan: Plan, needed: Sequence[Graph]) -> tuple[int, float]:  # noqa: ARG002
        """See `Where`."""
        return int(not all([graph.load() for graph in needed])), 0.0  # noqa: C419  load them all

    def compiled(self, task: Task, together: Together, plan: Plan) -> Plan:
        """See `Where`."""
        return compiled(task, together, plan)

    def compilers(self, graphs: int) -> int:
        """See `Where`."""
        return graphs


def to_compile(task: Task, together: Together, plan: Plan, seconds: float, where: Where | None = None) -> Plan:
    """Return the plan with the decision to compile or not, by the CPU seconds of the work there is.

    Code that is there is used. Where vmap alone is no faster than one by one, less is to be hoped for, and more work
    is asked for; see `PAYS`. Compiled code is for one thread.

    Args:
        task, together, plan: of the runs.
        seconds: that they would take as planned.
        where: they train; on this machine, if not given.
    """
    where = where or Here()
    looking = 3 * plan.together * plan.step_seconds  # steps of two sizes and an evaluation are done once to know them
    if together.alone or plan.threads > 1 or plan.together < FEWEST or seconds < max(WORTH, LOOKS * looking):
        return plan
    if missing := where.missing():
        return not_compiled(plan, f"because {missing}")
    try:
        needed = graphs(task, together, plan)
    except Exception as error:
        return not_compiled(plan, obstacle(error))
    pending = replace(plan, compiles="pending", graphs=len(needed))
    lacking, without = where.lacking(together, pending, needed)
    pending = replace(pending, without=without, nodes=max(1, lacking))
    if not lacking:
        return where.compiled(task, together, pending)
    gain = plan.vmap or float(plan.executor == "vmapped")
    pays = next(times for ratio, times in PAYS if gain >= ratio)
    if seconds < pays * lacking * sum(graph.seconds for graph in needed):
        forget(task, together)
        return replace(plan, reason=f"{plan.reason}; compiling would take longer than it can save")
    return pending


def graphs(task: Task, together: Together, plan: Plan) -> list[Graph]:
    """Return what a plan needs compiled."""
    return graphs_of(task, plan.together, _sizes(task, together), together)


@quiet_fallback()
def compiled(task: Task, together: Together, plan: Plan) -> Plan:
    """Compile what is not there yet, and return the plan with its figures, or with the reason why it is not used.

    Args:
        task, together, plan: whose ``compiles`` is pending.
    """
    try:
        ready(task, together, plan.together)
        some = plan.runs or plan.together
        step, epoch = timed(task, together, "compiled", some, SECONDS / 2, slots=plan.together)
    except Exception as error:
        forget(task, together)
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


def ready(task: Task, together: Together, count: int) -> None:
    """Have the code of so many runs together ready, as was planned; where it is gone, it is compiled at once."""
    compile_steps(task, count, _sizes(task, together), together)


def _sizes(task: Task, together: Together) -> list[int]:
    """Return the sizes of an epoch's batches, the full one last."""
    return sorted({cut.stop - cut.start for cut in batches(len(task.train), together.batch_size)})


def _fitting(task: Task, together: Together, processes: int, memory: float | None) -> tuple[int, float]:
    """Return how many runs are to train together, fewer than `FEWEST` if not so many fit, and the bytes for them."""
    weights, touched = _bytes(task, together)
    room = memory / processes if memory is not None else MEMORY * free(processes)
    fits = int(room / (3 * weights + touched))
    return min(TOGETHER, max(4, 2 ** int(math.log2(max(1, CACHE / touched)))), fits), room


def _bytes(task: Task, together: Together) -> tuple[int, int]:
    """Return the bytes of a model's weights, and what a step of one run touches: weights, state and activations."""
    weights = sum(x.numel() * x.element_size() for x in task.model(0).parameters())
    size = batches(len(task.train), together.batch_size)[0].stop
    part = parts(size, together.accumulate, together.batch_size)[0]
    return weights, 4 * weights + saved_bytes(task, together, part.stop)
