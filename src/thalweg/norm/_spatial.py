"""RMS norm of a convolution's output, which torch has for axes of known sizes only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SpatialRMSNorm"]


class SpatialRMSNorm(nn.Module):
    """Each example divided by the root of its mean square over features and places, then scaled by feature.

    ``nn.RMSNorm`` has a weight for every place and must know their number; this has one for each feature, as
    ``nn.GroupNorm`` does.

    Args:
        features: how many the second axis has.
        dims: how many axes follow it.
        eps: added to the mean square; the spacing of the numbers at 1 if not given.
        elementwise_affine: whether it has a weight.
        device, dtype: of the weight, shape ``(features,)``, which begins at 1.
    """

    weight: Tensor | None

    def __init__(
        self,
        features: int,
        dims: int,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.features, self.dims, self.eps, self.elementwise_affine = features, dims, eps, elementwise_affine
        weight = nn.Parameter(torch.ones(features, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return y for x, both of shape ``(N, features, …)``."""
        y = F.rms_norm(x, x.shape[1:], eps=self.eps)
        return y if self.weight is None else y * self.weight.view(-1, *[1] * self.dims)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"{self.features}, dims={self.dims}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
