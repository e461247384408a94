"""Joining a Ray cluster, and which of its nodes can be used; or one sentence on why that cannot be."""

from __future__ import annotations

import os
import platform
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thalweg.errors import InputError
from thalweg.study.before import counted
from thalweg.task.reading import first_line

__all__ = ["Node", "Nodes", "answers", "gone", "installed", "joined", "never_begun", "on", "versions", "why"]

_REACHED_WITHIN = 8.0  # seconds for a connection
_JOINED_WITHIN = 20.0  # seconds for Ray to answer behind it
_ADMITTED_WITHIN = 60.0  # seconds for the nodes that are there at the start to show what they have
_MISSED_FOR = 30.0  # seconds without the cluster's head after which it is given up


def installed() -> Any:
    """Return Ray, or say how to install it."""
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
    print("trouble:", " ".join(str(error).split())[:300])
    sys.exit(1)
"""


@contextmanager
def joined(ray: Any, address: str) -> Iterator[None]:
    """Join a cluster, or begin one (``"local"``); leave it in the end, or end it, however this process ends.

    What Ray says of itself on the terminal is kept off it.

    Raises:
        InputError: see `_reach`.
    """
    ours = address == "local"
    if not ours:
        _reach(address)
    arguments = {"include_dashboard": False} if ours else {}
    with ExitStack() as leaving:
        leaving.callback(ray.shutdown)
        ended = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", **arguments)
        except Exception as error:
            raise InputError(f"no Ray cluster could be used at {address}: {first_line(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended)  # Ray's own prints where its threads were
        # Without this Ray prints its own account of every process and node that dies, with their logs.
        vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False
        if ours and sys.platform.startswith("linux"):
            leaving.enter_context(_guarded())
        yield


_GUARD = """
import os, signal, sys, time
parent, *others = sys.argv[1:]
while os.getppid() == int(parent):
    time.sleep(0.3)
for other in others:
    number, born = other.split(":")
    try:
        with open(f"/proc/{number}/stat") as file:
            if file.read().rpartition(")")[2].split()[19] == born:
                os.kill(int(number), signal.SIGKILL)
    except OSError:
        pass
"""


@contextmanager
def _guarded() -> Iterator[None]:
    """Have the cluster that this process has begun end with it; a process of its own sees to that.

    Where this process is killed, the kernel kills what it has started, and what trains ends with that; but two of
    Ray's own would go on for a minute, trying to say so.
    """
    mine, kin = str(os.getpid()), _kin()
    raylets = {number for number, (name, parent, _) in kin.items() if name == "raylet" and parent == mine}
    others = [f"{number}:{born}" for number, (_, parent, born) in kin.items() if parent in raylets]
    guard = subprocess.Popen(
        [sys.executable, "-ISc", _GUARD, mine, *others],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


def _kin() -> dict[str, tuple[str, str, str]]:
    """Return every process's name, parent and time of birth."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            name, _, rest = place.read_text().partition("(")[2].rpartition(")")
            found[place.parent.name] = name, rest.split()[1], rest.split()[19]
    return found


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
    _rehearse(address)


def _rehearse(address: str) -> None:
    """Join a cluster in a process of its own.

    Raises:
        InputError: that could not be.
    """
    command = [sys.executable, "-c", _REHEARSAL, address]
    trouble = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        stuck = threading.Timer(_JOINED_WITHIN, process.kill)
        stuck.start()
        try:
            for line in process.stdout:
                if "InvalidAuthToken" in line:
                    process.kill()
                    raise InputError(
                        f"the Ray cluster at {address} asks for a token; set RAY_AUTH_MODE=token, and have its "
                        "~/.ray/auth_token on this machine or in RAY_AUTH_TOKEN"
                    )
                if line.startswith("trouble: "):
                    trouble = line.removeprefix("trouble: ").strip()
        finally:
            stuck.cancel()
    if process.returncode == -signal.SIGKILL:
        raise InputError(f"there is no Ray cluster at {address}: something else answers there, or it hangs")
    if process.returncode:
        said = trouble or f"joining it ended with exit code {process.returncode}"
        raise InputError(f"no Ray cluster could be used at {address}: {said}")


def _knock(host: str, port: int, found: queue.SimpleQueue[str]) -> None:
    try:
        socket.create_connection((host, port), timeout=_REACHED_WITHIN - 3).close()
        found.put("")
    except OSError as error:
        found.put((error.strerror or str(error)).lower())


def answers(address: str) -> bool:
    """Return whether somebody listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def versions() -> dict[str, str]:
    """Return what must be the same everywhere; torch's builds for other processors are the same version."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "thalweg": version("thalweg"), "torch": version("torch").partition("+")[0]}


# -- nodes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A node's address, and how many chunks it trains at once."""

    name: str
    cores: int


class Nodes:
    """The nodes of a cluster that was joined: those that can train are used, the others left out by name.

    Args:
        ray: Ray itself.
        address: of the cluster, as it is named in sentences.
        admit: see `thalweg.study.engines.worker.remote`.
        task: its argument.
        say: gets lines.

    Attributes:
        used: those that can train, by Ray's identity of them.
        known: with those left out, and those lost.
        asked: answers that are awaited, and which node each is of.
    """

    def __init__(self, ray: Any, address: str, admit: Any, task: list[Any], say: Callable[[str], None]) -> None:
        self.ray, self.address, self.admit, self.task, self.say = ray, address, admit, task, say
        self.used: dict[str, Node] = {}
        self.known: dict[str, Node] = {}
        self.asked: dict[Any, str] = {}
        context = ray.get_runtime_context()
        self._head, self._own = context.gcs_address, context.get_node_id()
        self._raylet = ""  # where that of this machine listens
        self._looked = self._met = time.monotonic()
        self._said = ""

    @property
    def cores(self) -> int:
        """How many chunks train at once."""
        return sum(node.cores for node in self.used.values())

    def gather(self) -> None:
        """Have the nodes that are there show what they have; say how many can be used.

        Raises:
            InputError: none can.
        """
        troubles: list[str] = []
        until = time.monotonic() + _ADMITTED_WITHIN
        self._look()
        while (self.asked or not self.known) and time.monotonic() < until:
            if not self.asked:
                time.sleep(0.5)
                self._look()
                continue
            for answer in self.ray.wait(list(self.asked), timeout=1.0)[0]:
                troubles += self._answered(answer)
        if not self.used:
            silent = "none answered" if self.known else "none with a core came"
            reason = "; ".join(troubles) or f"{silent} within {_ADMITTED_WITHIN:.0f} s"
            raise InputError(f"no node of the Ray cluster can train: {reason}")
        for trouble in troubles:
            self.say(f"left out of the Ray cluster: {trouble}")
        where = "on this machine" if self.address == "local" else f"at {self.address}"
        self._said = self._size()
        self.say(f"Ray cluster {where}: {self._said}")

    def look(self) -> None:
        """Look, about once a second, who is there: drop those that are gone, and have new ones show what they have.

        Raises:
            InputError: the cluster's head is gone.
        """
        if time.monotonic() <= self._looked + 1:
            return
        self._look()
        self._tell()

    def answered(self, answer: Any) -> None:
        """Take a node in that has answered, or say why it is left out."""
        for trouble in self._answered(answer):
            self.say(f"left out of the Ray cluster: {trouble}")

    def drop(self, identity: str) -> None:
        """Be without a node that a task was lost with; Ray's list of nodes says so only later."""
        self.used.pop(identity, None)
        self._tell()

    def leave(self) -> None:
        """Await no more answers."""
        for answer in self.asked:
            self.ray.cancel(answer, force=True)
        self.asked = {}

    def _look(self) -> None:
        self._looked = time.monotonic()
        if not answers(self._head):  # Ray would wait a minute, and then end this process
            if self._looked - self._met > _MISSED_FOR:
                raise InputError(
                    f"the Ray cluster at {self.address} has not answered for {_MISSED_FOR:.0f} s; what is finished "
                    "is recorded, and the same command goes on from there when the cluster is back"
                )
            return
        self._met = self._looked
        if self._raylet and not answers(self._raylet):  # Ray would end this process in some seconds, without a word
            raise InputError(
                f"the node of the Ray cluster at {self.address} that this process belongs to is gone; what is "
                "finished is recorded, and the same command goes on from there when the node is back"
            )
        there = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        if own := there.get(self._own):
            self._raylet = f"{own['NodeManagerAddress']}:{own['NodeManagerPort']}"
        for identity in self.used.keys() - there.keys():
            del self.used[identity]
        for identity, node in there.items():
            cores = int(node["Resources"].get("CPU", 0))
            if identity not in self.known and cores:
                self.known[identity] = Node(node["NodeManagerAddress"], cores)
                self.asked[self.admit.options(**on(identity)).remote(self.task, versions())] = identity

    def _answered(self, answer: Any) -> list[str]:
        """Take a node in, or return why it is left out."""
        identity = self.asked.pop(answer)
        node = self.known[identity]
        try:
            trouble = self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            if gone(error):
                return []
            trouble = why(error, "")
        if trouble:
            return [f"node {node.name}: {trouble}"]
        self.used[identity] = node
        return []

    def _tell(self) -> None:
        """Say how big the cluster is, if it has changed."""
        if (size := self._size()) != self._said:
            waits = "" if self.used else "; waiting for one (what is finished is recorded)"
            self.say(f"the Ray cluster has {size} now{waits}")
            self._said = size

    def _size(self) -> str:
        return f"{counted(len(self.used), 'node')}, {counted(self.cores, 'core')}"


def on(identity: str) -> dict[str, Any]:
    """Return a task's options by which it runs on one node or not at all."""
    strategies = import_module("ray.util.scheduling_strategies")
    return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(identity, soft=False)}


def gone(error: Exception) -> bool:
    """Return whether Ray says that a task's node is no longer there."""
    return never_begun(error) or type(error).__name__ == "NodeDiedError"


def never_begun(error: Exception) -> bool:
    """Return whether Ray says that a task's node was no longer there when it was to begin."""
    return type(error).__name__ == "TaskUnschedulableError"


def why(error: Exception, where: str) -> str:
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
