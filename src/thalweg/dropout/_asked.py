"""What a module of this kind asks for: which elements stay, or noise.

Torch's generator answers. Under thalweg's training a mode catches these functions, and a key answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

__all__ = ["keep", "normal", "thinned"]


def keep(x: Tensor, p: float | Tensor, shape: Sequence[int], places: Tensor | None = None) -> Tensor:
    """Return 1 for what stays and 0 for what leaves, with probability ``p``, in the type and on the device of ``x``.

    Args:
        x: what is thinned.
        p: from 0 up to, but not, 1; a number or a tensor of shape ``()``.
        shape: of the answer.
        places: int64, of ``shape``: elements with the same number stay or leave together.
    """
    if has_torch_function_unary(x):
        found: Tensor = handle_torch_function(keep, (x,), x, p, shape, places)
        return found
    kept = (torch.rand(list(shape), device=x.device) >= p).to(x.dtype)
    return kept if places is None else kept.reshape(-1)[_ranks(places)]


def _ranks(places: Tensor) -> Tensor:
    """Return which of all the different places, from 0 and in order, each element has."""
    flat = places.reshape(-1)
    ordered, at = flat.sort()
    begins = torch.cat([ordered[:1] == ordered[:1], ordered[1:] != ordered[:-1]])
    group = begins.long().cumsum(0) - 1
    return torch.empty_like(flat).scatter(0, at, group).view(places.shape)


def normal(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return independent standard normal numbers of ``shape``, in the type and on the device of ``x``."""
    if has_torch_function_unary(x):
        found: Tensor = handle_torch_function(normal, (x,), x, shape)
        return found
    return torch.randn(list(shape), dtype=x.dtype, device=x.device)


def thinned(x: Tensor, p: float | Tensor) -> Tensor:
    """Return a tensor after dropout, what stays multiplied by 1 / (1 − p); as ``F.dropout``, of any rate.

    Args:
        x: any shape.
        p: from 0 up to, but not, 1; a number or a tensor of shape ``()``.
    """
    if has_torch_function_unary(x):
        found: Tensor = handle_torch_function(thinned, (x,), x, p)
        return found
    if not isinstance(p, Tensor):
        return F.dropout(x, p)
    return (x * keep(x, p, x.shape) * (1.0 / (1.0 - p))).to(x.dtype)
