"""What a step keeps in memory for its way back, and how many models are to take it at once."""

from __future__ import annotations

from contextlib import nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from thalweg.key import Key
from thalweg.recipe import Together
from thalweg.task import Task, apply
from thalweg.train.drawn import drawn
from thalweg.train.dropout import KeyedDropout
from thalweg.train.made import model_of, step_loss_of
from thalweg.train.mixing import as_trained
from thalweg.train.passes import autocast
from thalweg.train.state import of_module

__all__ = ["at_once", "saved_bytes"]

PASS = 2 * 2**20
"""Bytes, about, that models which pass together keep for their way back: what a core's caches hold."""

LEAST = 4
"""Models that pass together, at least: what one call costs is shared by them. Where the code is compiled that is
little, and a model of which so many do not fit passes by itself: each operation then finds in the caches what the
one before it wrote. A transformer gains a third."""


def at_once(saved: int, count: int, *, alike: bool) -> int:
    """Return how many of so many models are to pass together, so that those that wait keep nothing.

    Args:
        saved: bytes that one keeps; see `saved_bytes`.
        count: how many there are.
        alike: whether the count must be a multiple of it, as for compiled code.

    >>> at_once(40_000, 64, alike=False), at_once(400_000, 9, alike=False), at_once(400_000, 9, alike=True)
    (32, 5, 9)
    >>> at_once(700_000, 9, alike=False), at_once(700_000, 9, alike=True)
    (3, 1)
    """
    fit = PASS // max(1, saved)
    if not alike:
        return -(-count // -(-count // max(LEAST, fit)))
    if fit < LEAST:
        return 1
    return max((n for n in range(LEAST, min(fit, count) + 1) if count % n == 0), default=count)


PROBE = 8
"""Examples that are looked at; what is kept grows with their number."""

_SAVED: WeakKeyDictionary[Task, dict[Together, int]] = WeakKeyDictionary()


def saved_bytes(task: Task, together: Together, examples: int) -> int:
    """Return the bytes that a model keeps of a forward pass for its way back; its weights do not count.

    Args:
        task: whose model.
        together: what its recipe makes of it.
        examples: that pass.
    """
    known = _SAVED.setdefault(task, {})
    if together not in known:
        known[together] = _saved(task, together)
    return known[together] * examples // PROBE


def _saved(task: Task, together: Together) -> int:
    """Return the bytes that `PROBE` examples leave."""
    recipe = together.recipe().resolved()
    module, loss = model_of(task, recipe, 0).train(), step_loss_of(task, recipe)
    own = {x.untyped_storage().data_ptr() for x in of_module(module).values()}
    found: dict[int, int] = {}

    def save(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return x

    batch = as_trained(task.train.at(torch.arange(PROBE) % len(task.train)), together)
    watching, mixed = (
        torch.autograd.graph.saved_tensors_hooks(save, lambda x: x),
        autocast(together, torch.device("cpu")),
    )
    masks = KeyedDropout(torch.tensor(0)) if drawn(task).noise else nullcontext()
    with (Key(0) / "probe").seeded(), torch.enable_grad(), watching, mixed, masks:
        loss(apply(module, batch.inputs), batch.targets)
    return sum(found.values())
