"""The words of losses' formulas: what is said of all classes, or of all examples.

What is said of classes keeps their axis, the second, with length 1.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["at_class", "class_mean", "each", "least", "log_softmax", "mean", "over_others"]

LEFT_OUT = -100
"""The class of places that do not count, as torch's cross entropy has it."""


def log_softmax(output: Any) -> Any:
    """Return the logarithm of each class's probability."""
    return output.log_softmax(1)


def at_class(x: Any, targets: Any) -> Any:
    """Return what x says of the targets' classes; of those of `LEFT_OUT`, what it says of the first."""
    return x.gather(1, targets.where(targets != LEFT_OUT, 0).unsqueeze(1))


def class_mean(x: Any) -> Any:
    """Return the mean over all classes."""
    return x.mean(1, keepdim=True)


def over_others(x: Any, targets: Any) -> Any:
    """Return the sum over all classes but the targets'."""
    import torch

    classes = torch.arange(x.shape[1], device=x.device).view(-1, *[1] * (x.dim() - 2))
    return torch.where(classes == targets.unsqueeze(1), 0.0, x).sum(1, keepdim=True)


def each(output: Any, targets: Any) -> Any:
    """Return the plain loss of each target: cross entropy for classes, the squared error for numbers."""
    if targets.is_floating_point():
        return (output - targets) * (output - targets)
    return -at_class(log_softmax(output), targets)


def mean(x: Any, targets: Any = None, among: Any = None) -> Any:
    """Return the mean of all that counts, shape ``()``; 0 where nothing does.

    Args:
        x: losses, each target's.
        targets: classes, of which those of `LEFT_OUT` do not count.
        among: which examples count, bool, shape ``(N,)``.
    """
    import torch

    if targets is None:
        return x.mean()
    counts = _counted(x, targets)
    if among is not None:
        counts = counts & among.view(-1, *[1] * (x.dim() - 1))
    return torch.where(counts, x, 0.0).sum() / counts.sum().clamp(min=1)


def least(x: Any, targets: Any, share: Any) -> Any:
    """Return which examples are of the share whose mean losses are least, bool, shape ``(N,)``.

    It is a share of the examples that have a target that counts. A loss that is not finite is among them: it is no
    outlier, but a run that has diverged.
    """
    import torch

    counts = _counted(x, targets)
    x, counts = (part.detach().reshape(len(x), math.prod(x.shape[1:])) for part in (x, counts))
    losses = torch.where(counts, x, 0.0).sum(1) / counts.sum(1).clamp(min=1)
    losses = torch.where(losses.isfinite(), losses, -torch.inf)
    whole = counts.any(1)
    rank = torch.where(whole, losses, torch.inf).argsort(stable=True).argsort(stable=True)
    return rank + 0.5 < share * whole.sum()


def _counted(x: Any, targets: Any) -> Any:
    import torch

    if targets.is_floating_point():
        return torch.ones_like(x, dtype=torch.bool)
    return (targets != LEFT_OUT).unsqueeze(1)
