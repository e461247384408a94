"""The words of formulas that look at a parameter's units: what leads to one output of a layer."""

from __future__ import annotations

from typing import Any

__all__ = ["unit_mean", "unit_norm"]


def unit_norm(x: Any) -> Any:
    """Return the norm of each output's weights, which the first axis counts; of a vector, that of the whole."""
    return (x * x).sum(tuple(range(x.dim() > 1, x.dim())), keepdim=True).sqrt()


def unit_mean(x: Any) -> Any:
    """Return the mean of each output's weights, which the first axis counts; of a vector, 0."""
    return x.mean(tuple(range(1, x.dim())), keepdim=True) if x.dim() > 1 else 0.0
