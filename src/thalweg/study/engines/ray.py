"""Runs on many machines: chunks are the tasks of a Ray cluster, and the process that asks alone writes the store.

Ray's own retries are off. A chunk whose process or node is lost, or gives no sign of life, is sent again by our own
count, less the runs that came back; what is lost every time is tried run by run, and in the end recorded as failed,
with the reason.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from thalweg.recipe import Together
from thalweg.record import RunRecord
from thalweg.study.before import counted
from thalweg.study.engines.cluster import Nodes, gone, installed, joined, never_begun, on, why
from thalweg.study.engines.lanes import Chunk, failed
from thalweg.study.engines.local import PATIENCE
from thalweg.study.engines.queues import chunks
from thalweg.study.engines.worker import packed, record_from, remote
from thalweg.study.plan import Job
from thalweg.task import Task
from thalweg.train.planner import Plan

__all__ = ["AGAIN", "Cluster", "execute"]

AGAIN = 3
"""How often a chunk that was lost is sent again before its runs are tried one by one."""

_BEGUN_WITHIN = 120.0  # seconds for a chunk to get a core; and at least, for a process to have what it needs


def execute(
    task: Task,
    work: Sequence[Chunk],
    *,
    on_record: Callable[[RunRecord], None],
    on_epochs: Callable[[int], None],
    address: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    patience: float = PATIENCE,
) -> None:
    """Train every chunk on a Ray cluster; hand over each record once, as it comes.

    Args:
        task: what is trained on; it travels by value, with the user's own files.
        work: the populations.
        on_record: gets the record of every run, in any order.
        on_epochs: gets how many epochs of runs were done since it was called last.
        address: see `Cluster`.
        say: gets lines: the cluster's size, and what was lost.
        patience: see `Cluster`.

    Raises:
        InputError: see `Cluster`.
    """
    with Cluster(task, address, say=say, patience=patience) as cluster:
        cluster.execute(work, on_record=on_record, on_epochs=on_epochs)


@dataclass
class _Sent:
    """A chunk at work.

    Attributes:
        chunk: the runs.
        node: where.
        times: for the how manieth time.
        alone: whether it is a run whose chunk was lost every time.
        counted: how many epochs of its runs were counted in earlier tries.
        seen: how many it has told of in this one, of runs that are not done.
        begun: whether it has a process.
        trains: whether that has all that it needs.
        silent: seconds for which it was listened to in vain.
    """

    chunk: Chunk
    node: str = ""
    times: int = 1
    alone: bool = False
    counted: int = 0
    seen: int = 0
    begun: bool = False
    trains: bool = False
    silent: float = 0.0

    def again(self, done: Collection[str]) -> _Sent:
        """Return what is left of it, not yet at work."""
        runs = tuple(run for run in self.chunk.runs if run[0] not in done)
        counted = max(self.counted, self.seen)
        return _Sent(replace(self.chunk, runs=runs), self.node, self.times, self.alone, counted)


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
        patience: seconds without a sign of life after which a process is taken for stuck, and ended.

    Raises:
        InputError: on entering: Ray is not installed, the cluster cannot be reached or used, the task cannot be sent,
            or no node can train it. Later: the cluster's head is gone.
    """

    def __init__(
        self,
        task: Task,
        address: str | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        patience: float = PATIENCE,
    ) -> None:
        self.ray = installed()
        self.task, self.say, self.patience = task, say, patience
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._busy: dict[Any, _Sent] = {}
        self._waiting: deque[_Sent] = deque()
        self._done: set[str] = set()
        self._crowded: set[str] = set()

    @property
    def cores(self) -> int:
        """How many chunks train at once."""
        return self.nodes.cores

    def __enter__(self) -> Cluster:
        ray = self.ray
        with ExitStack() as leaving:
            if ray.is_initialized():
                self.address = ray.get_runtime_context().gcs_address
            else:
                leaving.enter_context(joined(ray, self.address))
            admit, self._work = remote(ray)
            # In a list, so that Ray hands over the reference and a process that has the task does not load it again.
            self._task = [ray.put(packed(self.task))]
            self.nodes = Nodes(ray, self.address, admit, self._task, self.say)
            leaving.callback(self.nodes.leave)
            self.nodes.gather()
            leaving.callback(self._end_all)
            self._leaving = leaving.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()

    def _end_all(self) -> None:
        self._waiting.clear()
        for stream in list(self._busy):
            self._end(stream)

    def run(
        self,
        jobs: Sequence[Job],
        plans: Mapping[Together, Plan],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        done: Collection[str] = (),
        begins: bool = False,  # noqa: ARG002 – the local engine's; here nothing waits for compiled code
    ) -> None:
        """Train every job that is not done, in chunks of equal size; see `thalweg.study.engines.local.Local.run`."""
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
        self._on_record, self._on_epochs = on_record, on_epochs
        self._waiting, self._listened = deque(map(_Sent, work)), time.monotonic()
        while self._waiting or self._busy:
            self.nodes.look()
            self._hand_out()
            if self._busy or self.nodes.asked:
                self._listen()
            else:
                time.sleep(0.2)

    def _hand_out(self) -> None:
        """Give every core of every node a chunk; Ray is never left to choose, so that it can lose none on its own."""
        load = Counter(sent.node for sent in self._busy.values())
        while self._waiting:
            free = [identity for identity, node in self.nodes.used.items() if load[identity] < node.cores]
            if not free:
                return
            sent = self._waiting.popleft()
            # If need be where it was lost before.
            sent.node = min(free, key=lambda identity: (identity == sent.node, load[identity]))
            load[sent.node] += 1
            chunk = asdict(sent.chunk)
            if sent.chunk.executor != "compiled":  # whose code is for a number of places
                chunk["slots"] = len(sent.chunk.runs)
            self._busy[self._work.options(**on(sent.node)).remote(self._task, chunk)] = sent

    def _listen(self) -> None:
        """Take what comes within a second, one message of each; end what has been silent for too long."""
        open_ = [*self._busy, *self.nodes.asked]
        self.ray.wait(open_, timeout=1.0, fetch_local=False)
        ready = set(self.ray.wait(open_, num_returns=len(open_), timeout=0, fetch_local=False)[0])
        # Where this process was held up itself, nobody has been silent.
        passed = min(time.monotonic() - self._listened, 2.0)
        self._listened = time.monotonic()
        for one in open_:
            if one not in self._busy:
                if one in ready:
                    self.nodes.answered(one)
            elif one in ready:
                self._receive(one)
            else:
                self._busy[one].silent += passed
                self._end_if_stuck(one)

    def _receive(self, stream: Any) -> None:
        sent = self._busy[stream]
        try:
            message = self.ray.get(next(stream), timeout=60)
        except StopIteration:
            del self._busy[stream]
            self._lost(sent, f"its process{self._where(sent)} ended without a record of every run")
            return
        except self.ray.exceptions.RayError as error:
            self._end(stream)
            if never_begun(error):
                self._waiting.append(sent.again(self._done))
            else:
                self._lost(sent, why(error, self._where(sent)), node_to_blame=gone(error))
            if gone(error):
                self.nodes.drop(sent.node)
            return
        sent.silent, sent.begun, sent.trains = 0.0, True, "begun" not in message
        self._crowded.discard(sent.node)
        if "epochs" in message:
            sent.seen += message["epochs"]
            # What an earlier try went through has been counted.
            self._on_epochs(max(0, min(message["epochs"], sent.seen - sent.counted)))
        elif "record" in message:
            record = record_from(message["record"])
            epochs = _epochs_of(record)
            sent.seen, sent.counted = sent.seen - epochs, max(0, sent.counted - epochs)
            self._record(record)

    def _record(self, record: RunRecord) -> None:
        """Hand over a record; the first of a run wins."""
        if record.identity not in self._done:
            self._done.add(record.identity)
            self._on_record(record)

    def _end(self, stream: Any) -> _Sent:
        """Be without a chunk, and let its process be killed, wherever it hangs."""
        self.ray.cancel(stream, force=True)
        return self._busy.pop(stream)

    def _end_if_stuck(self, stream: Any) -> None:
        sent = self._busy[stream]
        begins = max(self.patience, _BEGUN_WITHIN) if sent.begun else _BEGUN_WITHIN
        within = self.patience if sent.trains else begins
        if sent.silent <= within:
            return
        self._end(stream)
        if sent.begun:
            self._lost(sent, f"its process{self._where(sent)} gave no sign of life for {within:.0f} s")
            return
        self._waiting.append(sent.again(self._done))
        if sent.node not in self._crowded:
            self._crowded.add(sent.node)
            self.say(f"no core{self._where(sent)} was free for {within:.0f} s; what waits for one goes on waiting")

    def _where(self, sent: _Sent) -> str:
        return f" on node {self.nodes.known[sent.node].name}"

    def _lost(self, sent: _Sent, reason: str, *, node_to_blame: bool = False) -> None:
        """Send what is left of a lost chunk again, if anything is, or give up."""
        left = sent.again(self._done)
        runs = left.chunk.runs
        if not runs:
            return
        # A run that is tried alone has lost its chunk often enough, unless its node was to blame.
        if sent.times <= AGAIN and (node_to_blame or not sent.alone):
            self._waiting.append(replace(left, times=sent.times + 1))
            self.say(f"{reason}; {_runs(len(runs))} tried again")
        elif len(runs) > 1:
            each = left.counted // len(runs)
            self._waiting.extend(
                _Sent(Chunk("one by one", 1, (run,)), sent.node, alone=True, counted=each) for run in runs
            )
            self.say(f"{reason}; lost {counted(sent.times, 'time')}, {_runs(len(runs))} tried one by one")
        else:
            self._record(failed(runs[0], reason))


def _runs(number: int) -> str:
    return f"{counted(number, 'run')} {'is' if number == 1 else 'are'}"


def _epochs_of(record: RunRecord) -> int:
    """Return how many epochs a run went through."""
    return 0 if record.curve is None else int((record.curve.step[1:] <= record.steps).sum())
