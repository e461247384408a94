"""What a model's forward pass draws at random, seen by letting it pass once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.key import Key
from thalweg.task import Task, apply
from thalweg.train.dropout import KeyedDropout
from thalweg.train.noise import NOISE
from thalweg.train.stacked import REPLACED, TAKES_DROPOUT

__all__ = ["Drawn", "drawn", "looked_at"]


@dataclass(frozen=True)
class Drawn:
    """What a forward pass draws at random.

    Attributes:
        masks: whether it asks for dropout, or for other numbers that have keys.
        noise: whether any of these come from torch's functions that draw; see `thalweg.train.noise`.
        hidden: torch's functions that drop where no mask would have a key, and what stands in for them.
        moves_generator: whether it draws from torch's, numpy's or Python's global generator all the same, as
            ``random.random()`` in a forward does, or seeds them; in the loss or on the way back, too.
        evaluating: whether it draws in evaluation mode too, as ``F.dropout(x)`` does, whose ``training`` is True.
        keyed: whether draws have keys. They have none where the way back draws too: a checkpoint draws again what it
            has drawn, which torch sees to by its generator alone.
        changes: whether the model, in evaluation mode, writes into its parameters or buffers.
    """

    masks: bool
    noise: bool
    hidden: Mapping[Any, Any]
    moves_generator: bool
    evaluating: bool
    keyed: bool = True
    changes: bool = False


def drawn(task: Task) -> Drawn:
    """Return what the task's model draws at random."""
    if task not in _DRAWN:
        found = _probe(task, {})
        hidden = {f: ours for f, ours in REPLACED.items() if ours in TAKES_DROPOUT}
        if found.moves_generator and found.keyed:
            other = _probe(task, hidden)
            found = found if other.moves_generator else other
        _DRAWN[task] = found
    return _DRAWN[task]


_DRAWN: WeakKeyDictionary[Task, Drawn] = WeakKeyDictionary()


@contextmanager
def looked_at(task: Task) -> Iterator[None]:
    """Look whether a step inside a ``with`` draws from a global generator, as none of two examples did."""
    before = _generators()
    yield
    if _generators() != before and not drawn(task).moves_generator:
        _DRAWN[task] = replace(drawn(task), moves_generator=True)


class _Asked(TorchFunctionMode):
    """Sees whether torch's functions that draw are called inside a ``with``."""

    noise = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.noise = self.noise or function in NOISE
        return function(*args, **(kwargs or {}))


def _probe(task: Task, hidden: Mapping[Any, Any]) -> Drawn:
    """Return what two examples draw, where some of torch's functions are others."""
    few = task.train.at(slice(0, 2))
    found, asked, changes = [], _Asked(), False
    for training in (True, False):
        module = task.model(0)  # which may draw, and write into itself, the first time alone
        held = _held(module)
        masks = KeyedDropout(torch.tensor(0), hidden)
        # In training with a graph: a forward may put a hook on a gradient there, or take gradients itself.
        with (Key(0) / "probe").seeded(), torch.set_grad_enabled(training), masks, asked:
            before = _generators()
            output = apply(module.train(training), few.inputs)
            if training:
                with suppress(Exception):  # what stands in the way is said where it is trained
                    task.loss(output, few.targets)
            del output  # and the graph
            changes = not _are_equal(held, _held(module))
            found.append((masks.layer > 0, masks.seeded or _generators() != before))
    (masked, moves), evaluating = found
    if _draws_behind(task):
        return Drawn(False, False, {}, True, any(evaluating), False, changes)
    moves = moves or evaluating[1]
    return Drawn(masked or evaluating[0], asked.noise, hidden, moves, any(evaluating), True, changes)


def _held(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of a module's parameters and buffers by name."""
    return {name: x.detach().clone() for name, x in (*module.named_parameters(), *module.named_buffers())}


def _are_equal(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(x, others[name]) for name, x in some.items())


def _draws_behind(task: Task) -> bool:
    """Return whether anything is drawn on the way back.

    Shake-Shake draws there, a hook that adds noise to gradients, and a checkpoint that computes dropout again.
    """
    module, few = task.model(0), task.train.at(slice(0, 2))
    drawing = _Drawing()  # type: ignore[no-untyped-call]
    with (Key(0) / "probe").seeded(), torch.enable_grad(), suppress(Exception):
        loss = task.loss(apply(module.train(), few.inputs), few.targets)
        before = _generators()
        with drawing:
            torch.autograd.backward(loss.sum())
        return drawing.seen or _generators() != before
    return False


class _Drawing(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch says none of its own
    """Sees whether torch draws inside a ``with``, also where generators are afterwards as before."""

    seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return that Dynamo need not be imported, which takes a second, to be told to keep out."""
        return False


def _generators() -> list[str]:
    """Return where the global generators of torch, numpy and Python stand."""
    states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()  # noqa: NPY002
    return [repr([x.tolist() if isinstance(x, np.ndarray) else x for x in state]) for state in states]
