"""Which nodes of a Ray cluster can train: those whose versions and task are as they are here; and who is lost."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

from thalweg.errors import InputError
from thalweg.report.methods import counted
from thalweg.study.engines.cluster import answers
from thalweg.task.reading import first_line

__all__ = ["Node", "Nodes", "gone", "never_begun", "on", "versions", "why"]

_ADMITTED_WITHIN = 60.0  # seconds for the nodes that are there at the start to show what they have
_HEARD_WITHIN = 10.0  # seconds for the cluster's head to do what it is asked for
_MISSED_FOR = 30.0  # seconds without the cluster's head after which it is given up


@dataclass(frozen=True)
class Node:
    """A node's address, and how many lanes it trains at once."""

    name: str
    cores: int


class Nodes:
    """The nodes of a cluster that was joined: those that can train are used, the others left out by name.

    Args:
        ray: Ray itself.
        address: of the cluster, as it is named in sentences.
        admit: see `thalweg.study.engines.worker.remote`.
        task, beginning: its arguments.
        say: gets lines.

    Attributes:
        used: those that can train, by Ray's identity of them.
        known: with those left out, and those lost.
        asked: answers that are awaited, and which node each is of.
    """

    def __init__(
        self,
        ray: Any,
        address: str,
        admit: Any,
        task: list[Any],
        beginning: dict[str, list[float]],
        say: Callable[[str], None],
    ) -> None:
        self.ray, self.address, self.admit, self.say = ray, address, admit, say
        self.task, self.beginning = task, beginning
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
        """How many lanes train at once."""
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
        if answers(self._head) and self._met_head():
            self._met = self._looked
        elif self._looked - self._met > _MISSED_FOR:
            raise InputError(
                f"the Ray cluster at {self.address} has not answered for {_MISSED_FOR:.0f} s; what is finished "
                "is recorded, and the same command goes on from there when the cluster is back"
            )

    def _met_head(self) -> bool:
        """See which nodes are there, and ask new ones what they have; return whether the cluster's head told of them.

        Raises:
            InputError: the node of this process is gone.
        """
        if self._raylet and not answers(self._raylet):  # Ray would end this process in some seconds, without a word
            raise InputError(
                f"the node of the Ray cluster at {self.address} that this process belongs to is gone; what is "
                "finished is recorded, and the same command goes on from there when the node is back"
            )
        nodes = self._heard(self.ray.nodes)
        if nodes is None:
            return False
        there = {node["NodeID"]: node for node in nodes if node["Alive"]}
        if own := there.get(self._own):
            self._raylet = f"{own['NodeManagerAddress']}:{own['NodeManagerPort']}"
        for identity in self.used.keys() - there.keys():
            del self.used[identity]
        for identity, node in there.items():
            cores = int(node["Resources"].get("CPU", 0))
            if identity not in self.known and cores:
                ask = partial(self.admit.options(**on(identity)).remote, self.task, versions(), self.beginning)
                if (answer := self._heard(ask)) is None:
                    return False
                self.known[identity] = Node(node["NodeManagerAddress"], cores)
                self.asked[answer] = identity
        return True

    def _heard(self, ask: Callable[[], Any]) -> Any:
        """Return what the cluster's head is asked for, or None where it does not answer.

        It may be lost just after it was there. Ray would wait for a minute, and then end this process; so it waits in
        a thread of its own, which nobody waits for.
        """
        heard: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

        def wait() -> None:
            try:
                heard.put((ask(), None))
            except Exception as error:
                heard.put((None, error))

        threading.Thread(target=wait, daemon=True).start()
        try:
            found, error = heard.get(timeout=_HEARD_WITHIN)
        except Empty:
            return None
        if error is not None and not isinstance(error, self.ray.exceptions.RayError):
            raise error
        return found

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


def versions() -> dict[str, str]:
    """Return what must be the same everywhere; torch's builds for other processors are the same version."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "thalweg": version("thalweg"), "torch": version("torch").partition("+")[0]}
