"""Runs on this machine: a few lanes at once, each a process of its own with one thread.

Lanes are forked, so that they share the task as it is in memory, whatever it is made of, and the code that is
compiled by then. What passes between processes is text and arrays. A lane whose process dies goes on from its
checkpoint; one that dies again, or runs out of memory, is halved; a run that dies alone has failed.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait

import torch

from thalweg.record import RunRecord, StoreError
from thalweg.study.children import Child, fork
from thalweg.study.lanes import (
    Lane,
    Run,
    Watch,
    failed,
    is_memory,
    lane_left,
    lanes_left,
    said,
    state_of,
    train_lane,
)  # fmt: skip
from thalweg.study.plan import Job
from thalweg.study.queues import Queue, company_of, queues
from thalweg.task import Task
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.compiled import Traced, import_compiler
from thalweg.train.planner import Plan, compiled, graphs, not_compiled, obstacle
from thalweg.train.step import FEWEST

__all__ = ["Local"]

PATIENCE = 600.0
"""Seconds without a sign of life after which a lane's process is taken for stuck."""


@dataclass
class _Busy:
    """A lane that trains."""

    lane: Lane
    queue: Queue | None
    left: dict[str, Run]
    child: Child | None = None
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
        self.busy: dict[Connection, _Busy] = {}
        self.compiling: dict[Connection, tuple[int, Child]] = {}
        self.uncompiled: deque[tuple[int, Traced]] = deque()
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
            self._trace()
            self._forked()
        finally:
            for child in [
                *(busy.child for busy in self.busy.values()),
                *(child for _, child in self.compiling.values()),
            ]:
                assert child is not None
                child.end()
            self.busy, self.compiling = {}, {}
            self.uncompiled.clear()

    # -- what is next --------------------------------------------------------------------------------

    def _next(self) -> tuple[Lane, Queue | None] | None:
        """Return the lane to be begun next, and the queue that it takes more from."""
        if self.lanes:
            lane = self.lanes.popleft()
            # What goes on from a checkpoint has done a part of an epoch, and takes more at its end.
            mine = [q for q in self.queues if q.executor == lane.executor and q.slots == lane.slots]
            company = company_of(lane.states[0].member.recipe)
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
                busy = _Busy(lane, queue, {run[0]: run for run in lane.runs})
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
            while len(self.busy) + len(self.compiling) < self.processes:
                if self.uncompiled:
                    self._compile(*self.uncompiled.popleft())
                elif (found := self._next()) is not None:
                    self._start(*found)
                else:
                    break
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
        child = fork(partial(self._work, lane))
        self.busy[child.pipe] = _Busy(lane, queue, {run[0]: run for run in lane.runs}, child)

    def _hear(self, pipe: Connection) -> None:
        busy = self.busy[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):  # the latter where it died amid a message
            self._died(pipe)
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
        child = self.busy.pop(pipe).child
        assert child is not None
        child.end(patience=10)

    def _died(self, pipe: Connection, why: str = "") -> None:
        busy = self.busy.pop(pipe)
        assert busy.child is not None
        code = busy.child.end(patience=0 if why else 10)
        why = why or f"its process died (exit code {code}), perhaps for want of memory"
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

    def _work(self, lane: Lane, pipe: Connection) -> None:
        """Train a lane in a forked process."""

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

    def _trace(self) -> None:
        """Find what queues wait for; the longest to compile is begun first."""
        for size in sorted({queue.batch_size for queue in self.queues if queue.waits}):
            try:
                needed = [graph for graph in graphs(self.task, size, self.plans[size]) if not graph.load()]
            except Exception as error:
                self._planned(size, not_compiled(self.plans[size], obstacle(error)))
                continue
            if not needed:
                self._planned(size, compiled(self.task, size, self.plans[size]))
            needed.sort(key=lambda graph: -graph.seconds)
            self.uncompiled += [(size, graph) for graph in needed]
        if self.uncompiled:
            import_compiler()  # once, for all that are forked

    def _compile(self, size: int, graph: Traced) -> None:
        def work(pipe: Connection) -> None:
            try:
                graph.compile()
            except Exception as error:
                pipe.send(obstacle(error))
            else:
                pipe.send("")

        child = fork(work)
        self.compiling[child.pipe] = size, child

    def _is_compiled(self, pipe: Connection) -> None:
        """Hear of a graph; if it is the last that a batch size waits for, its runs may begin."""
        size, child = self.compiling.pop(pipe)
        try:
            why: str = pipe.recv()
            child.end(patience=10)
        except (EOFError, OSError):
            why = f"the compiler died (exit code {child.end(patience=10)})"
        if not any(queue.waits for queue in self.queues if queue.batch_size == size):
            return
        if why:
            self._planned(size, not_compiled(self.plans[size], why))
            self.uncompiled = deque(found for found in self.uncompiled if found[0] != size)
        elif size not in [other for other, _ in (*self.uncompiled, *self.compiling.values())]:
            self._planned(size, compiled(self.task, size, self.plans[size]))

    def _planned(self, size: int, plan: Plan) -> None:
        self.plans[size] = plan
        self.on_plan(size, plan)
        for queue in self.queues:
            if queue.batch_size == size and queue.waits:
                queue.waits = False
                queue.executor = "compiled" if plan.compiles == "yes" else plan.executor
                queue.slots = 1 if queue.executor == "one by one" else plan.together
