"""Processes against threads: where cores would be idle, whether each run had better have several of them.

They would be where a study has fewer runs than there are cores, where memory has room for fewer, and where the last
round is not a full one. It is tried on the task itself and by the clock, with as many processes at once as there
would be; a small model gains nothing, and keeps its one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from thalweg.recipe import Together
from thalweg.study.budget import Arm, counts, span
from thalweg.study.engines.children import Child, fork, is_forked
from thalweg.study.plan import like
from thalweg.task import Task
from thalweg.task.memory import at_most, free
from thalweg.train.planner import Plan, evenly
from thalweg.train.step import FEWEST, quiet_fallback
from thalweg.train.threads import threads as as_many_threads
from thalweg.train.trial import repeats, timed

__all__ = ["spread", "tried"]

GAIN = 1.15
"""How many times faster all must be than with one thread each."""

SHARE = 0.1
"""The part of the time that the runs would take which measuring may take."""

LEAST = 0.3
"""Seconds, about, that one measurement takes at least, its processes and models included."""

PATIENCE = 300.0
"""Seconds after which a process that says nothing is taken for stuck."""

SHARED = 0.9
"""The part of a step, of a model that fills a core, that threads share among them; by what may be hoped for."""

MOST = 3
"""How many numbers of threads are tried, those first of which most can be hoped for."""


def spread(task: Task, arms: Sequence[Arm], plans: Mapping[Together, Plan], cores: int) -> dict[Together, Plan]:
    """Return the plans of the runs for which several threads were tried, with as many as they had better have.

    Args:
        task: what is trained on.
        arms: what is run at the same time, arm after arm.
        plans: by kind, with one thread each, and nothing compiled.
        cores: how many work at once; processes times threads are never more.
    """
    kinds = {recipe.together() for arm in arms for recipe, _ in arm}
    looked = {like(kind): kind for kind in kinds}  # those that are alike are measured once

    def whole(found: Mapping[Together, Plan]) -> float:
        return sum(span(task, arm, found, cores) for arm in arms)

    def each(found: Mapping[Together, Plan]) -> dict[Together, Plan]:
        return {kind: found[like(kind)] for kind in kinds}

    today = whole(plans)
    hoped = {
        threads: whole({kind: _hoped(plans[kind], threads) for kind in kinds})
        for threads in {cores // processes for processes in range(1, cores)}
    }
    chances = sorted((threads for threads in hoped if today >= GAIN * hoped[threads]), key=lambda one: hoped[one])
    takes = max(8 * plans[kind].step_seconds + 2 * plans[kind].epoch_seconds for kind in looked.values())
    affordable = int(SHARE * today / (LEAST + takes) / len(looked)) - 1
    if not chances or affordable < 1 or is_forked():  # whose threads would wait for those of its parent
        return {}
    trials = _Trials(task, arms, plans, cores)
    one = {key: trials.with_one(kind) for key, kind in looked.items()}
    best, base = one, whole(each(one))
    least, ratios = base, dict.fromkeys(looked, (0.0, 1))
    for threads in chances[: min(MOST, affordable)]:
        found = dict(one)
        for key, kind in looked.items():
            if (plan := trials.tried(kind, "one by one", threads)) is not None:
                ratio = _wall(one[key]) / _wall(plan)
                ratios[key] = max(ratios[key], (ratio, threads))
                found[key] = plan if ratio >= GAIN else one[key]
        seconds = whole(each(found))
        if seconds < least and GAIN * seconds <= base:
            best, least = found, seconds
    return {kind: _said(plans[kind], one[like(kind)], best[like(kind)], *ratios[like(kind)]) for kind in kinds}


def _hoped(plan: Plan, threads: int) -> Plan:
    """Return the plan of runs with so many threads as one may hope that it is, before it is measured."""
    more = 1 + (1 - SHARED) * (threads - 1)
    return replace(
        plan, threads=threads, step_seconds=more * plan.step_seconds, epoch_seconds=more * plan.epoch_seconds
    )


def _wall(plan: Plan) -> float:
    """Return the seconds of a run and step, by the clock."""
    return plan.step_seconds / plan.threads


def _said(plan: Plan, one: Plan, best: Plan, ratio: float, threads: int) -> Plan:
    """Return what was chosen, and why.

    Args:
        plan: as it was before.
        one: the best with one thread, as measured.
        best: what was chosen.
        ratio, threads: how many times faster than ``one`` the best number of threads is, if any could be tried.
    """
    if best.threads > 1 and plan.executor == "one by one":
        gain = f"with {best.threads} threads {_wall(one) / _wall(best):.1f} times faster"
        return replace(best, reason=f"{plan.reason}; {gain}")
    if best.executor != plan.executor:
        how = f"with {best.threads} threads " if best.threads > 1 else ""
        reason = f"one by one {how}at {_wall(best) * 1e6:.0f} µs a run and step, as there are few runs for the cores"
        return replace(best, reason=f"{reason}; many would be {plan.reason}")
    less = (
        f"; with {threads} threads only {ratio:.1f} times faster"
        if ratio >= 1.05
        else "; no faster with more threads"
    )
    return replace(plan, reason=plan.reason + less)


class _Trials:
    """What is measured of the runs of a study."""

    def __init__(self, task: Task, arms: Sequence[Arm], plans: Mapping[Together, Plan], cores: int) -> None:
        self.task, self.plans, self.cores = task, plans, cores
        self.most = max(sum(count for _, count in arm) for arm in arms)
        self.counts = counts(arms)

    def with_one(self, kind: Together) -> Plan:
        """Return the plan of a kind with one thread, as its runs would be trained with as many cores."""
        plan = self.plans[kind]
        found = self.tried(kind, plan.executor, 1)
        if plan.executor != "one by one" and self._company(kind) < FEWEST:  # which would be filled up
            alone = self.tried(kind, "one by one", 1)
            found = min(filter(None, (found, alone)), key=_wall, default=None)
        return found if found is not None else plan

    def tried(self, kind: Together, executor: str, threads: int) -> Plan | None:
        """Return the plan of a kind that is trained in such a way, with its figures; None where it cannot be."""
        plan = replace(self.plans[kind], executor=executor, threads=threads)
        runs = 1 if executor == "one by one" else self._company(kind)
        processes = min(plan.at_once(self.cores), self.most)
        found = tried(self.task, kind, executor, runs, threads=threads, processes=processes, seconds=LEAST / 2)
        if found is None:
            return None
        return replace(plan, step_seconds=threads * found[0], epoch_seconds=threads * found[1])

    def _company(self, kind: Together) -> int:
        """Return how many runs of a kind would train together."""
        return evenly(self.counts[kind], self.plans[kind].together, self.cores)


def tried(
    task: Task, together: Together, executor: str, runs: int, *, threads: int, processes: int, seconds: float
) -> tuple[float, float] | None:
    """Return seconds by the clock of a run and step, and of a run and evaluation; None where it cannot be said.

    It cannot where a process fails, or where the same step comes to other bits each time.

    Args:
        task, together, executor, runs: as for `thalweg.train.trial.timed`.
        threads: of each process.
        processes: how many do the same at once.
        seconds: for how long, about.
    """
    room = free(processes)

    @quiet_fallback()
    def measured(ready: Callable[[], object]) -> tuple[float, float] | None:
        with suppress(Exception), as_many_threads(threads), at_most(room):
            if threads == 1 or repeats(task, together):
                timed(task, together, executor, runs, 0.0)  # what is done once is done then
                ready()
                return timed(task, together, executor, runs, seconds, time.perf_counter)
        return None

    def work(pipe: Connection) -> None:
        def ready() -> None:
            pipe.send("ready")
            pipe.recv()  # so that all begin together

        pipe.send(measured(ready))

    if not sys.platform.startswith("linux"):
        return measured(lambda: None) if processes == 1 else None
    children = [fork(work) for _ in range(processes)]
    try:
        if any(_heard(child) is None for child in children):
            return None
        for child in children:
            child.pipe.send("all are")
        figures = [_heard(child) for child in children]
    except (EOFError, OSError):
        return None
    finally:
        for child in children:
            child.end()
    if None in figures:
        return None
    step, epoch = (sum(column) / len(figures) for column in zip(*figures, strict=True))
    return step, epoch


def _heard(child: Child) -> Any:
    """Return what a process says.

    Raises:
        EOFError, OSError: it says nothing.
    """
    if not child.pipe.poll(PATIENCE):
        raise EOFError
    return child.pipe.recv()
