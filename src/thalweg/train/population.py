"""The training loop: many runs of one task at once, each with its own recipe, seed and course.

A single run is a population of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from thalweg.task import Task
from thalweg.task.outside import outside
from thalweg.train.company import Company, Result
from thalweg.train.epochs import batches
from thalweg.train.state import Member, RunState, begin_all
from thalweg.train.step import quiet_fallback

__all__ = ["Member", "Population", "train"]


@quiet_fallback()
def train(
    task: Task,
    members: Sequence[Member],
    executor: str = "one by one",
    *,
    keep_weights: bool = False,
    on_epoch: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Train all members, which share what `thalweg.recipe.Together` holds, and return their results in order.

    A member whose loss stops being finite has diverged; the others go on undisturbed.

    Args:
        task: what they are trained on.
        members: resolved recipes and seeds.
        executor: a name in `thalweg.train.EXECUTORS`.
        keep_weights: return each model's final state dict.
        on_epoch: called after every epoch.
    """
    named = [Member(one.recipe, one.seed, str(i)) for i, one in enumerate(members)]
    # A module has to stay the same one where it carries more than its tensors, and a population's are made anew.
    apart = executor == "one by one" and bool(outside(task).carried)
    found: dict[str, Result] = {}
    for group in [[one] for one in named] if apart else [named]:
        population = Population(
            task, executor, len(group),
            begin_all(task, group, alike=executor != "one by one"),  # which nobody else keeps while they train
            keep_weights=keep_weights,
        )  # fmt: skip
        ended = population.run(on_epoch=lambda _: on_epoch())
        found |= {member.identity: result for member, result in ended}
    return [found[one.identity] for one in named]


class Population:
    """Runs that train together, each at its own step of its own course; all at the same batch of their epochs.

    Args:
        task: what they are trained on.
        executor: a name in `thalweg.train.EXECUTORS`.
        slots: how many there can be. Where there are fewer, what is stacked is padded: under one executor a run's
            bits do not depend on its company.
        states: of the runs, begun or gone on with; they share what `thalweg.recipe.Together` holds, and the number of
            batches that they have seen of their epoch.
        keep_weights: results have each model's state dict.
    """

    def __init__(
        self, task: Task, executor: str, slots: int, states: Sequence[RunState], *, keep_weights: bool = False
    ) -> None:
        self.task, self.executor, self.slots, self.keep_weights = task, executor, slots, keep_weights
        (together,) = {state.member.recipe.together() for state in states}
        self.cuts = batches(len(task.train), together.batch_size)
        # An epoch whose last step is done but that is not yet judged has all its batches behind it.
        (self.cut,) = {state.step - _ended(state) * len(self.cuts) for state in states}
        self.begun = list(states)

    def run(
        self,
        *,
        more: Callable[[int], Sequence[RunState]] = lambda _: (),
        on_step: Callable[[Population], None] = lambda _: None,
        on_epoch: Callable[[int], None] = lambda _: None,
    ) -> Iterator[tuple[Member, Result]]:
        """Train until no run is left, and yield each as it ends.

        Args:
            more: asked at an epoch's end, if runs have left, for up to so many others, which begin or have done whole
                epochs.
            on_step: called after each step; may ask for `snapshot`.
            on_epoch: called after each epoch with the number of runs that went through it.
        """
        rows, self.begun = self._seated(self.begun), []  # rows have copies of their own
        while True:
            while self.cut < len(self.cuts):
                rows.step(self.cuts[self.cut])
                self.cut += 1
                on_step(self)
            rows.end_epoch()
            self.cut = 0
            on_epoch(len(rows.members))
            ended = rows.ended(keep_weights=self.keep_weights)
            if not ended:
                continue
            yield from ((rows.members[row], result) for row, result in ended.items())
            left = [state for row, state in enumerate(rows.snapshot()) if row not in ended]
            left += more(self.slots - len(left))
            if not left:
                return
            rows = self._seated(left)

    def snapshot(self) -> list[RunState]:
        """Return the runs as they are between two steps; views, to be written down at once."""
        return self._rows.snapshot()

    def courses(self) -> list[tuple[Member, int, int, list[float], list[float]]]:
        """Return of each run: which, steps done, steps in all, and losses and validation metrics by epoch; views."""
        rows = self._rows
        return list(zip(rows.members, rows.done, rows.totals, rows.losses, rows.valid, strict=True))

    def _seated(self, states: Sequence[RunState]) -> Company:
        # Rows that share a formula stand together, so that it is called once on a slice of the matrix.
        states = sorted(states, key=lambda state: state.member.recipe.optimizer.name)
        self._rows = Company(self.task, self.executor, self.slots, states, len(self.cuts))
        return self._rows


def _ended(state: RunState) -> int:
    """Return how many epochs of a run have their loss and validation metric."""
    return len(state.facts.get("losses", [math.nan])) - 1
