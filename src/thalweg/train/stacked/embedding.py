"""Embeddings of stacked models: the vector of padding is trained in none of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["embedding"]


def embedding(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """See `torch.nn.functional.embedding`; indices of any shape, weights ``(V, E)``.

    vmap looks up in all models' weights as one table, and torch's gradient of that leaves out the padding of the
    first model alone. Lookups without padding are left to torch.
    """
    if padding_idx is None or max_norm is not None or not -len(weight) <= padding_idx < len(weight):
        return NotImplemented
    vectors = F.embedding(input, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse)
    if not torch.is_grad_enabled():
        return vectors
    is_padding = (input == padding_idx % len(weight)).unsqueeze(-1)
    return torch.where(is_padding, vectors.detach(), vectors)
