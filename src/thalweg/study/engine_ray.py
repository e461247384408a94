"""Runs on many machines: chunks are the tasks of a Ray cluster, and the process that asks alone writes the store.

Ray's own retries are off. A chunk whose process or node is lost is sent again by our own count, less the runs that
came back; what is lost every time is tried run by run, and in the end recorded as failed, with the reason.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from thalweg.errors import InputError
from thalweg.record import RunRecord
from thalweg.study.lanes import Chunk, failed
from thalweg.study.plan import Job
from thalweg.study.queues import chunks
from thalweg.study.ray_cluster import answers, connect, installed, versions
from thalweg.study.ray_worker import packed, record_from, remote
from thalweg.task import Task
from thalweg.task.reading import first_line
from thalweg.train.planner import Plan

__all__ = ["AGAIN", "Cluster", "execute"]

AGAIN = 3
"""How often a chunk that was lost is sent again before its runs are tried one by one."""

_GONE = ("NodeDiedError", "TaskUnschedulableError")  # Ray's names for a node that is no longer there
_MISSED_FOR = 30.0  # seconds without the cluster's head after which it is given up
_ADMITTED_WITHIN = 60.0  # seconds for the nodes that are there at the start to show what they have


def execute(
    task: Task,
    work: Sequence[Chunk],
    *,
    on_record: Callable[[RunRecord], None],
    on_epochs: Callable[[int], None],
    address: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Train every chunk on a Ray cluster; hand over each record once, as it comes.

    Args:
        task: what is trained on; it travels by value, with the user's own files.
        work: the populations.
        on_record: gets the record of every run, in any order.
        on_epochs: gets how many epochs of runs were done since it was called last.
        address: see `Cluster`.
        say: gets lines: the cluster's size, and what was lost.

    Raises:
        InputError: see `Cluster`.
    """
    with Cluster(task, address, say=say) as cluster:
        cluster.execute(work, on_record=on_record, on_epochs=on_epochs)


@dataclass(frozen=True)
class _Node:
    name: str
    cores: int


@dataclass
class _Sent:
    """A chunk at work: where, for the how manieth time, and how many of its epochs have been counted already."""

    chunk: Chunk
    node: str = ""
    times: int = 1
    alone: bool = False  # a run whose chunk was lost every time
    counted: int = 0
    seen: int = 0


class Cluster:
    """A Ray cluster whose nodes have the task; a context, which leaves the cluster in the end.

    Nodes that have other versions, or cannot load the task, are left out, and it is said which and why. Nodes that
    come later are used too.

    Args:
        task: what is trained on.
        address: ``host:port`` of the cluster's head, this machine being one of its nodes; ``"auto"`` for the cluster
            that runs here. If not given, the environment's ``RAY_ADDRESS``, or else a cluster of this machine alone,
            which ends with the context. Where Ray is initialised already, its cluster is used.
        say: gets lines.

    Raises:
        InputError: on entering: Ray is not installed, the cluster cannot be reached or used, the task cannot be sent,
            or no node can train it. Later: the cluster's head is gone.
    """

    def __init__(
        self, task: Task, address: str | None = None, *, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.ray = installed()
        self.task, self.say = task, say
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self.nodes: dict[str, _Node] = {}  # those at work, by Ray's identity of them
        self._known: dict[str, _Node] = {}  # with those left out, and those lost
        self._asked: dict[Any, str] = {}
        self._busy: dict[Any, _Sent] = {}
        self._done: set[str] = set()
        self._said = self._head = ""
        self._looked = self._met = 0.0

    @property
    def cores(self) -> int:
        """How many chunks train at once."""
        return sum(node.cores for node in self.nodes.values())

    def __enter__(self) -> Cluster:
        ray = self.ray
        self._ours = not ray.is_initialized()
        if self._ours:
            connect(ray, self.address)
        self._head = ray.get_runtime_context().gcs_address
        if not self._ours:
            self.address = self._head
        try:
            self._admit, self._work = remote(ray)
            # In a list, so that Ray hands over the reference and a process that has the task does not load it again.
            self._task = [ray.put(packed(self.task))]
            self._gather()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in [*self._busy, *self._asked]:
            self.ray.cancel(one, force=True)
        self._busy, self._asked = {}, {}
        if self._ours:
            self.ray.shutdown()

    # -- nodes ---------------------------------------------------------------------------------------

    def _gather(self) -> None:
        """Have the nodes that are there show what they have; say how many can be used."""
        troubles: list[str] = []
        until = time.monotonic() + _ADMITTED_WITHIN
        self._look()
        while self._asked and time.monotonic() < until:
            for answer in self.ray.wait(list(self._asked), timeout=1.0)[0]:
                troubles += self._answered(answer)
        if not self.nodes:
            reason = "; ".join(troubles) or f"none answered within {_ADMITTED_WITHIN:.0f} s"
            raise InputError(f"no node of the Ray cluster can train: {reason}")
        for trouble in troubles:
            self.say(f"left out of the Ray cluster: {trouble}")
        self._size()

    def _look(self) -> None:
        """Drop the nodes that are gone, and have new ones show what they have."""
        self._looked = time.monotonic()
        if not answers(self._head):  # Ray would wait a minute, and then end this process
            if self._looked - self._met > _MISSED_FOR:
                raise InputError(
                    f"the Ray cluster at {self.address} has not answered for {_MISSED_FOR:.0f} s; what is finished "
                    "is recorded, and the same command goes on from there when the cluster is back"
                )
            return
        self._met = self._looked
        there = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        for identity in self.nodes.keys() - there.keys():
            del self.nodes[identity]
        for identity, node in there.items():
            cores = int(node["Resources"].get("CPU", 0))
            if identity not in self._known and cores:
                self._known[identity] = _Node(node["NodeManagerAddress"], cores)
                answer = self._admit.options(**self._on(identity)).remote(self._task, versions())
                self._asked[answer] = identity

    def _on(self, identity: str) -> dict[str, Any]:
        strategies = import_module("ray.util.scheduling_strategies")
        return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(identity, soft=False)}

    def _answered(self, answer: Any) -> list[str]:
        """Take a node in, or return why it is left out."""
        identity = self._asked.pop(answer)
        node = self._known[identity]
        try:
            trouble = self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            if type(error).__name__ in _GONE:
                return []
            trouble = _why(error, "")
        if trouble:
            return [f"node {node.name}: {trouble}"]
        self.nodes[identity] = node
        return []

    def _size(self) -> None:
        """Say how big the cluster is, if it has changed."""
        size = f"{_count(len(self.nodes), 'node')}, {_count(self.cores, 'core')}"
        if not self._said:
            where = "on this machine" if self.address == "local" else f"at {self.address}"
            self.say(f"Ray cluster {where}: {size}")
        elif size != self._said:
            waits = "" if self.nodes else "; waiting for one (what is finished is recorded)"
            self.say(f"the Ray cluster has {size} now{waits}")
        self._said = size

    # -- runs ----------------------------------------------------------------------------------------

    def run(
        self,
        jobs: Sequence[Job],
        plans: Mapping[int, Plan],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        done: Collection[str] = (),
        begins: bool = False,  # noqa: ARG002 – the local engine's; here nothing waits for compiled code
    ) -> None:
        """Train every job that is not done, in chunks of equal size; see `thalweg.study.engine_local.Local.run`."""
        left = [job for job in jobs if job.identity not in set(done)]
        self.execute(chunks(left, plans, max(1, self.cores)), on_record=on_record, on_epochs=on_epochs)

    def execute(
        self,
        work: Sequence[Chunk],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
    ) -> None:
        """Train every chunk; see the function `execute`."""
        ray = self.ray
        waiting = deque(map(_Sent, work))
        while waiting or self._busy:
            if time.monotonic() > self._looked + 1:
                self._look()
                self._size()
            self._hand_out(waiting)
            if not (self._busy or self._asked):
                time.sleep(0.2)
                continue
            for one in ray.wait([*self._busy, *self._asked], timeout=1.0, fetch_local=False)[0]:
                if one in self._asked:
                    for trouble in self._answered(one):
                        self.say(f"left out of the Ray cluster: {trouble}")
                else:
                    self._receive(one, waiting, on_record, on_epochs)

    def _hand_out(self, waiting: deque[_Sent]) -> None:
        """Give every core of every node a chunk; Ray is never left to choose, so that it can lose none on its own."""
        load = Counter(sent.node for sent in self._busy.values())
        free = [i for i, node in self.nodes.items() for _ in range(node.cores - load[i])]
        for identity in sorted(free, key=lambda i: load[i]):
            if not waiting:
                return
            sent = replace(waiting.popleft(), node=identity, seen=0)
            chunk = asdict(sent.chunk)
            if sent.chunk.executor != "compiled":  # whose code is for a number of places
                chunk["slots"] = len(sent.chunk.runs)
            self._busy[self._work.options(**self._on(identity)).remote(self._task, chunk)] = sent

    def _receive(
        self,
        stream: Any,
        waiting: deque[_Sent],
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
    ) -> None:
        sent = self._busy[stream]
        try:
            message = self.ray.get(next(stream), timeout=60)
        except StopIteration:
            del self._busy[stream]
            self._lost(sent, RuntimeError("it ended without a record of every run"), waiting, on_record)
        except self.ray.exceptions.RayError as error:
            del self._busy[stream]
            self.ray.cancel(stream, force=True)
            self._lost(sent, error, waiting, on_record)
        else:
            if "epochs" in message:
                sent.seen += message["epochs"]
                # What an earlier try went through has been counted.
                on_epochs(max(0, min(message["epochs"], sent.seen - sent.counted)))
            elif (record := record_from(message)).identity not in self._done:
                self._done.add(record.identity)
                on_record(record)

    def _lost(
        self, sent: _Sent, error: Exception, waiting: deque[_Sent], on_record: Callable[[RunRecord], None]
    ) -> None:
        """Send what is left of a lost chunk again, if anything is, or give up."""
        gone = type(error).__name__ in _GONE
        if gone:  # which Ray's list of nodes says only later
            self.nodes.pop(sent.node, None)
        runs = tuple(run for run in sent.chunk.runs if run[0] not in self._done)
        if not runs:
            return
        left = replace(sent, chunk=replace(sent.chunk, runs=runs), counted=max(sent.counted, sent.seen))
        if type(error).__name__ == "TaskUnschedulableError":  # it had not begun
            waiting.append(left)
            return
        reason = _why(error, f" on node {self._known[sent.node].name}")
        # A run that is tried alone has lost its chunk often enough, unless its node was to blame.
        if sent.times <= AGAIN and (gone or not sent.alone):
            waiting.append(replace(left, times=sent.times + 1))
            self.say(f"{reason}; {_runs(len(runs))} tried again")
        elif len(runs) > 1:
            waiting.extend(_Sent(Chunk("one by one", 1, (run,)), alone=True) for run in runs)
            self.say(f"{reason}, for the {sent.times}th time; {_runs(len(runs))} tried one by one")
        else:
            self._done.add(runs[0][0])
            on_record(failed(runs[0], reason))


def _why(error: Exception, where: str) -> str:
    """Return what happened to a process, in words."""
    match type(error).__name__:
        case "NodeDiedError":
            return f"its process{where} was lost with the node"
        case "WorkerCrashedError":
            return f"its process{where} died, perhaps for want of memory"
        case "OutOfMemoryError":
            return f"its process{where} was ended for want of memory"
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}{where}: {first_line(cause)}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _runs(number: int) -> str:
    return f"{_count(number, 'run')} {'is' if number == 1 else 'are'}"
