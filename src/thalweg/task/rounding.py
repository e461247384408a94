"""Outputs that are the same but for rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

__all__ = ["close"]


def close(one: Any, other: Any) -> bool:
    """Return whether outputs are the same but for rounding."""
    pairs = [[x.detach() for x in tree_leaves(output) if isinstance(x, Tensor)] for output in (one, other)]
    if [x.shape for x in pairs[0]] != [x.shape for x in pairs[1]]:
        return False
    for a, b in zip(*pairs, strict=True):
        if torch.equal(a, b):  # which large tensors are, and need no memory for
            continue
        least = 100 * torch.finfo(a.dtype).eps if a.is_floating_point() else 0.0
        if not torch.allclose(a, b, rtol=0.0, atol=least * _largest(a), equal_nan=True):
            return False
    return True


def _largest(x: Tensor) -> float:
    return float(x.abs().nan_to_num(0.0, 0.0, 0.0).max()) if x.numel() and x.is_floating_point() else 0.0
