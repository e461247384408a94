"""Where tensors lie plainly in memory, or are stacked by one vmap and do, machine code may be called on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _functorch as functorch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from thalweg.train.counter import HASHING, QUICKER
from thalweg.train.thinning import hashes

__all__ = ["by_key", "inside", "plain", "watched"]


def by_key(key: Tensor, computed: Callable[[list[int]], Tensor]) -> Tensor | None:
    """Return what is computed of a key, or of each key that vmap stacks; None where they are not so plain.

    Args:
        key: of a run, or of each.
        computed: from keys to a tensor that has a row for each.
    """
    stack = functorch.get_interpreter_stack() or []
    levels = [level.level() for level in stack if level.key() == functorch.TransformType.Vmap]
    keys = inside(key, grad=True)
    stacks = functorch.is_batchedtensor(keys)
    if not (len(levels) == 1 if stacks else plain(keys)):
        return None
    with temporarily_clear_interpreter_stack():
        found = computed(inside(keys).reshape(-1).tolist())
    if not stacks:
        return found[0]
    stacked: Tensor = functorch._add_batch_dim(found, 0, levels[0])  # noqa: SLF001
    return stacked


def watched() -> bool:
    """Return whether something traces, or counts, what torch is called for."""
    tracing = torch._C._get_tracing_state() is not None or torch.compiler.is_compiling()  # noqa: SLF001
    return tracing or torch._C._len_torch_dispatch_stack() > 0  # noqa: SLF001


def plain(*numbers: Any) -> bool:
    """Return whether all are numbers, or tensors that lie in the CPU's memory and that no transformation wraps."""
    return all(
        type(x) in (Tensor, nn.Parameter)
        and not functorch.is_functorch_wrapped_tensor(x)
        and torch._C._has_storage(x)  # noqa: SLF001  what vmap stacks in a backward pass has none
        and x.device.type == "cpu"
        and x.layout == torch.strided
        and not x.is_neg()
        for x in numbers
        if isinstance(x, Tensor)
    )


def inside(x: Any, *, grad: bool = False) -> Any:
    """Return a tensor without what transformations wrap around it, or without what ``grad`` alone does."""
    while isinstance(x, Tensor) and (
        functorch.is_gradtrackingtensor(x) or (not grad and functorch.is_functorch_wrapped_tensor(x))
    ):
        x = functorch.get_unwrapped(x)
    return x


def _hashes(key: Tensor, shape: Sequence[int]) -> Tensor | None:
    """Return hashes in one pass over memory; None where something watches, or the key is not so plain."""
    return None if watched() else by_key(key, lambda keys: hashes(shape, keys, HASHING))


QUICKER.append(_hashes)
