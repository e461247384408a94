"""Runs in queues: who can share a lane, and in which order they are begun."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from thalweg.recipe import Recipe, Together
from thalweg.study.engines.lanes import Run, run_of
from thalweg.study.plan import Job
from thalweg.train.around import gradients_a_step
from thalweg.train.planner import Plan, evenly

__all__ = ["Queue", "company_of", "queues"]

Company = tuple[Together, int]
"""What the runs of a queue share: how their batches pass, and how many gradients a step takes."""


def company_of(recipe: Recipe) -> Company:
    """Return what runs of a resolved recipe share with those that they can train beside."""
    return recipe.together(), gradients_a_step(recipe)


@dataclass
class Queue:
    """Runs that can share a lane, in the order in which they are begun."""

    executor: str
    slots: int
    company: Company
    runs: deque[Run]
    waits: bool = False
    size: int = 0
    threads: int = 1

    @property
    def kind(self) -> Together:
        """Of its runs: what there is a plan for."""
        return self.company[0]

    def share(self, processes: int) -> int:
        """Return how many runs a lane takes at once, so that all get as much in the end; the same every time."""
        if not self.size:
            self.size = evenly(len(self.runs), self.slots, processes)
        return self.size

    def take(self, count: int) -> list[Run]:
        """Return up to so many runs, and be without them."""
        return [self.runs.popleft() for _ in range(min(count, len(self.runs)))]


def queues(jobs: Sequence[Job], plans: Mapping[Together, Plan], *, begins: bool = False) -> list[Queue]:
    """Return jobs in queues by what they share and by how they are trained.

    Where the plan is to compile, as many of the first runs as it says are vmapped all the same, however soon the
    code is there, and a share of the others, where not every node can compile: which run is trained how must not
    depend on how long something takes, or on who is there.

    Args:
        jobs: all of them, those that are done too.
        plans: by what runs have in common.
        begins: whether a study begins with them.
    """
    groups: dict[Company, list[Job]] = {}
    for job in jobs:
        groups.setdefault(company_of(job.member.recipe), []).append(job)
    found = []
    for company, group in groups.items():
        plan = plans[company[0]]
        # The longest first; runs that share a formula stand together: fewer calls a step.
        group.sort(key=lambda job: (-job.member.recipe.sizes()[1], job.member.recipe.optimizer.name))
        runs = [run_of(replace(job.member, identity=job.identity)) for job in group]
        first = len(runs) if not plan.compiles else min(len(runs), plan.first) if begins else 0
        first += math.ceil(plan.without * (len(runs) - first))
        parts = [(plan.executor, runs[:first], False), ("compiled", runs[first:], plan.compiles == "pending")]
        found += [
            Queue(
                executor,
                1 if executor == "one by one" else plan.together,
                company,
                deque(part),
                waits,
                threads=plan.threads,
            )
            for executor, part, waits in parts
            if part
        ]
    return found
