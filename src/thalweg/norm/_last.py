"""Norms of features that lie along the last axis."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["LastAxis"]


class LastAxis(nn.Module):
    """A norm whose features are the last axis of ``(N, …, features)``, as a linear layer at every place has them.

    Torch's batch and group norm look for features in the second axis; here every place counts as an example.

    Args:
        norm: of ``(N, features)``.

    >>> import torch
    >>> from thalweg import norm
    >>> y = norm.LastAxis(norm.batch().module(3))(torch.randn(4, 5, 3))
    >>> y.shape, bool((y.mean((0, 1)).abs() < 1e-6).all())
    (torch.Size([4, 5, 3]), True)
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return y for x, both of shape ``(N, …, features)``."""
        y: Tensor = self.norm(x.flatten(0, -2))
        return y.view(x.shape)
