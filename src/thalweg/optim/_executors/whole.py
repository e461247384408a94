"""Many tensors as one flat one, for formulas of scope ``model``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["joined", "parted"]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors as one flat one, on the first one's device, in float32 at least."""
    wide = torch.float32
    for x in tensors:
        wide = torch.promote_types(wide, x.dtype)
    return torch.cat([x.detach().reshape(-1).to(tensors[0].device, wide) for x in tensors])


def parted(whole: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return a flat tensor as tensors of other ones' shapes."""
    pieces = whole.split([x.numel() for x in like])
    return [piece.view(x.shape) for piece, x in zip(pieces, like, strict=True)]
