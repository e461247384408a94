"""Runs on this machine: populations in a few processes, each with one thread.

Workers are forked, so that they share the task as it is in memory, whatever it is made of. What passes between
processes is text and arrays. A worker that dies loses its population, which is tried again run by run.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

import torch

from thalweg.recipe import Recipe
from thalweg.record import RunRecord
from thalweg.study.plan import Job
from thalweg.task import Task
from thalweg.train import Member, Result, train
from thalweg.train.planner import Plan

__all__ = ["Chunk", "chunks", "execute", "failed", "record_of"]


@dataclass(frozen=True)
class Chunk:
    """Runs that train together: identities, resolved recipes as TOML, and seeds."""

    executor: str
    runs: tuple[tuple[str, str, int], ...]


def chunks(jobs: Sequence[Job], plans: dict[int, Plan], processes: int) -> list[Chunk]:
    """Return jobs as populations of one batch size and length, so that every process gets as much."""
    groups: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.member.recipe.sizes(), []).append(job)
    found = []
    for (batch_size, _), group in groups.items():
        plan = plans[batch_size]
        # Runs that share a formula stand together: fewer calls a step.
        group.sort(key=lambda job: job.member.recipe.optimizer.name)
        rounds = -(-len(group) // (plan.together * processes))
        size = -(-len(group) // (rounds * processes))
        for start in range(0, len(group), size):
            part = group[start : start + size]
            runs = tuple((job.identity, job.member.recipe.toml(), job.member.seed) for job in part)
            found.append(Chunk(plan.executor, runs))
    return found


def execute(
    task: Task,
    work: Sequence[Chunk],
    *,
    processes: int,
    on_record: Callable[[RunRecord], None],
    on_epochs: Callable[[int], None],
) -> None:
    """Train every chunk; hand over each record as soon as its population is done.

    Args:
        task: what is trained on.
        work: the populations.
        processes: how many work at once; 1 works in this process.
        on_record: gets the record of every run, in any order.
        on_epochs: gets, after each epoch of a population, how many runs went through it.
    """
    if processes == 1 or len(work) == 1 or not sys.platform.startswith("linux"):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for chunk in work:
                for record in _train(task, chunk, on_epochs):
                    on_record(record)
        finally:
            torch.set_num_threads(threads)
        return
    with _Pool(task, min(processes, len(work))) as pool:
        pool.run(work, on_record, on_epochs)


def _train(task: Task, chunk: Chunk, on_epochs: Callable[[int], None]) -> Iterator[RunRecord]:
    """Yield a chunk's records. Where it fails as a whole, its runs are tried one by one; what fails then, failed."""
    members = [Member(Recipe.from_toml(recipe), seed) for _, recipe, seed in chunk.runs]
    count = len(members)
    try:
        results = train(task, members, chunk.executor, on_epoch=lambda: on_epochs(count))
    except Exception as error:
        if count > 1 or chunk.executor != "one by one":
            for run in chunk.runs:
                yield from _train(task, Chunk("one by one", (run,)), lambda _: None)
            return
        yield failed(chunk.runs[0], f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        return
    name = chunk.executor if chunk.executor == "one by one" else f"{chunk.executor}, {len(members)} together"
    for run, result in zip(chunk.runs, results, strict=True):
        yield record_of(run, name, result)


def record_of(run: tuple[str, str, int], executor: str, result: Result) -> RunRecord:
    """Return a result as a record; ``run`` is its identity, its resolved recipe as TOML, and its seed."""
    identity, recipe, seed = run
    return RunRecord(
        identity=identity, recipe=recipe, seed=seed, status="diverged" if result.reason else "finished",
        reason=result.reason, executor=executor, steps=result.steps, cpu_seconds=result.cpu_seconds,
        state_bytes=result.state_bytes, train=result.train, valid=result.valid, test=result.test,
        curve=result.curve, outcomes=result.outcomes,
    )  # fmt: skip


def failed(run: tuple[str, str, int], reason: str) -> RunRecord:
    """Return the record of a run that could not be made."""
    nan = float("nan")
    return RunRecord(*run, "failed", reason, "none", 0, 0.0, 0.0, nan, nan, nan)


class _Pool:
    """Forked workers, each at the other end of a pipe."""

    def __init__(self, task: Task, processes: int) -> None:
        self.task = task
        self.context = multiprocessing.get_context("fork")
        self.workers: dict[Connection, multiprocessing.process.BaseProcess] = {}
        self.processes = processes

    def __enter__(self) -> _Pool:
        for _ in range(self.processes):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.workers.values():
            process.kill()
        for pipe, process in self.workers.items():
            process.join()
            pipe.close()

    def _start(self) -> Connection:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_work, args=(self.task, theirs, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        self.workers[ours] = process
        return ours

    def run(
        self, work: Sequence[Chunk], on_record: Callable[[RunRecord], None], on_epochs: Callable[[int], None]
    ) -> None:
        """Hand out the chunks, longest first as they stand, and collect what comes back."""
        waiting, busy = deque(work), dict[Connection, Chunk]()
        idle = list(self.workers)
        while waiting or busy:
            while idle and waiting:
                pipe = idle.pop()
                busy[pipe] = waiting.popleft()
                pipe.send(busy[pipe])
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                try:
                    message = ready.recv()
                except (EOFError, ConnectionResetError):
                    lost = busy.pop(ready)
                    process = self.workers.pop(ready)
                    process.join()
                    ready.close()
                    idle.append(self._start())
                    if len(lost.runs) > 1:
                        waiting.extend(Chunk("one by one", (run,)) for run in lost.runs)
                    else:
                        reason = f"its process died (exit code {process.exitcode}), perhaps for want of memory"
                        on_record(failed(lost.runs[0], reason))
                    continue
                match message:
                    case RunRecord():
                        on_record(message)
                    case int():
                        on_epochs(message)
                    case None:
                        del busy[ready]
                        idle.append(ready)


def _work(task: Task, pipe: Connection, parent: int) -> None:
    """Train the chunks that come through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with(parent)
    torch.set_num_threads(1)
    while True:
        try:
            chunk = pipe.recv()
            for record in _train(task, chunk, pipe.send):
                pipe.send(record)
            pipe.send(None)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends (Linux's prctl)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
