"""Code that is compiled in processes of its own, while the first runs train."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from thalweg.recipe import Together
from thalweg.study.engines.children import Child, fork
from thalweg.task import Task
from thalweg.train.compiled import Graph, forget
from thalweg.train.inductor import import_compiler
from thalweg.train.planner import Plan, compiled, graphs, not_compiled, obstacle

__all__ = ["Compilers"]


@dataclass
class _Compiler:
    """A process that compiles a graph, and when it is taken for stuck."""

    kind: Together
    graph: Graph
    child: Child
    until: float


class Compilers:
    """What the runs of some kinds wait for. A graph whose compiler died is begun once more.

    Args:
        task: whose steps are compiled.
        patience: seconds that a graph may take beyond ten times what it is expected to.

    Attributes:
        left: kinds of runs and graphs whose compilation has not begun.
        at_work: by the pipe to its process, whatever is being compiled.
    """

    def __init__(self, task: Task, patience: float) -> None:
        self.task, self.patience = task, patience
        self.left: deque[tuple[Together, Graph]] = deque()
        self.at_work: dict[Connection, _Compiler] = {}
        self.died: set[Path] = set()

    def find(self, kind: Together, plan: Plan) -> Plan | None:
        """Find what a kind of runs needs compiled; return its plan where there is nothing to wait for."""
        try:
            needed = [graph for graph in graphs(self.task, kind, plan) if not graph.load()]
        except Exception as error:
            return not_compiled(plan, obstacle(error))
        if not needed:
            return compiled(self.task, kind, plan)
        needed.sort(key=lambda graph: -graph.seconds)  # the longest is begun first
        self.left += [(kind, graph) for graph in needed]
        import_compiler()  # once, for all that are forked
        return None

    def begin(self) -> None:
        """Begin to compile the next graph."""
        kind, graph = self.left.popleft()

        def work(pipe: Connection) -> None:
            try:
                graph.compile()
            except Exception as error:
                pipe.send(obstacle(error))
            else:
                pipe.send("")

        child = fork(work, leads=True)
        until = time.monotonic() + self.patience + 10 * graph.seconds
        self.at_work[child.pipe] = _Compiler(kind, graph, child, until)

    def hear(self, pipe: Connection, why: str = "") -> tuple[Together, str] | None:
        """Hear that a graph is compiled, or could not be.

        Args:
            pipe: to its process.
            why: it could not, where that is known already; its process is ended then.

        Returns:
            A kind of runs that has nothing to wait for any more, and what stood in its way, if anything did.
        """
        compiler = self.at_work.pop(pipe)
        try:
            heard: str = why or pipe.recv()
            compiler.child.end(patience=0 if why else 10)
        except (EOFError, OSError):
            heard = f"the compiler died (exit code {compiler.child.end(patience=10)})"
            if compiler.graph.path not in self.died:
                self.died.add(compiler.graph.path)
                self.left.appendleft((compiler.kind, compiler.graph))
                return None
        if heard:
            forget(self.task, compiler.kind)
            self.left = deque(found for found in self.left if found[0] != compiler.kind)
        elif compiler.kind in [*(kind for kind, _ in self.left), *(other.kind for other in self.at_work.values())]:
            return None
        return compiler.kind, heard

    def stuck(self, now: float, lost: float) -> list[Connection]:
        """Return the pipes to those that are taken for stuck; ``lost`` seconds since it was asked do not count."""
        for compiler in self.at_work.values():
            compiler.until += lost
        return [pipe for pipe, compiler in self.at_work.items() if now > compiler.until]

    def end(self) -> None:
        """End them all."""
        for compiler in self.at_work.values():
            compiler.child.end()
        self.at_work.clear()
        self.left.clear()
