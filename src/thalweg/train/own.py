"""Tensors that a forward pass makes and then writes into: under vmap each model has to have its own.

``torch.zeros`` in a forward gives one tensor for all models, because nothing in it differs between them, and vmap
cannot write into it what does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode

from thalweg.key import Key
from thalweg.task import Task, apply
from thalweg.task.reading import each
from thalweg.train.dropout import KeyedDropout
from thalweg.train.stacked import REPLACED

__all__ = ["REGISTERED", "SHARED", "OwnTensors", "own_copies", "register", "writes"]

REGISTERED = "{}, which its forward registers as a buffer, differs between runs; register it in __init__"

SHARED = r"inplace arithmetic|in-place|vmap: (?P<name>\w+_)\(self|doesn't match the broadcast shape"
"""What torch says where a tensor that all models share is written into."""

_MADE = {
    *(torch.zeros, torch.ones, torch.empty, torch.full, torch.tensor, torch.arange, torch.eye, torch.linspace),
    *(torch.zeros_like, torch.ones_like, torch.empty_like, torch.full_like),
    *(Tensor.new, Tensor.new_zeros, Tensor.new_ones, Tensor.new_empty, Tensor.new_full, Tensor.new_tensor),
}
"""Functions that make a tensor."""

_NOT_WRITING = {"requires_grad_", "detach_", "retain_grad", "share_memory_"}


class OwnTensors(TorchFunctionMode):
    """While active, each model has its own of the tensors that are made.

    Args:
        like: a tensor of which each model has its own.
    """

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self.like = like

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        return _own(self.like, found) if function in _MADE else found


def _own(like: Tensor, x: Tensor) -> Tensor:
    if x.requires_grad:
        return x
    return like.new_empty(x.shape, dtype=x.dtype, device=x.device).copy_(x)


def own_copies(like: Tensor, inputs: Any) -> Any:
    """Return inputs of which each model has its own."""
    return each(inputs, lambda x: _own(like, x))


_WRITES: WeakKeyDictionary[Task, bool] = WeakKeyDictionary()


def writes(task: Task) -> bool:
    """Return whether the forward pass writes into a tensor that, under vmap, all models would share; tried once."""
    if task not in _WRITES:
        _WRITES[task] = _sees_writing(task) and _fails(task)
    return _WRITES[task]


class _Writing(TorchFunctionMode):
    """Sees whether anything is written into inside a ``with``."""

    seen = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        plain = name.endswith("_") and not name.startswith("_") and name not in _NOT_WRITING
        into = plain or name == "__setitem__" or (name.startswith("__i") and name not in ("__int__", "__invert__"))
        self.seen = self.seen or into or (kwargs or {}).get("out") is not None
        return function(*args, **(kwargs or {}))


def _sees_writing(task: Task) -> bool:
    module, inputs, seen = task.model(0), task.train.at(slice(0, 2)).inputs, _Writing()
    for training in (True, False):
        with torch.set_grad_enabled(training), KeyedDropout(torch.tensor(0)), seen:
            apply(module.train(training), inputs)
    return seen.seen


def _fails(task: Task) -> bool:
    """Return whether vmap cannot take the writing, in a pass of two models."""
    module, inputs = task.model(0), task.train.at(slice(0, 2)).inputs
    named = (*module.named_parameters(), *module.named_buffers())
    both = {name: torch.stack([x.detach(), x.detach()]).requires_grad_(x.requires_grad) for name, x in named}

    def called(own: dict[str, Tensor], inputs: Any, key: Tensor) -> Any:
        with KeyedDropout(key, REPLACED):
            return apply(lambda *args, **more: functional_call(module, own, args, more), inputs)

    for training, given in ((True, each(inputs, lambda x: torch.stack([x, x]))), (False, inputs)):
        module.train(training)
        called_by_all = vmap(called, in_dims=(0, 0 if training else None, 0))
        try:
            with torch.set_grad_enabled(training):
                called_by_all(both, given, torch.zeros(2, dtype=torch.int64))
        except Exception as error:
            if re.search(SHARED, str(error)):
                return True
    return False


def register(task: Task, module: nn.Module, names: Sequence[str]) -> None:
    """Have a module register the buffers that its first pass registers, such as a mask that is the same for all runs.

    Args:
        task: whose model it is.
        module: in training mode; its other buffers are afterwards those of a pass.
        names: of these buffers.

    Raises:
        RuntimeError: one is not the same with other seeds and other examples.
    """
    if not names:
        return
    found = []
    for one, some in ((module, slice(0, 2)), *((task.model(seed).train(), slice(-2, None)) for seed in (0, 1))):
        with (Key(0) / "probe").seeded():
            apply(one, task.train.at(some).inputs)
        found.append(dict(one.named_buffers()))
    for name in names:
        if not all(name in other and torch.equal(found[0][name], other[name]) for other in found):
            raise RuntimeError(REGISTERED.format(name))
