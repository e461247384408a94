"""Runs on this machine: a few lanes at once, each a process of its own, with as many threads as was planned.

Lanes are forked, so that they share the task as it is in memory, whatever it is made of, and the code that is
compiled by then. What passes between processes is text and arrays. A lane whose process dies goes on from its
checkpoint; one that dies again without having got any further, or runs out of memory, is halved; a run that dies so
alone has failed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait

from thalweg.recipe import Together
from thalweg.record import RunRecord, StoreError
from thalweg.study.engines.children import Child, fork
from thalweg.study.engines.compilers import Compilers
from thalweg.study.engines.lanes import (
    Course,
    Lane,
    Run,
    Watch,
    failed,
    lane_left,
    lanes_left,
    not_kept,
    said,
    train_lane,
    train_told,
    went_on,
)  # fmt: skip
from thalweg.study.engines.order import Order
from thalweg.study.engines.queues import Queue
from thalweg.study.plan import Job
from thalweg.task import Task
from thalweg.task.memory import is_memory
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan, compiled, not_compiled
from thalweg.train.threads import threads

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
        processes: how many cores work at once, each on a lane, or several on one with threads; 1 trains in this
            process.
        checkpoints: where lanes keep their state, if anywhere.
        say: gets a sentence on whatever goes another way than planned.
        on_plan: gets the plan of a kind of runs when its code is compiled, or cannot be.
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
        on_plan: Callable[[Together, Plan], None] = lambda *_: None,
        patience: float = PATIENCE,
        seconds: float = 5.0,
    ) -> None:
        self.task, self.processes, self.checkpoints = task, processes, checkpoints
        self.say, self.on_plan, self.patience, self.seconds = say, on_plan, patience, seconds
        self.busy: dict[Connection, _Busy] = {}
        self.told = 0
        self.compilers = Compilers(task, patience)

    def run(
        self,
        jobs: Sequence[Job],
        plans: dict[Together, Plan],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        on_courses: Callable[[list[Course]], None] = lambda _: None,
        meanwhile: Callable[[], None] = lambda: None,
        done: Collection[str] = (),
        begins: bool = False,
    ) -> None:
        """Train every job; hand over each record as soon as its run is done.

        Args:
            jobs: the runs.
            plans: by what runs have in common; the entry of what is compiled meanwhile is replaced.
            done: identities of the jobs that have a record already.
            begins: whether a study begins with these jobs; see `queues`.
            on_record: gets the record of every run, in any order.
            on_epochs: gets, after each epoch of a lane, how many runs went through it.
            on_courses: gets, about once a second from each lane, how far its runs are.
            meanwhile: is called once, when every process has something to do, and this one has not.

        Raises:
            StoreError: a checkpoint could not be written.
        """
        self.on_record, self.on_epochs, self.plans = on_record, on_epochs, plans
        self.on_courses, self.meanwhile = on_courses, meanwhile
        wanted = {job.identity for job in jobs} - set(done)
        if begins and self.checkpoints is not None and (caution := not_kept(self.task)):
            self.say(caution)
        left = lanes_left(self.checkpoints, set()) if self.checkpoints is not None else []
        self._tell_damaged()
        kept = [(lane, tuple(s for s in lane.states if s.member.identity in wanted)) for lane in left]
        for lane, states in kept:
            if not states:
                self._done(lane)
        going_on = [replace(lane, states=states) for lane, states in kept if states]
        self.order = Order(jobs, plans, self.processes, left=going_on, wanted=wanted, begins=begins)
        if self.processes == 1 or not sys.platform.startswith("linux"):
            self._here()
            return
        try:
            for kind in dict.fromkeys(queue.kind for queue in self.order.queues if queue.waits):
                if (plan := self.compilers.find(kind, self.plans[kind])) is not None:
                    self._planned(kind, plan)
            self._forked()
        finally:
            for busy in self.busy.values():
                assert busy.child is not None
                busy.child.end()
            self.busy = {}
            self.compilers.end()

    # -- lanes ---------------------------------------------------------------------------------------

    def _room(self) -> float:
        """Return how many cores have nothing to do."""
        taken = sum(self.order.share(busy.lane) for busy in self.busy.values())
        return self.processes - taken - len(self.compilers.at_work)

    def _apart(self, busy: _Busy, why: str, *, by_memory: bool) -> None:
        """Put a lane's runs that are left where they are tried again in other company, or record that they failed."""
        lane, left = busy.lane, list(busy.left.values())
        if self.checkpoints is not None:
            self.checkpoints.remove(lane.name)
        if not left:
            return
        if len(left) == 1 and lane.executor == "one by one":
            self.on_record(failed(left[0], why))
            return
        self.say(self.order.apart(lane, left, why, by_memory=by_memory))

    # -- in this process -----------------------------------------------------------------------------

    def _here(self) -> None:
        for waiting in self.order.queues:
            if waiting.waits:
                with threads(1):
                    self._planned(waiting.kind, compiled(self.task, waiting.kind, self.plans[waiting.kind]))
        while (found := self.order.next(self.processes)) is not None:
            lane, queue = found
            busy = _Busy(lane, queue, {run[0]: run for run in lane.runs})
            watch = Watch(
                epochs=self.on_epochs, more=partial(self._more, busy), courses=self.on_courses,
                checkpoints=self.checkpoints, seconds=self.seconds,
            )  # fmt: skip
            try:
                train_lane(self.task, lane, watch, partial(self._record, busy))
            except StoreError:
                raise
            except Exception as error:
                self._apart(busy, said(error), by_memory=is_memory(error))
            else:
                self._done(lane)

    def _more(self, busy: _Busy, free: int) -> list[Run]:
        runs = self.order.more(busy.queue, free)
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
        timeout, last = min(5.0, self.patience / 4), time.monotonic()
        while True:
            while (room := self._room()) >= 1:
                if self.compilers.left:
                    self.compilers.begin()
                elif (found := self.order.next(room)) is not None:
                    self._start(*found)
                else:
                    break
            if not self.busy and not self.compilers.at_work:
                return
            self.meanwhile()
            self.meanwhile = lambda: None
            for ready in wait([*self.busy, *self.compilers.at_work], timeout=timeout):
                assert isinstance(ready, Connection)
                if ready in self.compilers.at_work:
                    self._compiled(ready)
                else:
                    self._hear(ready)
            now = time.monotonic()
            self._end_what_is_stuck(now, max(0.0, now - last - timeout))
            last = now

    def _end_what_is_stuck(self, now: float, lost: float) -> None:
        """Lose patience; the seconds in which this process was stopped, perhaps with all others, do not count."""
        for pipe, busy in list(self.busy.items()):
            busy.heard += min(lost, now - busy.heard)
            if now - busy.heard > self.patience:
                self._died(pipe, f"its process gave no sign of life for {self.patience:.0f} s")
        for pipe in self.compilers.stuck(now, lost):
            self._compiled(pipe, "the compiler did not come to an end")

    def _start(self, lane: Lane, queue: Queue | None) -> None:
        child = fork(partial(train_told, self.task, lane, self.checkpoints, self.seconds))
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
            case ("courses", found):
                self.on_courses(found)
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
        mine = lane_left(self.checkpoints, busy.lane.name) if self.checkpoints is not None else None
        self._tell_damaged()
        kept = {state.member.identity: state for state in mine.states} if mine is not None else {}
        # Deaths count where nothing was done between them: any number of kills leaves a lane as it is, to the bit.
        deaths = 1 if went_on(busy.lane, busy.left.keys(), kept.values()) else busy.lane.deaths + 1
        again = replace(busy.lane, deaths=deaths)
        if deaths > 1 or not busy.left:
            self._apart(replace(busy, lane=again), why, by_memory=True)
            return
        states = {identity: state for identity, state in kept.items() if identity in busy.left}
        # What entered after the checkpoint begins anew, in a lane of its own: it may stand elsewhere in its epoch.
        later = [run for identity, run in busy.left.items() if identity not in states]
        if len(busy.left) == 1:
            then = "it begins anew" if not_kept(self.task) else "it goes on from where it was last kept"
            self.say(f"1 run: {why}; {then}")
        else:
            then = "they begin anew" if not_kept(self.task) else "they go on from where they were last kept"
            self.say(f"{len(busy.left)} runs: {why}; {then}")
        if states:
            self.order.lanes.append(replace(again, states=tuple(states.values())))
        else:
            self._done(again)  # which may have left a checkpoint half written
        if later:
            more = self.order.lane(again.executor, again.slots, later, deaths=again.deaths, threads=again.threads)
            self.order.lanes.append(more)

    def _tell_damaged(self) -> None:
        """Say which checkpoints were found damaged since this was last called."""
        found = self.checkpoints.damaged if self.checkpoints is not None else []
        for sentence in found[self.told :]:
            self.say(sentence)
        self.told = len(found)

    # -- compiling -----------------------------------------------------------------------------------

    def _compiled(self, pipe: Connection, why: str = "") -> None:
        """Hear of a graph; if a kind of runs waits for no other, or in vain, they may begin."""
        if (settled := self.compilers.hear(pipe, why)) is None:
            return
        kind, why = settled
        if any(queue.waits for queue in self.order.queues if queue.kind == kind):
            plan = self.plans[kind]
            self._planned(kind, not_compiled(plan, why) if why else compiled(self.task, kind, plan))

    def _planned(self, kind: Together, plan: Plan) -> None:
        self.order.planned(kind, plan)
        self.on_plan(kind, plan)
