"""Which nodes of a Ray cluster have the compiled code of which runs; what a node lacks, it compiles for itself.

Runs that are trained by compiled code wait for it, and go to nodes that have it; a node that cannot compile trains
others. Which runs these are is part of the plan, so that it does not depend on who is there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

from thalweg.recipe import Together
from thalweg.study.engines.compiling import question
from thalweg.study.engines.nodes import Nodes, gone, on, why
from thalweg.task import Task
from thalweg.train.compiled import Graph
from thalweg.train.planner import Plan, not_compiled

__all__ = ["Codes"]

_FASTER = 2.5
"""How many times faster runs are taken to be by compiled code, where work is shared out between nodes."""

_COMPILED_WITHIN = 200.0  # seconds beyond the patience for signs of life
_ANSWERED_WITHIN = 120.0  # seconds for all nodes together, before a study begins
_SILENT = "it did not answer"


@dataclass(frozen=True)
class _Asked:
    """What a node is asked; see `thalweg.study.engines.compiling.question`."""

    what: str
    kind: Together
    node: str
    number: int = 0


class Codes:
    """The compiled code of a cluster's nodes; for whoever plans, it is a `thalweg.train.planner.Where`.

    Args:
        ray: Ray itself.
        code: see `thalweg.study.engines.worker.remote`.
        sent: the task, as it was sent.
        nodes: of the cluster.
        say: gets lines: which node goes without, and why.
        patience: seconds without an answer after which a process is taken for stuck.

    Attributes:
        asked: what is awaited an answer to.
    """

    def __init__(
        self,
        ray: Any,
        code: Any,
        sent: list[Any],
        nodes: Nodes,
        say: Callable[[str], None],
        patience: float,
    ) -> None:
        self.ray, self.code, self.sent = ray, code, sent
        self.nodes, self.say, self.patience = nodes, say, patience
        self.asked: dict[Any, _Asked] = {}
        self._left: deque[_Asked] = deque()  # graphs to be compiled
        self._lacks: dict[tuple[Together, str], set[int]] = {}  # numbers of graphs; empty where the code is there
        self._cannot: dict[tuple[Together, str], str] = {}  # and why
        self._no_compiler: dict[str, str] = {}  # on which nodes
        self._plans: dict[Together, Plan] = {}
        self._became: dict[Together, Plan] = {}
        self._silent, self._died, self._said = dict[Any, float](), set[_Asked](), set[str]()

    def has(self, kind: Together, node: str) -> bool:
        """Return whether a node has the code of a kind of runs."""
        return self._lacks.get((kind, node)) == set()

    # -- before a study begins -----------------------------------------------------------------------

    def missing(self) -> str:
        """See `thalweg.train.planner.Where`."""
        if not self._no_compiler:
            found = self._of_all("compiler", Together(), Plan("", 1, 0, 0, ""))
            self._no_compiler = {node: found.get(node, _SILENT) for node in self.nodes.used}
        reasons = list(self._no_compiler.values())
        return f"{reasons[0]} on any node" if reasons and all(reasons) else ""

    def lacking(self, together: Together, plan: Plan, needed: Sequence[Graph]) -> tuple[int, float]:  # noqa: ARG002
        """See `thalweg.train.planner.Where`."""
        found, idle, cores = self._of_all("lacks", together, plan), 0, 0
        for identity, node in self.nodes.used.items():
            self._lacks[together, identity] = set(found.get(identity, range(plan.graphs)))
            cores += node.cores
            if self._lacks[together, identity] and (reason := self._no_compiler.get(identity)):
                self._goes_without(together, identity, reason)
                idle += node.cores
        able = [node for node in self.nodes.used if (together, node) not in self._cannot]
        lacking = sum(not self.has(together, node) for node in able)
        return lacking, idle and idle / (idle + _FASTER * (cores - idle))

    def compiled(self, task: Task, together: Together, plan: Plan) -> Plan:  # noqa: ARG002
        """See `thalweg.train.planner.Where`."""
        having = [node for node in self.nodes.used if self.has(together, node)][:1]
        found = list(self._of_all("measure", together, plan, having).values()) if having else []
        return Plan(**found[0]) if found else not_compiled(plan, "no node answered")

    def compilers(self, graphs: int) -> int:
        """See `thalweg.train.planner.Where`."""
        lacking = {node for (_, node), numbers in self._lacks.items() if numbers}
        return sum(min(node.cores, graphs) for identity, node in self.nodes.used.items() if identity in lacking)

    def _of_all(self, what: str, kind: Together, plan: Plan, nodes: Iterable[str] = ()) -> dict[str, Any]:
        """Return what nodes answer, all of them if none are given, by node; without those that do not."""
        asked = {self._ask(_Asked(what, kind, node), plan): node for node in nodes or self.nodes.used}
        ready, late = self.ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWERED_WITHIN)
        found = {}
        for one in ready:
            with suppress(self.ray.exceptions.RayError):
                found[asked[one]] = self.ray.get(one)
        for one in late:
            self.ray.cancel(one, force=True)
        return found

    # -- while it trains -----------------------------------------------------------------------------

    def need(self, plans: Mapping[Together, Plan]) -> None:
        """Have every node that is used get the code of some kinds of runs, and of no others."""
        self._plans = dict(plans)
        self._left = deque(one for one in self._left if one.kind in plans and one.node in self.nodes.used)
        under_way = {*self._left, *self.asked.values()}
        looked_at = {one.node for one in self.asked.values() if one.what == "lacks"}
        for node, (kind, plan) in product(self.nodes.used, plans.items()):
            if (kind, node) in self._cannot:
                continue
            if (kind, node) in self._lacks:
                wanted = [_Asked("compile", kind, node, number) for number in sorted(self._lacks[kind, node])]
                self._left += [one for one in wanted if one not in under_way]
            elif node not in looked_at:
                looked_at.add(node)
                self._await(_Asked("lacks", kind, node), plan)

    @property
    def load(self) -> Counter[str]:
        """How many cores of which nodes are taken: a node has no lanes before it is known what it has to compile."""
        taken = Counter[str]()
        for one in self.asked.values():
            taken[one.node] += {"compile": 1, "lacks": self.nodes.known[one.node].cores}.get(one.what, 0)
        return taken

    def begin(self, node: str) -> bool:
        """Have a node that has a core free compile the next graph; return whether there is one."""
        one = next((one for one in self._left if one.node == node), None)
        if one is not None:
            self._left.remove(one)
            self._await(one, self._plans[one.kind])
        return one is not None

    def became(self, kind: Together) -> Plan | None:
        """Return what became of a pending plan, once a node has the code and has tried it, or none can have it."""
        if kind in self._became or not self.nodes.used:
            return self._became.get(kind)
        under_way = [one for one in (*self._left, *self.asked.values()) if one.kind == kind]
        having = [node for node in self.nodes.used if self.has(kind, node)]
        if having and not any(one.what == "measure" for one in under_way):
            self._await(_Asked("measure", kind, having[0]), self._plans[kind])
        elif not under_way and (reason := self.trouble(kind)):
            self._became[kind] = not_compiled(self._plans[kind], reason)
        return self._became.get(kind)

    def trouble(self, kind: Together) -> str:
        """Return why no node that is used can have the code of a kind of runs; nothing where one may."""
        reasons = [self._cannot.get((kind, node), "") for node in self.nodes.used]
        return reasons[0] if reasons and all(reasons) else ""

    @property
    def was_there(self) -> bool:
        """Whether a node has had any code, if only one that is gone."""
        return set() in self._lacks.values()

    def hear(self, answer: Any) -> None:
        """Take an answer."""
        one = self._no_longer(answer)
        try:
            found = self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            if gone(error):
                self.nodes.drop(one.node)
            else:
                self._lost(one, why(error, ""))
            return
        match one.what:
            case "lacks":
                self._lacks[one.kind, one.node] = set(found)
            case "compile" if found:
                self._goes_without(one.kind, one.node, found)
            case "compile":
                self._lacks.get((one.kind, one.node), set()).discard(one.number)
            case _:
                self._became[one.kind] = Plan(**found)

    def waited(self, answer: Any, seconds: float) -> None:
        """Be told that an answer was waited for in vain; end what is stuck."""
        self._silent[answer] = self._silent.get(answer, 0.0) + seconds
        if self._silent[answer] > self.patience + _COMPILED_WITHIN:
            self.ray.cancel(answer, force=True)
            one = self._no_longer(answer)
            self._goes_without(one.kind, one.node, "the compiler did not come to an end")

    def end(self) -> None:
        """Await no more answers."""
        for answer in list(self.asked):
            self.ray.cancel(answer, force=True)
            self._no_longer(answer)

    def _ask(self, one: _Asked, plan: Plan) -> Any:
        task = self.code.options(num_cpus=int(one.what == "compile"), **on(one.node))
        return task.remote(self.sent, question(one.what, one.kind, plan, one.number))

    def _await(self, one: _Asked, plan: Plan) -> None:
        self.asked[self._ask(one, plan)] = one

    def _no_longer(self, answer: Any) -> _Asked:
        self._silent.pop(answer, None)
        return self.asked.pop(answer)

    def _lost(self, one: _Asked, reason: str) -> None:
        """Ask once more where a process died, and then no longer."""
        if one in self._died:
            self._goes_without(one.kind, one.node, reason)
        self._died.add(one)  # what is not known, or not there, is asked for again

    def _goes_without(self, kind: Together, node: str, reason: str) -> None:
        self._cannot[kind, node] = reason
        self._lacks.pop((kind, node), None)
        self._left = deque(one for one in self._left if (one.kind, one.node) != (kind, node))
        line = f"node {self.nodes.known[node].name} goes without compiled code: {reason}"
        if line not in self._said:
            self._said.add(line)
            self.say(line)
