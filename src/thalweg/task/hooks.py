"""Hooks on gradients, which vmap passes over."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["Hooked", "on_gradients"]


class Hooked(TorchFunctionMode):
    """Sees whether a hook on a gradient is registered inside a ``with``."""

    seen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or func is torch.Tensor.register_hook
        return func(*args, **(kwargs or {}))


def on_gradients(module: nn.Module, seen: bool) -> str:
    """Return which hooks change gradients, or may, in words."""
    for name, p in module.named_parameters():
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):  # noqa: SLF001
            return f"{name} has a hook on its gradient"
    for name, part in module.named_modules():
        if part._backward_hooks or part._backward_pre_hooks:  # noqa: SLF001
            return f"{name or 'the model'} has a hook on its backward pass"
    return "its forward puts a hook on a gradient" if seen else ""
