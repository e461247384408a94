"""An epoch: in which order a run sees its examples, and in which batches."""

from __future__ import annotations

import numpy as np

from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.train.bucket import bucketed
from thalweg.train.state import Member

__all__ = ["batches", "order", "steps_per_epoch"]


def batches(n: int, batch_size: int) -> list[slice]:
    """Return an epoch's batches as slices of its order; a last batch of one example is left out.

    (Batch norm cannot take one example.)

    >>> batches(5, 2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    cuts = [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    return cuts[:-1] if len(cuts) > 1 and cuts[-1].stop - cuts[-1].start == 1 else cuts


def steps_per_epoch(task: Task, recipe: Recipe) -> int:
    """Return how many steps an epoch of the resolved recipe takes."""
    return len(batches(len(task.train), recipe.sizes()[0]))


def order(task: Task, member: Member, epoch: int) -> np.ndarray:
    """Return the order in which a run sees its training examples in an epoch, shape ``(n,)``."""
    key = Key(member.seed) / "order" / epoch
    plain = key.permutation(len(task.train))
    if member.recipe.bucket == "none":
        return plain
    return bucketed(plain, task.lengths.numpy(), member.recipe.sizes()[0], key / "batches")
