"""Runs on this machine: a few lanes at once, each a process of its own with one thread.

Lanes are forked, so that they share the task as it is in memory, whatever it is made of, and the code that is
compiled by then. What passes between processes is text and arrays. A lane whose process dies goes on from its
checkpoint; one that dies again, or runs out of memory, is halved; a run that dies alone has failed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from thalweg.recipe import Recipe, Together
from thalweg.record import RunRecord, StoreError
from thalweg.study.lanes import (
    Chunk,
    Lane,
    Run,
    Watch,
    failed,
    is_memory,
    lane_left,
    lanes_left,
    run_of,
    said,
    state_of,
    train_lane,
)  # fmt: skip
from thalweg.study.plan import Job
from thalweg.task import Task
from thalweg.train.around import gradients_a_step
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.compiled import load_steps
from thalweg.train.planner import Plan, compiled
from thalweg.train.population import batches
from thalweg.train.step import FEWEST

__all__ = ["Local", "chunks", "queues"]

PATIENCE = 600.0
"""Seconds without a sign of life after which a lane's process is taken for stuck."""


Company = tuple[Together, int]
"""What the runs of a queue share: how their batches pass, and how many gradients a step takes."""


def _company(recipe: Recipe) -> Company:
    return recipe.together(), gradients_a_step(recipe)


@dataclass
class Queue:
    """Runs that can share a lane, in the order in which they are begun."""

    executor: str
    slots: int
    company: Company
    runs: deque[Run]
    waits: bool = False
    size: int = 0

    @property
    def batch_size(self) -> int:
        """Of its runs."""
        return self.company[0].batch_size

    def share(self, processes: int) -> int:
        """Return how many runs a lane takes at once, so that all get as much in the end; the same every time."""
        if not self.size:
            rounds = -(-len(self.runs) // (self.slots * processes))
            self.size = -(-len(self.runs) // (rounds * processes))
        return self.size

    def take(self, count: int) -> list[Run]:
        """Return up to so many runs, and be without them."""
        return [self.runs.popleft() for _ in range(min(count, len(self.runs)))]


def queues(jobs: Sequence[Job], plans: Mapping[int, Plan], *, begins: bool = False) -> list[Queue]:
    """Return jobs in queues by what they share and by how they are trained.

    Where the plan is to compile, the first runs of a study are vmapped all the same, whether the code is there by now
    or not: which run is trained how must not depend on how long something takes.

    Args:
        jobs: all of them, those that are done too.
        plans: by batch size.
        begins: whether a study begins with them.
    """
    groups: dict[Company, list[Job]] = {}
    for job in jobs:
        groups.setdefault(_company(job.member.recipe), []).append(job)
    found = []
    for company, group in groups.items():
        plan = plans[company[0].batch_size]
        # The longest first; runs that share a formula stand together: fewer calls a step.
        group.sort(key=lambda job: (-job.member.recipe.sizes()[1], job.member.recipe.optimizer.name))
        runs = [run_of(replace(job.member, identity=job.identity)) for job in group]
        # What is compiled is the plain pass; what is computed again in the backward pass, vmap cannot take.
        shared = company[0]
        plain = shared == Together(batch_size=shared.batch_size)
        first = len(runs) if not plan.compiles or not plain else plan.first if begins else 0
        how = "one by one" if shared.recompute != "none" else plan.executor
        parts = [(how, runs[:first], False), ("compiled", runs[first:], plan.compiles == "pending")]
        found += [
            Queue(executor, 1 if executor == "one by one" else plan.together, company, deque(part), waits)
            for executor, part, waits in parts
            if part
        ]
    return found


def chunks(jobs: Sequence[Job], plans: Mapping[int, Plan], processes: int) -> list[Chunk]:
    """Return jobs as chunks of equal size, so that so many processes get as much; nothing waits for compiled code."""
    found = []
    for queue in queues(jobs, {size: replace(plan, compiles="") for size, plan in plans.items()}):
        while queue.runs:
            found.append(Chunk(queue.executor, queue.slots, tuple(queue.take(queue.share(processes)))))
    return found


@dataclass
class _Busy:
    """A lane that trains in a process."""

    lane: Lane
    process: multiprocessing.process.BaseProcess
    queue: Queue | None
    left: dict[str, Run]
    heard: float = field(default_factory=time.monotonic)


class Local:
    """The engine of one machine.

    Args:
        task: what is trained on.
        processes: how many lanes train at once; 1 trains in this process.
        checkpoints: where lanes keep their state, if anywhere.
        say: gets a sentence on whatever goes another way than planned.
        on_plan: gets the plan of a batch size when its code is compiled, or cannot be.
        patience: see `PATIENCE`.
        seconds: from one checkpoint of a lane to the next.
    """

    def __init__(
        self,
        task: Task,
        *,
        processes: int,
        checkpoints: Checkpoints | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_plan: Callable[[int, Plan], None] = lambda *_: None,
        patience: float = PATIENCE,
        seconds: float = 5.0,
    ) -> None:
        self.task, self.processes, self.checkpoints = task, processes, checkpoints
        self.say, self.on_plan, self.patience, self.seconds = say, on_plan, patience, seconds
        self.context = multiprocessing.get_context("fork" if sys.platform.startswith("linux") else None)
        self.busy: dict[Connection, _Busy] = {}
        self.compiling: dict[Connection, tuple[int, Plan, multiprocessing.process.BaseProcess]] = {}
        self.taken: set[str] = set()
        self.count = 1

    def run(
        self,
        jobs: Sequence[Job],
        plans: dict[int, Plan],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        done: Collection[str] = (),
        begins: bool = False,
    ) -> None:
        """Train every job; hand over each record as soon as its run is done.

        Args:
            jobs: the runs.
            plans: by batch size; the entry of one that is compiled meanwhile is replaced.
            done: identities of the jobs that have a record already.
            begins: whether a study begins with these jobs; see `queues`.
            on_record: gets the record of every run, in any order.
            on_epochs: gets, after each epoch of a lane, how many runs went through it.

        Raises:
            StoreError: a checkpoint could not be written.
        """
        self.on_record, self.on_epochs, self.plans = on_record, on_epochs, plans
        wanted = {job.identity for job in jobs} - set(done)
        left = lanes_left(self.checkpoints, set()) if self.checkpoints is not None else []
        for sentence in self.checkpoints.damaged if self.checkpoints is not None else ():
            self.say(sentence)
        kept = [(lane, tuple(s for s in lane.states if s.member.identity in wanted)) for lane in left]
        self.lanes = deque(replace(lane, states=states) for lane, states in kept if states)
        self.taken = {lane.name for lane in self.lanes}
        for lane, states in kept:
            if not states:
                self._done(lane)
        begun = {state.member.identity for lane in self.lanes for state in lane.states}
        self.queues = queues(jobs, plans, begins=begins)
        for queue in self.queues:
            queue.runs = deque(run for run in queue.runs if run[0] in wanted - begun)
        self.queues = [queue for queue in self.queues if queue.runs]
        if self.processes == 1 or not sys.platform.startswith("linux"):
            self._here()
            return
        try:
            self._compile()
            self._forked()
        finally:
            for process in [*(busy.process for busy in self.busy.values()), *(c[2] for c in self.compiling.values())]:
                process.kill()
                process.join()
            for pipe in (*self.busy, *self.compiling):
                pipe.close()
            self.busy, self.compiling = {}, {}

    # -- what is next --------------------------------------------------------------------------------

    def _next(self) -> tuple[Lane, Queue | None] | None:
        """Return the lane to be begun next, and the queue that it takes more from."""
        if self.lanes:
            lane = self.lanes.popleft()
            # What goes on from a checkpoint has done a part of an epoch, and takes more at its end.
            mine = [q for q in self.queues if q.executor == lane.executor and q.slots == lane.slots]
            company = _company(lane.states[0].member.recipe)
            return lane, next((q for q in mine if q.company == company and not lane.deaths), None)
        ready = [queue for queue in self.queues if queue.runs and not queue.waits]
        if not ready:
            return None
        first = ready[0]
        runs = first.take(first.share(self.processes))
        slots = first.slots if first.executor == "compiled" else max(len(runs), 1)
        return self._lane(first.executor, slots, runs), first

    def _lane(self, executor: str, slots: int, runs: Sequence[Run], deaths: int = 0) -> Lane:
        # A number that was had by a process before the kill may be had again.
        while (name := f"lane-{os.getpid()}-{self.count}") in self.taken:
            self.count += 1
        self.taken.add(name)
        return Lane(name, executor, slots, tuple(map(state_of, runs)), deaths)

    def _apart(self, busy: _Busy, why: str, *, by_memory: bool) -> None:
        """Put a lane's runs that are left where they are tried again in other company, or record that they failed."""
        lane, left = busy.lane, list(busy.left.values())
        if self.checkpoints is not None:
            self.checkpoints.remove(lane.name)
        if not left:
            return
        if len(left) == 1 and lane.executor == "one by one":
            self.on_record(failed(left[0], why))
        elif by_memory and len(left) >= 2 * FEWEST and lane.executor != "one by one":
            half = -(-len(left) // 2)
            self.say(f"{len(left)} runs together: {why}; they go on in halves")
            self.lanes += [
                self._lane("vmapped", half, part, lane.deaths) for part in (left[:half], left[half:])
            ]  # fmt: skip
        else:
            self.say(f"{len(left)} run{'s' * (len(left) != 1)} together: {why}; tried again one by one")
            self.lanes += [self._lane("one by one", 1, [run], lane.deaths) for run in left]

    # -- in this process -----------------------------------------------------------------------------

    def _here(self) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for waiting in self.queues:
                if waiting.waits:
                    self._planned(
                        waiting.batch_size, compiled(self.task, waiting.batch_size, self.plans[waiting.batch_size])
                    )
            while (found := self._next()) is not None:
                lane, queue = found
                me: Any = multiprocessing.current_process()
                busy = _Busy(lane, me, queue, {run[0]: run for run in lane.runs})
                watch = Watch(
                    epochs=self.on_epochs, more=partial(self._more, busy), checkpoints=self.checkpoints,
                    seconds=self.seconds,
                )  # fmt: skip
                try:
                    train_lane(self.task, lane, watch, partial(self._record, busy))
                except StoreError:
                    raise
                except Exception as error:
                    self._apart(busy, said(error), by_memory=is_memory(error))
                else:
                    self._done(lane)
        finally:
            torch.set_num_threads(threads)

    def _more(self, busy: _Busy, free: int) -> list[Run]:
        queue = busy.queue
        if queue is None or queue.waits or not queue.runs:
            return []
        runs = queue.take(min(free, queue.share(self.processes)))
        busy.left.update({run[0]: run for run in runs})
        return runs

    def _record(self, busy: _Busy, run: RunRecord) -> None:
        busy.left.pop(run.identity, None)
        self.on_record(run)

    def _done(self, lane: Lane) -> None:
        if self.checkpoints is not None:
            self.checkpoints.remove(lane.name)

    # -- in processes --------------------------------------------------------------------------------

    def _forked(self) -> None:
        while True:
            while len(self.busy) < self.processes and (found := self._next()) is not None:
                self._start(*found)
            if not self.busy and not self.compiling:
                return
            for ready in wait([*self.busy, *self.compiling], timeout=min(5.0, self.patience / 4)):
                assert isinstance(ready, Connection)
                if ready in self.compiling:
                    self._is_compiled(ready)
                else:
                    self._hear(ready)
            for pipe, busy in list(self.busy.items()):
                if time.monotonic() - busy.heard > self.patience:
                    self._died(pipe, f"its process gave no sign of life for {self.patience:.0f} s")

    def _start(self, lane: Lane, queue: Queue | None) -> None:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=self._work, args=(lane, theirs, os.getpid()), daemon=True)
        with _no_interrupt():
            process.start()
        theirs.close()
        self.busy[ours] = _Busy(lane, process, queue, {run[0]: run for run in lane.runs})

    def _hear(self, pipe: Connection) -> None:
        busy = self.busy[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):  # the latter where it died amid a message
            busy.process.join()
            self._died(pipe, f"its process died (exit code {busy.process.exitcode}), perhaps for want of memory")
            return
        busy.heard = time.monotonic()
        match message:
            case RunRecord():
                self._record(busy, message)
            case ("epochs", count):
                self.on_epochs(count)
            case ("more", free):
                with suppress(BrokenPipeError, ConnectionResetError):  # it died, which is heard next
                    pipe.send(self._more(busy, free))
            case ("full", sentence):
                raise StoreError(sentence)
            case ("raised", sentence, by_memory):
                self._end(pipe)
                self._apart(busy, sentence, by_memory=by_memory)
            case "done":
                self._end(pipe)
                self._done(busy.lane)

    def _end(self, pipe: Connection) -> None:
        busy = self.busy.pop(pipe)
        busy.process.join(timeout=10)
        busy.process.kill()  # where what the task imported keeps it
        pipe.close()

    def _died(self, pipe: Connection, why: str) -> None:
        busy = self.busy[pipe]
        busy.process.kill()
        self._end(pipe)
        damaged = len(self.checkpoints.damaged) if self.checkpoints is not None else 0
        again = replace(busy.lane, deaths=busy.lane.deaths + 1)
        if busy.lane.deaths or not busy.left:
            self._apart(replace(busy, lane=again), why, by_memory=True)
            return
        mine = None
        if self.checkpoints is not None:
            mine = lane_left(self.checkpoints, again.name)
            for sentence in self.checkpoints.damaged[damaged:]:
                self.say(sentence)
        kept = {state.member.identity: state for state in mine.states} if mine is not None else {}
        states = {identity: state for identity, state in kept.items() if identity in busy.left}
        # What entered after the checkpoint begins anew, in a lane of its own: it may stand elsewhere in its epoch.
        later = [run for identity, run in busy.left.items() if identity not in states]
        self.say(
            f"{len(busy.left)} run{'s' * (len(busy.left) != 1)}: {why}; they go on from where they were last kept"
        )
        if states:
            self.lanes.append(replace(again, states=tuple(states.values())))
        if later:
            self.lanes.append(self._lane(again.executor, again.slots, later, again.deaths))

    def _work(self, lane: Lane, pipe: Connection, parent: int) -> None:
        """Train a lane in a forked process."""
        _belong_to(parent)
        torch.set_num_threads(1)

        def more(free: int) -> Sequence[Run]:
            pipe.send(("more", free))
            runs: Sequence[Run] = pipe.recv()
            return runs

        watch = Watch(
            epochs=lambda count: pipe.send(("epochs", count)), more=more, alive=lambda: pipe.send("alive"),
            checkpoints=self.checkpoints, seconds=self.seconds,
        )  # fmt: skip
        try:
            try:
                train_lane(self.task, lane, watch, pipe.send)
            except StoreError as error:
                pipe.send(("full", str(error)))
            except Exception as error:
                pipe.send(("raised", said(error), is_memory(error)))
            else:
                pipe.send("done")
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return

    # -- compiling -----------------------------------------------------------------------------------

    def _compile(self) -> None:
        """Begin to compile what queues wait for, in the background."""
        for size in {queue.batch_size for queue in self.queues if queue.waits}:
            ours, theirs = self.context.Pipe()
            process = self.context.Process(
                target=_compile, args=(self.task, size, self.plans[size], theirs, os.getpid()), daemon=True
            )
            with _no_interrupt():
                process.start()
            theirs.close()
            self.compiling[ours] = size, self.plans[size], process

    def _is_compiled(self, pipe: Connection) -> None:
        size, plan, process = self.compiling.pop(pipe)
        try:
            found: Plan = pipe.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            found = replace(
                plan, compiles="", reason=f"{plan.reason}; not compiled: the compiler died ({process.exitcode})"
            )
        process.join()
        pipe.close()
        if found.compiles == "yes":
            cuts = batches(len(self.task.train), size)
            load_steps(self.task, found.together, sorted({cut.stop - cut.start for cut in cuts}))
        self._planned(size, found)

    def _planned(self, size: int, plan: Plan | None) -> None:
        assert plan is not None, "what is not cached has been compiled"
        self.plans[size] = plan
        self.on_plan(size, plan)
        for queue in self.queues:
            if queue.batch_size == size and queue.waits:
                queue.waits = False
                queue.executor = "compiled" if plan.compiles == "yes" else plan.executor
                queue.slots = 1 if queue.executor == "one by one" else plan.together


def _compile(task: Task, size: int, plan: Plan, pipe: Connection, parent: int) -> None:
    _belong_to(parent)
    torch.set_num_threads(1)
    pipe.send(compiled(task, size, plan))


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back, so that a process that is forked meanwhile never gets it; see `_belong_to`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _belong_to(parent: int) -> None:
    """Leave Ctrl-C to the parent; and have the kernel kill this process when that ends, however (Linux's prctl)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
