"""Activation checkpointing of unmodified modules: blocks are computed again in the backward pass, to the same bit.

For as long as a forward pass lasts, ``forward`` of each block is called through ``torch.utils.checkpoint``.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from thalweg.errors import InputError
from thalweg.train.dropout import KeyedDropout

__all__ = ["blocks", "recomputed"]

Block = tuple[nn.Module, Sequence[nn.Module]]
"""Whose ``forward`` is called through a checkpoint, and what there is in it: itself, or runs of a chain's parts."""


def blocks(model: nn.Module) -> list[Block]:
    """Return what is computed again, from the ``nn.Sequential`` or ``nn.ModuleList`` with the most parameters.

    One inside it that has more than half of them is taken instead, and so on. Its children are the blocks, those
    alone that have children of their own if there are any; a sequence of plain layers is cut into about the square
    root of their number of runs, because each layer by itself would leave as much in memory as before.

    Raises:
        InputError: the model has no such container.

    >>> layers = [nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)]
    >>> len(blocks(nn.Sequential(nn.Flatten(), nn.Sequential(*layers), nn.Linear(4, 1))))
    3
    """
    best = _largest(model.modules())
    if best is None:
        raise InputError(
            "recompute: the model has no nn.Sequential or nn.ModuleList with parameters, whose blocks could be "
            "computed again; leave recompute out"
        )
    while (inner := _largest(list(best.modules())[1:])) is not None and 2 * _size(inner) > _size(best):
        best = inner
    children = list(dict.fromkeys(best.children()))
    nested = [child for child in children if next(child.children(), None) is not None]
    if not nested and isinstance(best, nn.Sequential) and type(best).forward is nn.Sequential.forward:
        return [(best, list(best))]
    return [(child, [child]) for child in nested or children]


def _largest(modules: Iterable[nn.Module]) -> nn.Module | None:
    """Return the first container with the most parameters, if there is one with any."""
    found = [module for module in modules if isinstance(module, nn.Sequential | nn.ModuleList)]
    best = max(found, key=_size, default=None)
    return best if best is not None and _size(best) else None


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@contextmanager
def recomputed(found: Sequence[Block], masks: KeyedDropout, *, draws: bool) -> Iterator[None]:
    """Call blocks through checkpoints in the forward pass inside a ``with``.

    The backward pass, which comes after it, computes them again with the same dropout masks, and leaves buffers, such
    as a batch norm's running mean, as the first pass did.

    Args:
        found: by `blocks`.
        masks: which is active in the forward pass.
        draws: whether the model draws from global generators.
    """
    before = [module.__dict__.get("forward") for module, _ in found]
    for module, parts in found:
        module.forward = _forward(module.forward, parts, masks, draws)
    try:
        yield
    finally:
        for (module, _), own in zip(found, before, strict=True):
            del module.forward
            if own is not None:
                module.forward = own


def _forward(
    own: Callable[..., Any], parts: Sequence[nn.Module], masks: KeyedDropout, draws: bool
) -> Callable[..., Any]:
    if len(parts) == 1:
        return _checkpointed(own, parts, masks, draws)
    long = math.ceil(math.sqrt(len(parts)))
    runs = [nn.Sequential(*parts[i : i + long]).forward for i in range(0, len(parts), long)]
    steps = [_checkpointed(run, parts, masks, draws) for run in runs]

    def chain(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return chain


def _checkpointed(
    forward: Callable[..., Any], parts: Sequence[nn.Module], masks: KeyedDropout, draws: bool
) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        draws_again, layer, count = _Numpy() if draws else nullcontext(), masks.layer, itertools.count()
        buffers = _Buffers(parts)

        def again(*args: Any) -> Any:
            if next(count) == 0:
                found = forward(*args, **named)
                buffers.passed()
                return found
            with buffers, draws_again, KeyedDropout(masks.key, masks.replaced) as own:
                own.layer = layer
                return forward(*args, **named)

        return checkpoint(again, *args, use_reentrant=False, preserve_rng_state=draws)

    return call


class _Buffers:
    """Modules' buffers as they are now, once more inside a ``with``, after which they are as before it.

    A batch norm would otherwise count a batch twice, and a spectral norm go on from where it had come to.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        modules = dict.fromkeys(module for part in parts for module in part.modules())
        self.kept = [(m, name, x.clone()) for m in modules for name, x in m.named_buffers(recurse=False)]

    def passed(self) -> None:
        """Forget what the pass has not changed; by value, because batch norm's kernel writes unseen by torch."""
        self.kept = [one for one in self.kept if not torch.equal(getattr(one[0], one[1]), one[2])]

    def __enter__(self) -> None:
        self.after = [getattr(module, name) for module, name, _ in self.kept]
        for module, name, value in self.kept:
            setattr(module, name, value)

    def __exit__(self, *_: object) -> None:
        for (module, name, _changed), value in zip(self.kept, self.after, strict=True):
            setattr(module, name, value)


class _Numpy:
    """Numpy's and Python's global generators as they are now, once more inside a ``with``; torch sees to its own."""

    def __init__(self) -> None:
        self.state = np.random.get_state(), random.getstate()  # noqa: NPY002

    def __enter__(self) -> None:
        self.other = np.random.get_state(), random.getstate()  # noqa: NPY002
        self._set(self.state)

    def __exit__(self, *_: object) -> None:
        self._set(self.other)

    def _set(self, state: Any) -> None:
        np.random.set_state(state[0])  # noqa: NPY002
        random.setstate(state[1])
