"""What is begun next: the lanes that were left, then runs out of queues, as soon as there is room."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Sequence

from thalweg.recipe import Together
from thalweg.study.engines.lanes import Lane, Run, state_of
from thalweg.study.engines.queues import Queue, company_of, queues
from thalweg.study.plan import Job
from thalweg.train.planner import Plan
from thalweg.train.step import FEWEST

__all__ = ["Order"]

_LITTLE = 1e-9  # of a core: shares are thirds and sevenths


class Order:
    """Lanes that wait to be begun, and the queues that runs come from.

    Args:
        jobs, plans, begins: as for `queues`.
        cores: how many work at once.
        left: lanes of a study that was stopped, which come first.
        wanted: identities of the jobs that have no record.

    Attributes:
        lanes: that wait.
        queues: of the runs that are in no lane yet.
        plans: the entry of what is compiled meanwhile is replaced.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        plans: dict[Together, Plan],
        cores: int,
        *,
        left: Iterable[Lane],
        wanted: Collection[str],
        begins: bool,
    ) -> None:
        self.plans, self.cores, self.lanes = plans, cores, deque(left)
        self.taken, self.count = {lane.name for lane in self.lanes}, 1
        begun = {state.member.identity for lane in self.lanes for state in lane.states}
        every = queues(jobs, plans, begins=begins)
        for queue in every:
            queue.runs = deque(run for run in queue.runs if run[0] in wanted and run[0] not in begun)
        self.queues = [queue for queue in every if queue.runs]

    def share(self, lane: Lane) -> float:
        """Return how many of the cores a lane takes."""
        return self.plans[lane.states[0].member.recipe.together()].share(self.cores)

    def next(self, room: float) -> tuple[Lane, Queue | None] | None:
        """Return the first lane that there is room for, if any, and the queue that it takes more from.

        Args:
            room: how many cores have nothing to do.
        """
        for place, lane in enumerate(self.lanes):
            if self.share(lane) <= room + _LITTLE:
                del self.lanes[place]
                # What goes on from a checkpoint has done a part of an epoch, and takes more at its end.
                manner = lane.executor, lane.threads, company_of(lane.states[0].member.recipe)
                mine = [queue for queue in self.queues if (queue.executor, queue.threads, queue.company) == manner]
                return lane, next((queue for queue in mine if not lane.deaths), None)
        return self.begun(room, self.queues)

    def begun(self, room: float, among: Iterable[Queue]) -> tuple[Lane, Queue] | None:
        """Return a lane of the first of some queues that has runs which there is room for; see `next`."""
        for queue in among:
            if queue.runs and not queue.waits and self.plans[queue.kind].share(self.cores) <= room + _LITTLE:
                runs = self.more(queue, len(queue.runs))
                slots = queue.slots if queue.executor == "compiled" else len(runs)
                return self.lane(queue.executor, slots, runs, threads=queue.threads), queue
        return None

    def planned(self, kind: Together, plan: Plan) -> None:
        """Be told what became of a plan that runs waited for: they may begin."""
        self.plans[kind] = plan
        for queue in self.queues:
            if queue.kind == kind and queue.waits:
                queue.waits = False
                queue.executor = "compiled" if plan.compiles == "yes" else plan.executor
                queue.slots = 1 if queue.executor == "one by one" else plan.together

    def more(self, queue: Queue | None, free: int) -> list[Run]:
        """Return up to so many runs of a queue, no more than a lane's share, and be without them."""
        if queue is None or queue.waits or not queue.runs:
            return []
        return queue.take(min(free, queue.share(self.plans[queue.kind].at_once(self.cores))))

    def lane(self, executor: str, slots: int, runs: Sequence[Run], *, deaths: int = 0, threads: int = 1) -> Lane:
        """Return a lane of runs that have not begun, under a name that none has."""
        # A number that was had by a process before the kill may be had again.
        while (name := f"lane-{os.getpid()}-{self.count}") in self.taken:
            self.count += 1
        self.taken.add(name)
        return Lane(name, executor, slots, tuple(map(state_of, runs)), deaths, threads)

    def apart(self, lane: Lane, runs: Sequence[Run], why: str, *, by_memory: bool) -> str:
        """Put what is left of a lane where it is tried again in other company, and return a sentence on it.

        Args:
            lane: whose runs they were.
            runs: those that are left.
            why: they cannot go on as they are.
            by_memory: whether fewer together may; then they go on in halves, else one by one.
        """
        if by_memory and len(runs) >= 2 * FEWEST and lane.executor != "one by one":
            half = -(-len(runs) // 2)
            parts, then = [("vmapped", half, runs[:half]), ("vmapped", half, runs[half:])], "they go on in halves"
        else:
            parts, then = [("one by one", 1, [run]) for run in runs], "tried again one by one"
        self.lanes += [self.lane(*part, deaths=lane.deaths, threads=lane.threads) for part in parts]
        return f"{len(runs)} run{'s' * (len(runs) != 1)} together: {why}; {then}"
