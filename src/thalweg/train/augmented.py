"""Training batches after augmentation: each run's by its own policy, seed and epoch. Evaluation never sees it.

What happens to an example follows from the run's seed, the epoch, and the example's number in the training split, so
that a run sees the same alone, in any population, under every executor and after a kill. The batch is made first, and
then passes the models, so that nothing of it is in compiled code; runs whose policies are equal share a call.

Steps work on levels from 0 to 1. Where a task's numbers are others, as those that it has standardised are, a level is
the share of the way from the least to the greatest number of its channel in the training split. Steps that only move
pixels do without.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from thalweg.augment import Policy
from thalweg.augment._program import Step, steps
from thalweg.recipe import Recipe
from thalweg.task import Split, Task
from thalweg.task.reading import Batch, Inputs, each, leaves
from thalweg.train.mixing import mixed, paired

__all__ = ["COLOURED", "Augmented", "Augmenting", "augment_seconds", "moves_only", "one_thread_as_torch"]

AT_ONCE = 8 * 2**20
"""Bytes of pictures, about, that a call gets, so that what it works with is little beside the batch itself."""

COLOURED = ("colour", "chosen", "mixture")
"""Stages that may look at red, green and blue; see `thalweg.augment.AugmentTechnique`."""

MOVING = ("geometry", "field")
"""Stages that say where pixels come from."""

ROWS = 4
"""Runs whose augmentation is measured together."""


class Augmenting:
    """What the runs of a population do to their batches.

    Args:
        task: what they are trained on.
        recipes, seeds: resolved, and of each run; the runs are the first rows of a population.

    Attributes:
        seconds: CPU seconds that each run's augmentation took, shape ``(runs,)``.
    """

    def __init__(self, task: Task, recipes: Sequence[Recipe], seeds: Sequence[int]) -> None:
        self.task, self.seeds = task, np.array(seeds, dtype=np.int64)
        self.seconds = np.zeros(len(recipes))
        self.labels = recipes[0].together().labels
        self.policies: dict[Policy, list[int]] = {}
        for row, recipe in enumerate(recipes):
            if recipe.augment.parts:
                self.policies.setdefault(recipe.augment, []).append(row)
        if self.policies:
            one_thread_as_torch()

    def batch(self, numbers: Tensor, epochs: Sequence[int]) -> Batch:
        """Return a batch of all rows, augmented as it is gathered.

        Args:
            numbers: of training examples, ``(rows, examples)``; rows behind the runs' are padding.
            epochs: of each run, counted from 0.
        """
        if not self.policies:
            return Batch(self.task.train, numbers)
        return Augmented(self.task.train, numbers, self, np.array(epochs, dtype=np.int64))

    def change(self, split: Split, rows: Sequence[int], numbers: Tensor, epochs: np.ndarray) -> Split:
        """Return examples after augmentation; their inputs are changed in place.

        Args:
            split: with axes (row, example, …), gathered.
            rows: which rows they are.
            numbers: of the examples, ``(len(rows), examples)``.
            epochs: of each run.
        """
        targets = paired(split.targets, self.labels) if self.labels > 1 else split.targets
        for policy, members in self.policies.items():
            mine = [(place, row) for place, row in enumerate(rows) if row in members]
            if not mine:
                continue
            started = time.process_time()
            places, own = (list(x) for x in zip(*mine, strict=True))
            key = numbers[places].numpy().astype(np.int64), epochs[own], self.seeds[own]
            if self.labels > 1:
                for place, *of in zip(places, *key, strict=True):
                    targets[place] = self._mix(policy, split, place, *of)
            else:
                self._change(policy, split.inputs, places, *key)
            self.seconds[own] += (time.process_time() - started) / len(own)
        return Split(split.inputs, targets)

    def _change(
        self, policy: Policy, inputs: Inputs, places: Sequence[int], numbers: np.ndarray, epochs: Any, seeds: Any
    ) -> None:
        count = numbers.shape[1]
        epochs, seeds, numbers = np.repeat(epochs, count), np.repeat(seeds, count), numbers.reshape(-1)
        if _medium(policy) == "text":
            _edit(self.task, policy, inputs, places, numbers, epochs, seeds)
            return
        assert isinstance(inputs, Tensor)
        pictures = pictures_of(self.task, policy)
        together = list(places) == list(range(places[0], places[0] + len(places)))
        some = inputs[places[0] : places[0] + len(places)] if together else inputs[places]
        flat = some.view(-1, *inputs.shape[2:])
        step = max(1, AT_ONCE // max(1, flat[0].numel() * flat.element_size()))
        for start in range(0, len(flat), step):
            part = slice(start, start + step)
            done = policy.batch(pictures.levels(flat[part]), numbers[part], epoch=epochs[part], seed=seeds[part])
            flat[part] = pictures.values(done)
        if not together:
            inputs[places] = some

    def _mix(self, policy: Policy, split: Split, place: int, numbers: np.ndarray, epoch: int, seed: int) -> Tensor:
        pictures, inputs = pictures_of(self.task, policy), split.inputs
        assert isinstance(inputs, Tensor)
        images, targets = mixed(
            policy, pictures.levels(inputs[place]), split.targets[place], numbers, epoch, seed, self.labels
        )
        inputs[place] = pictures.values(images)
        return targets


@dataclass(frozen=True)
class Augmented(Batch):
    """A batch whose rows are augmented when they are asked for.

    Attributes:
        by: what does it.
        epochs: of each run.
    """

    by: Augmenting
    epochs: np.ndarray
    _last: dict[int, Split] = field(default_factory=dict)

    def at(self, rows: Tensor | slice | int) -> Split:
        """See `Batch`."""
        if isinstance(rows, int):
            one = self.at(slice(rows, rows + 1))
            return one.at(0)
        numbers = self.numbers[rows]
        wanted = torch.arange(len(self.numbers))[rows].tolist()
        split = self.split.at(numbers)
        kept = [place for place, row in enumerate(wanted) if row in self._last]
        todo = [row if row < len(self.epochs) and place not in kept else -1 for place, row in enumerate(wanted)]
        found = self.by.change(split, todo, numbers, self.epochs)
        for place in kept:
            _write(found, place, self._last[wanted[place]])
        # Populations pass in groups, each with the next one's first row at its end; see `Vmapped.passes`.
        self._last.clear()
        if 1 < len(wanted) < len(self.numbers) and wanted[-1] < len(self.epochs):
            one = found.at(-1)
            self._last[wanted[-1]] = Split(each(one.inputs, Tensor.clone), one.targets.clone())
        return found


def _write(split: Split, place: int, one: Split) -> None:
    for into, x in zip(leaves(split.inputs), leaves(one.inputs), strict=True):
        into[place] = x
    split.targets[place] = one.targets


def one_thread_as_torch() -> None:
    """Have OpenCV use as many threads as torch: a process of a study has one, and may be forked from another."""
    try:
        import cv2
    except ImportError:
        return
    if cv2.getNumThreads() != torch.get_num_threads():
        cv2.setNumThreads(torch.get_num_threads())


# -- pictures ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pictures:
    """How a task's inputs are pictures of levels.

    Attributes:
        layered: whether they have an axis of channels.
        coloured: whether grey ones pass as red, green and blue that are alike.
        low, span: of each channel, the least number and how far from it the greatest is, ``(channels, 1, 1)``; none
            where the numbers are levels, or need not be.
    """

    layered: bool
    coloured: bool = False
    low: Tensor | None = None
    span: Tensor | None = None

    def levels(self, inputs: Tensor) -> Tensor:
        """Return inputs ``(N, …)`` as pictures ``(N, channels, height, width)``."""
        images = inputs if self.layered else inputs[:, None]
        images = images if self.low is None or self.span is None else (images - self.low) / self.span
        return images.expand(-1, 3, -1, -1) if self.coloured else images

    def values(self, images: Tensor) -> Tensor:
        """Return pictures as inputs."""
        images = images[:, :1] if self.coloured else images
        images = images if self.low is None or self.span is None else images * self.span + self.low
        return images if self.layered else images[:, 0]


def moves_only(program: Sequence[Step]) -> bool:
    """Return whether steps only move pixels, and put nothing of their own beside them."""
    return all(step.technique.stage in MOVING and step.values.get("border") != "constant" for step in program)


_PICTURES: WeakKeyDictionary[Task, dict[tuple[bool, bool], Pictures]] = WeakKeyDictionary()


def pictures_of(task: Task, policy: Policy) -> Pictures:
    """Return how a task's inputs are pictures, for a policy: some only move pixels, and take any numbers."""
    program = steps(policy, "image")
    moves = moves_only(program)
    wants_colours = any(step.technique.stage in COLOURED for step in program)
    known = _PICTURES.setdefault(task, {})
    if (moves, wants_colours) not in known:
        inputs = task.train.inputs
        assert isinstance(inputs, Tensor)
        layered = inputs.dim() == 4
        coloured = wants_colours and (not layered or inputs.shape[1] == 1)
        found = Pictures(layered, coloured)
        if not (moves or 0 <= float(inputs.min()) <= float(inputs.max()) <= 1):
            images = inputs if layered else inputs[:, None]
            low, high = images.amin((0, 2, 3)), images.amax((0, 2, 3))
            span = torch.where(high > low, high - low, 1.0)
            found = Pictures(layered, coloured, low[:, None, None], span[:, None, None])
        known[moves, wants_colours] = found
    return known[moves, wants_colours]


# -- texts ---------------------------------------------------------------------------------------------


def _medium(policy: Policy) -> str:
    medium: str = policy.parts[0].technique.medium  # type: ignore[attr-defined]
    return medium


def _edit(
    task: Task, policy: Policy, inputs: Inputs, places: Sequence[int], numbers: np.ndarray, epochs: Any, seeds: Any
) -> None:
    """Write what a task makes of its texts after augmentation over the inputs of some rows."""
    assert task.texts is not None
    before = [task.texts[i] for i in numbers]
    after = [done.text for done in policy.texts(before, numbers, epoch=epochs, seed=seeds)]
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    if not changed:
        return
    found = task.encoded([after[i] for i in changed])
    count = len(numbers) // len(places)
    rows, columns = torch.tensor(places)[torch.tensor(changed) // count], torch.tensor(changed) % count
    for into, x in zip(leaves(inputs), leaves(found), strict=True):
        into[rows, columns] = x


# -- what it costs -------------------------------------------------------------------------------------

_SECONDS: WeakKeyDictionary[Task, dict[Any, float]] = WeakKeyDictionary()


def augment_seconds(task: Task, recipe: Recipe) -> float:
    """Return the CPU seconds, about, that augmentation takes in a step of a resolved recipe; measured once."""
    if not recipe.augment.parts:
        return 0.0
    kind = tuple(part.name for part in recipe.augment.parts), recipe.sizes()[0]
    known = _SECONDS.setdefault(task, {})
    if kind not in known:
        count = min(recipe.sizes()[0], len(task.train))
        numbers, taken = torch.arange(count).expand(ROWS, -1), []
        for epoch in range(3):
            by = Augmenting(task, [recipe] * ROWS, range(ROWS))
            by.batch(numbers, [epoch] * ROWS).at(slice(None))
            taken.append(float(by.seconds.mean()))
        known[kind] = min(taken)
    return known[kind]
