"""Runs on many machines: chunks are the tasks of a Ray cluster, and the process that asks alone writes the store.

Ray's own retries are off. A chunk whose process or node is lost is sent again by our own count, less the runs that
came back; what is lost every time is tried run by run, and in the end recorded as failed, with the reason.
"""

from __future__ import annotations

import os
import platform
import queue
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from thalweg.errors import InputError
from thalweg.record import Curve, RunRecord
from thalweg.study.engine_local import Chunk, failed
from thalweg.study.engine_local import _train as train_chunk
from thalweg.task import Task
from thalweg.task.reading import first_line

__all__ = ["AGAIN", "Cluster", "execute", "messages", "opened"]

AGAIN = 3
"""How often a chunk that was lost is sent again before its runs are tried one by one."""

_REACHED_WITHIN = 8.0  # seconds for a connection
_JOINED_WITHIN = 20.0  # seconds for Ray to answer behind it
_ADMITTED_WITHIN = 60.0  # seconds for the nodes that are there at the start to show what they have
_EVERY = 0.3  # seconds between two messages that say how far a chunk is


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
        InputError: see `Cluster`; nothing has been trained then.
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
            which ends with the context.
        say: gets lines.

    Raises:
        InputError: on entering: Ray is not installed, the cluster cannot be reached or used, the task cannot be sent,
            or no node can train it.
    """

    def __init__(
        self, task: Task, address: str | None = None, *, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.ray = _installed()
        self.task, self.say = task, say
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self.nodes: dict[str, _Node] = {}  # those at work, by Ray's identity of them
        self._known: dict[str, _Node] = {}  # with those left out, and those lost
        self._asked: dict[Any, str] = {}
        self._busy: dict[Any, _Sent] = {}
        self._done: set[str] = set()
        self._said = ""
        self._looked = 0.0

    @property
    def cores(self) -> int:
        """How many chunks train at once."""
        return sum(node.cores for node in self.nodes.values())

    def __enter__(self) -> Cluster:
        ray = self.ray
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(ray, self.address)
        try:
            self._admit, self._work = _remote(ray)
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
        there = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        for identity in self.nodes.keys() - there.keys():
            del self.nodes[identity]
        for identity, node in there.items():
            cores = int(node["Resources"].get("CPU", 0))
            if identity not in self._known and cores:
                self._known[identity] = _Node(node["NodeManagerAddress"], cores)
                answer = self._admit.options(**self._on(identity)).remote(self._task, _versions())
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
            self._busy[self._work.options(**self._on(identity)).remote(self._task, asdict(sent.chunk))] = sent

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
        except self.ray.exceptions.RayError as error:
            del self._busy[stream]
            self.ray.cancel(stream, force=True)
            self._lost(sent, error, waiting, on_record)
        else:
            if "epochs" in message:
                sent.seen += message["epochs"]
                # What an earlier try went through has been counted.
                on_epochs(max(0, min(message["epochs"], sent.seen - sent.counted)))
            elif (record := _record(message)).identity not in self._done:
                self._done.add(record.identity)
                on_record(record)

    def _lost(
        self, sent: _Sent, error: Exception, waiting: deque[_Sent], on_record: Callable[[RunRecord], None]
    ) -> None:
        """Send what is left of a lost chunk again, or give up."""
        exceptions = self.ray.exceptions
        runs = tuple(run for run in sent.chunk.runs if run[0] not in self._done)
        if not runs:
            return
        left = replace(sent, chunk=replace(sent.chunk, runs=runs), counted=max(sent.counted, sent.seen))
        gone = isinstance(error, exceptions.NodeDiedError | exceptions.TaskUnschedulableError)
        if gone:
            self.nodes.pop(sent.node, None)
        if isinstance(error, exceptions.TaskUnschedulableError):  # it had not begun
            waiting.append(left)
            return
        reason = _why(error, f" on node {self._known[sent.node].name}")
        # A run that is tried alone has lost its chunk often enough, unless its node was to blame.
        if sent.times <= AGAIN and (gone or not sent.alone):
            waiting.append(replace(left, times=sent.times + 1))
            self.say(f"{reason}; {_runs(len(runs))} tried again")
        elif len(runs) > 1:
            waiting.extend(_Sent(_single(sent.chunk, run), alone=True) for run in runs)
            self.say(f"{reason}, for the {sent.times}th time; {_runs(len(runs))} tried one by one")
        else:
            self._done.add(runs[0][0])
            on_record(failed(runs[0], reason))


def _single(chunk: Chunk, run: tuple[str, str, int]) -> Chunk:
    slots = {"slots": 1} if "slots" in {field.name for field in fields(Chunk)} else {}
    return replace(chunk, executor="one by one", runs=(run,), **slots)


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


# -- joining a cluster -----------------------------------------------------------------------------------


def _installed() -> Any:
    try:
        import_module("ray.exceptions")
        return import_module("ray")
    except ImportError as error:
        raise InputError("the engine ray needs Ray; install it with: pip install 'thalweg[ray]'") from error


_REHEARSAL = """
import logging, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    print(" ".join(str(error).split())[:300])
    sys.exit(1)
"""


def _connect(ray: Any, address: str) -> None:
    """Join a cluster, or start one; what it says of itself on the terminal is kept off it."""
    arguments: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    if address != "local":
        _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", **arguments)
    except Exception as error:
        raise InputError(f"no Ray cluster could be used at {address}: {first_line(error)}") from error
    # Without this Ray prints its own account of every process and node that dies, with their logs, among the lines.
    vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False


def _reach(address: str) -> None:
    """Try an address before this process depends on it: Ray waits for minutes, or ends the process that asks.

    Raises:
        InputError: nobody answers there, or no Ray cluster that this machine is a node of.
    """
    if address.startswith("ray://"):
        raise InputError(f"--address takes host:port of the cluster's head, not Ray's client protocol ({address})")
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise InputError(f"--address takes host:port of a cluster's head, such as 10.0.0.1:6379, not {address!r}")
        # In a thread, since looking up a name cannot be given a time.
        found: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_knock, args=(host.strip("[]"), int(port), found), daemon=True).start()
        try:
            trouble = found.get(timeout=_REACHED_WITHIN)
        except queue.Empty:
            trouble = f"no answer within {_REACHED_WITHIN:.0f} s"
        if trouble:
            raise InputError(f"there is no Ray cluster at {address}: {trouble}; look at its address, or start it")
    command = [sys.executable, "-c", _REHEARSAL, address]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=_JOINED_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"there is no Ray cluster at {address}: something else answers there, or it hangs") from None
    if done.returncode:
        said = done.stdout.strip() or f"joining it ended with exit code {done.returncode}"
        raise InputError(f"no Ray cluster could be used at {address}: {said}")


def _knock(host: str, port: int, found: queue.SimpleQueue[str]) -> None:
    try:
        socket.create_connection((host, port), timeout=_REACHED_WITHIN - 3).close()
        found.put("")
    except OSError as error:
        found.put((error.strerror or str(error)).lower())


def _versions() -> dict[str, str]:
    """Return what must be the same everywhere; torch's builds for other processors are the same version."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "thalweg": version("thalweg"), "torch": version("torch").partition("+")[0]}


# -- what travels ----------------------------------------------------------------------------------------


def packed(task: Task) -> bytes:
    """Return a task as bytes, with all of the user's own code that it uses: lambdas, local classes, their files.

    Raises:
        InputError: it holds something that exists in this process alone, such as an open file.
    """
    cloudpickle = import_module("ray.cloudpickle")
    mine = _own_modules(task)
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(task))
    except Exception as error:
        raise InputError(f"task {task.name} cannot be sent to other machines: {first_line(error)}") from error
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


def _own_modules(task: Task) -> list[ModuleType]:
    """Return the loaded modules that other machines cannot import: those beside the task's file and the script."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    places = [Path.cwd(), *([Path(script).resolve().parent] if script else [])]
    places += [task.origin.file.resolve().parent] if task.origin else []
    installed = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, Path(__file__).parent.parent)]
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(module, ModuleType) or not file or name == "__main__" or module.__name__ != name:
            continue
        path = Path(file).resolve()
        if any(map(path.is_relative_to, places)) and not any(map(path.is_relative_to, installed)):
            found.append(module)
    return found


def _plain(value: Any) -> Any:
    """Return a record as what needs no unpickling: text, numbers, bytes, and dicts of them."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": list(value.shape), "bytes": value.tobytes()}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value.item() if isinstance(value, np.generic) else value


def _array(plain: Any) -> Any:
    return None if plain is None else np.frombuffer(plain["bytes"], plain["dtype"]).reshape(plain["shape"])


def _record(plain: dict[str, Any]) -> RunRecord:
    curve = plain["curve"] and Curve(**{name: _array(column) for name, column in plain["curve"].items()})
    return RunRecord(**{**plain, "curve": curve, "outcomes": _array(plain["outcomes"])})


# -- at the other end ------------------------------------------------------------------------------------


def _remote(ray: Any) -> tuple[Any, Any]:
    """Return the two tasks: a node shows what it has; a chunk is trained.

    They are local functions, which travel by value, and import nothing at first: a node may have another thalweg or
    none, and the number of threads must stand in the environment before torch is there.
    """

    def admit(task: list[Any], versions: dict[str, str]) -> str:
        import os
        import platform
        from importlib.metadata import PackageNotFoundError, version

        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        has = {"python": ".".join(platform.python_version_tuple()[:2])}
        for name in ("thalweg", "torch"):
            try:
                has[name] = version(name).partition("+")[0]
            except PackageNotFoundError:
                has[name] = "missing"
        differ = [name for name in versions if has[name] != versions[name]]
        if differ:
            theirs = " and ".join(f"{name} is {has[name]}" for name in differ)
            return f"{theirs} there, and {' and '.join(versions[name] for name in differ)} here"
        try:
            from thalweg.study.engine_ray import opened

            opened(task)
        except Exception as error:
            return f"the task cannot be loaded there: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return ""

    def work(task: list[Any], chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import os

        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        from thalweg.study.engine_ray import messages

        yield from messages(task, chunk)

    never = {"max_retries": 0, "retry_exceptions": False}
    return (
        ray.remote(num_cpus=0, **never)(admit),
        ray.remote(num_cpus=1, num_returns="streaming", **never)(work),
    )


_OPENED: dict[str, Task] = {}


def opened(sent: list[Any]) -> Task:
    """Return the task that was sent; a process loads it once."""
    ray = import_module("ray")
    reference = sent[0]
    if reference.hex() not in _OPENED:
        _OPENED.clear()
        _OPENED[reference.hex()] = import_module("ray.cloudpickle").loads(ray.get(reference))
    return _OPENED[reference.hex()]


def messages(sent: list[Any], chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Train a chunk; yield each record as plain values, and now and then how many epochs were gone through."""
    torch.set_num_threads(1)
    task = opened(sent)
    runs = tuple((identity, recipe, seed) for identity, recipe, seed in chunk["runs"])
    passed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A thread, since epochs are told by a call in the midst of training.
    threading.Thread(target=_train_into, args=(passed, task, Chunk(**{**chunk, "runs": runs})), daemon=True).start()
    epochs, due = 0, time.monotonic() + _EVERY
    while True:
        try:
            item = passed.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            item = 0
        if isinstance(item, int):
            epochs += item
            if time.monotonic() < due:
                continue
        due = time.monotonic() + _EVERY
        if epochs:
            yield {"epochs": epochs}
            epochs = 0
        match item:
            case RunRecord():
                yield _plain(item)
            case None:
                return
            case BaseException():
                raise item


def _train_into(passed: queue.SimpleQueue[Any], task: Task, chunk: Chunk) -> None:
    try:
        torch.set_num_threads(1)  # each thread has a number of its own
        for record in train_chunk(task, chunk, passed.put):
            passed.put(record)
        passed.put(None)
    except BaseException as error:
        passed.put(error)
