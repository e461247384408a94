"""Batch norm's statistics as they are over all examples: precise, whatever the batches.

The layers are taken in the order in which the model calls them: each sees its inputs as at evaluation, after the
layers before it have their statistics. So the result does not depend on how the data were batched, at any depth;
a model with n batch norms costs n partial passes over the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.errors import InputError

__all__ = ["Moments", "as_kept", "batch_norms", "moments", "pool", "precise_batch_norm"]

Moments = tuple[int, Tensor, Tensor]
"""How many values a channel has, their mean and their variance (divided by their number), float64."""


def precise_batch_norm(model: nn.Module, batches: Iterable[Any], device: torch.device | str | None = None) -> None:
    """Recompute a model's batch norm statistics over all batches, as for weights that were averaged.

    ``torch.optim.swa_utils.update_bn`` averages the variances of batches instead, which leaves out what differs
    between batches, gives a small last batch the weight of a full one, and lets the deeper layers see inputs that
    were normalised by their batch. Dropout is off here, as when the model is evaluated.

    Args:
        model: its running means and variances are changed; nothing else is.
        batches: inputs, or tuples that begin with them, such as a ``DataLoader``'s; passed over several times.
        device: to which inputs are moved, if given.

    Raises:
        InputError: no batches, or a generator, which can be passed over but once.

    Source: Wu & Johnson 2021, Rethinking "Batch" in BatchNorm, section 3.

    >>> import torch
    >>> from torch import nn
    >>> norm = nn.BatchNorm1d(1)
    >>> precise_batch_norm(norm, [torch.tensor([[1.0], [2.0]]), torch.tensor([[6.0]])])
    >>> norm.running_mean.item(), norm.running_var.item()
    (3.0, 7.0)
    """
    if iter(batches) is batches:
        raise InputError("precise_batch_norm passes over the batches several times; give a DataLoader or a list")

    def forward(batch: Any) -> Callable[[], Any]:
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        return lambda: model(inputs if device is None else inputs.to(device))

    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            first = next(iter(batches), None)
            if first is None:
                raise InputError("precise_batch_norm got no batches")
            for name, calls in batch_norms(model, forward(first)).items():
                layer = model.get_submodule(name)
                assert isinstance(layer, _BatchNorm)
                mean, variance = as_kept(pool(moments(model, name, calls, forward(batch)) for batch in batches))
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.copy_(mean)
                layer.running_var.copy_(variance)
    finally:
        for module, mode in modes.items():
            module.training = mode


def batch_norms(model: nn.Module, forward: Callable[[], Any]) -> dict[str, int]:
    """Return the batch norms that keep statistics, in the order of their last call, and how often each is called."""
    found: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            found[name] = found.pop(name, 0) + 1

        return hook

    hooks = [
        module.register_forward_pre_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    if hooks:
        try:
            forward()
        finally:
            for hook in hooks:
                hook.remove()
    return found


class _Seen(Exception):  # noqa: N818 — the way out of a forward pass, not an error
    """A layer has seen all that it will."""


def moments(model: nn.Module, name: str, calls: int, forward: Callable[[], Any]) -> Moments:
    """Return the moments of what a batch norm sees in a forward pass, each channel's; vmap can take it.

    Args:
        model: whose layer; in evaluation mode.
        name: the layer's.
        calls: how often a pass calls it; the pass is left after the last.
        forward: the pass.
    """
    seen: list[Moments] = []

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0].double()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        seen.append((x.numel() // x.shape[1], x.mean(axes), x.var(axes, correction=0)))
        if len(seen) == calls:
            raise _Seen

    handle = model.get_submodule(name).register_forward_pre_hook(hook)
    try:
        forward()
    except _Seen:
        pass
    finally:
        handle.remove()
    return pool(seen)


def pool(parts: Iterable[Moments]) -> Moments:
    """Return the moments of all values from those of parts of any size.

    Source: Chan, Golub & LeVeque 1983.
    """
    first, *others = parts
    n, mean, variance = first
    for m, other_mean, other_variance in others:
        apart = other_mean - mean
        whole = n + m
        variance = (n * variance + m * other_variance) / whole + apart * apart * (n * m / whole**2)
        mean = mean + apart * (m / whole)
        n = whole
    return n, mean, variance


def as_kept(found: Moments) -> tuple[Tensor, Tensor]:
    """Return moments as a batch norm keeps them: the variance is divided by the number less 1, as torch has it."""
    n, mean, variance = found
    return mean, variance * (n / max(n - 1, 1))
