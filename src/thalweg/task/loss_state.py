"""Whether a loss keeps something from one call to the next: one loss is called by all runs, and in any order.

It is called on one batch, and a copy of it on another batch first: what then differs depends on what came before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.task.held import changed, held_by
from thalweg.task.outside import listed
from thalweg.task.reading import Split, apply
from thalweg.task.rounding import close
from thalweg.task.task import Task

__all__ = ["LossState", "check_loss", "loss_state"]

EXAMPLES = 4
"""Of each of the two batches."""


@dataclass(frozen=True)
class LossState:
    """What a call of a loss leaves for the next; empty where that is nothing.

    Attributes:
        changes: what depends on earlier calls too; ``"?"`` where it has no name.
        shows: what holds something of the last call alone, as for a log.
    """

    changes: str = ""
    shows: str = ""

    @property
    def obstacle(self) -> str:
        """Why vmap is not to call the loss; empty where it may."""
        if self.changes:
            return f"its loss {_EVERY if self.changes == '?' else f'changes {self.changes}, which all runs share'}"
        return f"its loss keeps {self.shows} of each call, which vmap would leave unreadable" if self.shows else ""


_EVERY = "gives other values for the same outputs, targets and random numbers"

_KNOWN: WeakKeyDictionary[Task, LossState] = WeakKeyDictionary()


def loss_state(task: Task) -> LossState:
    """Return what a task's loss keeps; it is looked at once.

    >>> from torch import nn
    >>> from thalweg import accuracy
    >>> class Smoothed:
    ...     calls = 0
    ...     def __call__(self, output, y):
    ...         self.calls += 1
    ...         return nn.functional.cross_entropy(output, y) / self.calls
    >>> x = torch.randn(60, 4)
    >>> task = Task(model=lambda: nn.Linear(4, 2), data=(x, (x[:, 0] > 0).long()), loss=Smoothed(), metric=accuracy)
    >>> loss_state(task).changes
    'calls'
    """
    if task not in _KNOWN:
        _KNOWN[task] = _look(task)
    return _KNOWN[task]


def check_loss(task: Task) -> None:
    """Refuse a loss that would make a run depend on others.

    Raises:
        InputError: it names what, where that can be found.
    """
    found, who = loss_state(task).changes, f"the loss of task {task.name}"
    if found == "?":
        raise InputError(
            f"{who} {_EVERY}; draw what it draws from torch's global generator, which is seeded for each run, and "
            "keep nothing from one call to the next"
        )
    if found:
        raise InputError(
            f"{who} changes {found} when it is called, which all runs share, so that each would depend on the "
            "others; draw from torch's global generator, which is seeded for each run, and keep what changes in "
            "buffers of the model"
        )


Given = Callable[[int], tuple[Any, Tensor]]


def _look(task: Task) -> LossState:
    for way in (_outputs, _passes):
        with suppress(Exception):  # what cannot be made or called is refused elsewhere, in better words
            return _compared(task.loss, way(task))
    return LossState()


def _compared(loss: Any, given: Given) -> LossState:
    try:
        other = copy.deepcopy(loss)
    except Exception:  # then all three calls are its own
        other = loss
    value = _called(loss, given(0))
    first = held_by(loss)
    _called(other, given(1))
    between = held_by(other)
    again = _called(other, given(0))
    last = held_by(other)
    if moved := changed(first, last):
        return LossState(changes=listed(moved, loss))
    if not close(value, again):
        return LossState(changes="?")
    return LossState(shows=listed(changed(between, last), loss))


def _called(loss: Any, given: tuple[Any, Tensor]) -> Any:
    with (Key(0) / "loss").seeded(), torch.enable_grad():
        return loss(*given)


def _batch(task: Task, number: int) -> Split:
    return task.train.at((slice(0, EXAMPLES), slice(-EXAMPLES, None))[number])


def _outputs(task: Task) -> Given:
    """Return what gives outputs and targets of a batch: copies of what a model has made of both, once."""
    module = task.model(0).train()
    made = [_passed(task, module, number) for number in (0, 1)]

    def copied(x: Any) -> Any:
        return x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x

    return lambda number: tree_map(copied, made[number])


def _passes(task: Task) -> Given:
    """Return what gives them with their graph, each time by another model: a loss may take gradients there."""
    return lambda number: _passed(task, task.model(0).train(), number)


def _passed(task: Task, module: Any, number: int) -> tuple[Any, Tensor]:
    batch = _batch(task, number)
    with (Key(0) / "outside" / number).seeded(), torch.enable_grad():
        return apply(module, batch.inputs), batch.targets.clone()
