"""What a model's forward pass draws at random, seen by letting it pass once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from thalweg.key import Key
from thalweg.task import Task, apply
from thalweg.train.dropout import KeyedDropout
from thalweg.train.noise import NOISE
from thalweg.train.stacked import REPLACED, TAKES_DROPOUT

__all__ = ["Drawn", "drawn"]


@dataclass(frozen=True)
class Drawn:
    """What a forward pass draws at random.

    Attributes:
        masks: whether it asks for dropout, or for other numbers that have keys.
        noise: whether any of these come from torch's functions that draw; see `thalweg.train.noise`.
        hidden: torch's functions that drop where no mask would have a key, and what stands in for them.
        moves_generator: whether it draws from torch's, numpy's or Python's global generator all the same, as
            ``random.random()`` in a forward does.
        evaluating: whether it draws in evaluation mode too, as ``F.dropout(x)`` does, whose ``training`` is True.
    """

    masks: bool
    noise: bool
    hidden: Mapping[Any, Any]
    moves_generator: bool
    evaluating: bool


def drawn(task: Task) -> Drawn:
    """Return what the task's model draws at random."""
    if task not in _DRAWN:
        masks, noise, moves, evaluating = _probe(task, {})
        hidden = {f: ours for f, ours in REPLACED.items() if ours in TAKES_DROPOUT} if moves else {}
        if hidden:
            masks, noise, moves, evaluating = _probe(task, hidden)
        _DRAWN[task] = Drawn(masks, noise, hidden if not moves else {}, moves, evaluating)
    return _DRAWN[task]


_DRAWN: WeakKeyDictionary[Task, Drawn] = WeakKeyDictionary()


class _Asked(TorchFunctionMode):
    """Sees whether torch's functions that draw are called inside a ``with``."""

    noise = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.noise = self.noise or function in NOISE
        return function(*args, **(kwargs or {}))


def _probe(task: Task, replaced: Mapping[Any, Any]) -> tuple[bool, bool, bool, bool]:
    """Return whether masks and noise are asked for, whether a generator moves, and whether it draws in evaluation."""
    module, inputs = task.model(0), task.train.at(slice(0, 2)).inputs
    found, asked = [], _Asked()
    for training in (True, False):
        with (Key(0) / "probe").seeded(), torch.no_grad(), KeyedDropout(torch.tensor(0), replaced) as masks, asked:
            before = _generators()
            apply(module.train(training), inputs)
            found.append((masks.layer > 0, _generators() != before))
    (masked, moves), evaluating = found
    return masked or evaluating[0], asked.noise, moves or evaluating[1], any(evaluating)


def _generators() -> list[str]:
    """Return where the global generators of torch, numpy and Python stand."""
    states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()  # noqa: NPY002
    return [repr([x.tolist() if isinstance(x, np.ndarray) else x for x in state]) for state in states]
