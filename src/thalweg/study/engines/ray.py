"""Runs on many machines: lanes are the tasks of a Ray cluster, and the process that asks alone writes.

Ray's own retries are off. A lane whose process or node is lost, or gives no sign of life, is sent again by our own
count, less the runs that came back, from where it was last kept; what is lost again and again without getting on is
tried run by run, and in the end recorded as failed, with the reason.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from typing import Any

from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.record import RunRecord
from thalweg.study.engines.again import Again, Sent, epochs_in, epochs_of, made_of
from thalweg.study.engines.cluster import installed, joined
from thalweg.study.engines.codes import Codes
from thalweg.study.engines.kept import Kept
from thalweg.study.engines.lanes import Course, Lane, not_kept
from thalweg.study.engines.local import PATIENCE
from thalweg.study.engines.nodes import Nodes, gone, never_begun, on, why
from thalweg.study.engines.order import Order
from thalweg.study.engines.queues import Queue
from thalweg.study.engines.travelling import decoded, packed, record_from, sent
from thalweg.study.engines.worker import beginning, remote
from thalweg.study.plan import Job
from thalweg.task import Task
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan

__all__ = ["Cluster"]

_BEGUN_WITHIN = 120.0  # seconds for a lane to get a core; and at least, for a process to have what it needs


class Cluster:
    """A Ray cluster whose nodes have the task; a context, which leaves the cluster in the end.

    Nodes that have other versions, or cannot load the task, or make another model of it, are left out, and it is said
    which and why. Nodes that come later are used too.

    Args:
        task: what is trained on; it travels by value, with the user's own files.
        address: ``host:port`` of the cluster's head, this machine being one of its nodes; ``"auto"`` for the cluster
            that runs here. If not given, the environment's ``RAY_ADDRESS``, or else a cluster of this machine alone,
            which ends with the context. Where Ray is initialised already, its cluster is used.
        processes: how many lanes train at once, at most; as many as the cluster has cores, if not given.
        checkpoints: where lanes are kept, if anywhere.
        say: gets lines: the cluster's size, what was lost, and which node goes without compiled code.
        on_plan: gets the plan of a kind of runs when a node has its code, or none can have it.
        patience: seconds without a sign of life after which a process is taken for stuck, and ended.

    Raises:
        InputError: on entering: Ray is not installed, the cluster cannot be reached or used, the task cannot be sent,
            or no node can train it. Later: the cluster's head is gone, or no node can have the code of runs that
            are compiled.
    """

    def __init__(
        self,
        task: Task,
        address: str | None = None,
        *,
        processes: int | None = None,
        checkpoints: Checkpoints | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_plan: Callable[[Together, Plan], None] = lambda *_: None,
        patience: float = PATIENCE,
    ) -> None:
        self.ray = installed()
        self.task, self.checkpoints, self.say, self.patience = task, checkpoints, say, patience
        self.on_plan = on_plan
        self.most = processes
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._busy: dict[Any, Sent] = {}
        self._done: set[str] = set()
        self._crowded: set[str] = set()
        self._waited = False

    @property
    def processes(self) -> int:
        """How many lanes train at once."""
        return min(self.nodes.cores, self.most or self.nodes.cores)

    @property
    def _kept(self) -> Kept:
        return Kept(self.checkpoints, self.say)

    def __enter__(self) -> Cluster:
        ray = self.ray
        with ExitStack() as leaving:
            if ray.is_initialized():
                self.address = ray.get_runtime_context().gcs_address
            else:
                leaving.enter_context(joined(ray, self.address))
            admit, self._work, code = remote(ray)
            # In a list, so that Ray hands over the reference and a process that has the task does not load it again.
            self._task = [ray.put(packed(self.task))]
            say = lambda line: self.say(line)  # noqa: E731  who is told may change
            self.nodes = Nodes(ray, self.address, admit, self._task, beginning(self.task), say)
            leaving.callback(self.nodes.leave)
            self.nodes.gather()
            self.codes = Codes(ray, code, self._task, self.nodes, say, self.patience)
            leaving.callback(self._end_all)
            self._leaving = leaving.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()

    def _end_all(self) -> None:
        self.codes.end()
        for stream in list(self._busy):
            self._end(stream)

    def run(
        self,
        jobs: Sequence[Job],
        plans: Mapping[Together, Plan],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        on_courses: Callable[[list[Course]], None] = lambda _: None,
        meanwhile: Callable[[], None] = lambda: None,
        done: Collection[str] = (),
        begins: bool = False,
    ) -> None:
        """Train every job; see `thalweg.study.engines.local.Local.run`.

        Each run has one thread. ``on_epochs`` gets less than 0 where epochs were lost that it was told of.

        Raises:
            InputError: the cluster's head is gone, or no node can have the code of runs that are
                compiled.
            StoreError: a checkpoint could not be written.
        """
        wanted = {job.identity for job in jobs} - set(done)
        if begins and self.checkpoints is not None and (caution := not_kept(self.task)):
            self.say(caution)
        alike = {kind: replace(plan, threads=1, processes=0) for kind, plan in plans.items()}
        left = [made_of(lane, lane.states, compiles=alike[_kind(lane)].compiles) for lane in self._kept.left(wanted)]
        order = Order(jobs, alike, max(1, self.processes), left=left, wanted=wanted, begins=begins)
        self.train(order, on_record=on_record, on_epochs=on_epochs, on_courses=on_courses, meanwhile=meanwhile)

    def train(
        self,
        order: Order,
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        on_courses: Callable[[list[Course]], None] = lambda _: None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Train what there is in an order, to the end; see `run`."""
        self._order, self._on_record, self._on_epochs, self._on_courses = order, on_record, on_epochs, on_courses
        self._again = Again(order, self._kept, self._record, self._count, self.say)
        self._listened = time.monotonic()
        for lane in order.lanes:
            self._count(epochs_in(lane.states))
        while True:
            self.nodes.look()
            self._see_to_code()
            self._hand_out()
            if self._busy:
                meanwhile()
                meanwhile = lambda: None  # noqa: E731
            elif not order.lanes and not any(queue.runs for queue in order.queues):
                return
            if self._busy or self.nodes.asked or self.codes.asked:
                self._listen()
            else:
                self._wait_for_nodes()

    def _see_to_code(self) -> None:
        """Have the nodes get what the runs that are left are to be trained with, and be told what became of it."""
        order = self._order
        kinds = {queue.kind for queue in order.queues if queue.executor == "compiled" and queue.runs}
        kinds |= {_kind(lane) for lane in order.lanes if lane.executor == "compiled"}
        self.codes.need({kind: order.plans[kind] for kind in kinds})
        for kind in kinds:
            if order.plans[kind].compiles == "pending" and (plan := self.codes.became(kind)) is not None:
                order.planned(kind, plan)
                self.on_plan(kind, plan)

    def _hand_out(self) -> None:
        """Give every core of every node something to do, compilers first.

        Ray is never left to choose, so that it can lose nothing on its own.
        """
        load = self.codes.load + Counter(one.node for one in self._busy.values())
        while load.total() < self.processes:
            free = [identity for identity, node in self.nodes.used.items() if load[identity] < node.cores]
            free.sort(key=lambda identity: load[identity])
            node = next((identity for identity in free if self.codes.begin(identity)), None)
            if node is None:
                # If need be where it was lost, again.
                tries = product((False, True) if len(free) > 1 else (True,), free)
                found = next(((node, lane) for again, node in tries if (lane := self._next(node, again=again))), None)
                if found is None:
                    return
                node, lane = found
                values = {**sent(lane), "keep": self._kept.pace(self.processes)}
                self._busy[self._work.options(**on(node)).remote(self._task, values)] = Sent(lane, node)
            load[node] += 1

    def _next(self, node: str, *, again: bool) -> Lane | None:
        """Return the lane to be begun next on a node, if there is any; also one that was lost there, or none such."""
        order = self._order

        def able(one: Lane | Queue, kind: Together) -> bool:
            return one.executor != "compiled" or self.codes.has(kind, node)

        for place, lane in enumerate(order.lanes):
            if able(lane, _kind(lane)) and (again or self._again.was.get(lane.name) != node):
                del order.lanes[place]
                return lane
        # What only some nodes can train is first there.
        mine = [queue for queue in order.queues if able(queue, queue.kind)]
        found = order.begun(1.0, sorted(mine, key=lambda queue: queue.executor != "compiled"))
        return found[0] if found is not None else None

    def _wait_for_nodes(self) -> None:
        """Wait for a node that can train what is left.

        Raises:
            InputError: there are nodes, and none could ever train it.
        """
        kinds = {queue.kind for queue in self._order.queues if queue.runs} | set(map(_kind, self._order.lanes))
        reason = next(filter(None, map(self.codes.trouble, kinds)), "")
        if reason and not self.codes.was_there:
            raise InputError(
                "the steps of this study are compiled, and no node of the Ray cluster can have the code: "
                f"{reason}; add a node that can, or choose another --out"
            )
        if reason and not self._waited:
            self._waited = True
            self.say(
                "what is left is compiled; waiting for a node that can have the code (what is finished is recorded)"
            )
        time.sleep(0.2)

    # -- what is heard -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take what comes within a second, one message of each; end what has been silent for too long."""
        open_ = [*self._busy, *self.nodes.asked, *self.codes.asked]
        self.ray.wait(open_, timeout=1.0, fetch_local=False)
        ready = set(self.ray.wait(open_, num_returns=len(open_), timeout=0, fetch_local=False)[0])
        # Where this process was held up itself, nobody has been silent.
        passed = min(time.monotonic() - self._listened, 2.0)
        self._listened = time.monotonic()
        for one in open_:
            if one in self.codes.asked:
                self.codes.hear(one) if one in ready else self.codes.waited(one, passed)
            elif one not in self._busy:
                if one in ready:
                    self.nodes.answered(one)
            elif one in ready:
                self._receive(one)
            else:
                self._busy[one].silent += passed
                self._end_if_stuck(one)

    def _receive(self, stream: Any) -> None:
        one = self._busy[stream]
        try:
            message = self.ray.get(next(stream), timeout=max(60.0, self.patience))
        except StopIteration:
            del self._busy[stream]
            self._again.lost(one, f"its process{self._where(one)} ended without a record of every run")
            return
        except self.ray.exceptions.RayError as error:
            self._end(stream)
            if never_begun(error):
                self._order.lanes.append(one.lane)
            else:
                self._again.lost(one, why(error, self._where(one)), node_to_blame=gone(error))
            if gone(error):
                self.nodes.drop(one.node)
            return
        one.silent, one.begun, one.trains = 0.0, True, "begun" not in message
        self._crowded.discard(one.node)
        match message:
            case {"epochs": count}:
                one.told += count
                self._count(count)
            case {"courses": found}:
                self._on_courses(found)
            case {"kept": tensors, "facts": facts}:
                self._kept.save(one.lane, decoded(tensors), json.loads(facts))
            case {"record": values}:
                record = record_from(values)
                if one.left.pop(record.identity, None) is not None:
                    one.told -= epochs_of(record)
                self._record(record)
            case {"raised": reason, "memory": by_memory}:
                del self._busy[stream]
                self._again.apart(one, reason, by_memory=by_memory)

    def _record(self, record: RunRecord) -> None:
        """Hand over a record; the first of a run wins."""
        if record.identity not in self._done:
            self._done.add(record.identity)
            self._on_record(record)

    def _end(self, stream: Any) -> Sent:
        """Be without a lane, and let its process be killed, wherever it hangs."""
        self.ray.cancel(stream, force=True)
        return self._busy.pop(stream)

    def _count(self, epochs: int) -> None:
        if epochs:
            self._on_epochs(epochs)

    # -- what is lost --------------------------------------------------------------------------------

    def _end_if_stuck(self, stream: Any) -> None:
        one = self._busy[stream]
        begins = max(self.patience, _BEGUN_WITHIN) if one.begun else _BEGUN_WITHIN
        within = self.patience if one.trains else begins
        if one.silent <= within:
            return
        self._end(stream)
        if one.begun:
            self._again.lost(one, f"its process{self._where(one)} gave no sign of life for {within:.0f} s")
            return
        self._order.lanes.append(one.lane)
        if one.node not in self._crowded:
            self._crowded.add(one.node)
            self.say(f"no core{self._where(one)} was free for {within:.0f} s; what waits for one goes on waiting")

    def _where(self, one: Sent) -> str:
        return f" on node {self.nodes.known[one.node].name}"


def _kind(lane: Lane) -> Together:
    return lane.states[0].member.recipe.together()
