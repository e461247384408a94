"""The words of norms' formulas: means over some axes of ``(N, features, …)``, which stay with length 1."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["count", "divided", "joined", "over_batch", "over_example", "over_group", "over_space", "spacing"]


def over_batch(x: Any) -> Any:
    """Return each feature's mean over all examples and places, shape ``(1, features, 1, …)``."""
    return x.mean([0, *range(2, x.dim())], keepdim=True)


def over_example(x: Any) -> Any:
    """Return each example's mean over all features and places, shape ``(N, 1, 1, …)``."""
    return x.mean([*range(1, x.dim())], keepdim=True)


def over_space(x: Any) -> Any:
    """Return the mean over places of each feature of each example, shape ``(N, features, 1, …)``."""
    return x.mean([*range(2, x.dim())], keepdim=True)


def over_group(x: Any) -> Any:
    """Return the mean of each example's groups, as `divided` gives them."""
    return x.mean([*range(2, x.dim())], keepdim=True)


def count(x: Any) -> int:
    """Return how many values a feature has: examples times places."""
    return int(math.prod(x.shape) // x.shape[1])


def divided(x: Any, groups: int) -> Any:
    """Return x with its features in groups of neighbours: shape ``(N, groups, features / groups, …)``."""
    return x.unflatten(1, (groups, -1))


def joined(x: Any) -> Any:
    """Return what was divided in the shape that it had."""
    return x.flatten(1, 2)


def spacing(x: Any) -> float:
    """Return the distance from 1 to the next number of x's type."""
    import torch

    return torch.finfo(x.dtype).eps
