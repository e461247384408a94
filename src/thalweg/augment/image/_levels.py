"""The words of formulas on levels, 0 to 1: of a table of 256, or of a batch of pictures."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["beta", "normal", "power", "reaches", "rounded_down", "where"]

SLACK = 1e-3
"""How many levels of 255 may be missing where levels are compared: more than float32 loses in a few steps."""


def beta(u: Any, alpha: float) -> Any:
    """Return the number below which a share u of Beta(alpha, alpha) lies."""
    from scipy.special import betaincinv

    return betaincinv(alpha, alpha, u)


def normal(n: Any) -> Any:
    """Return the normal numbers of numbers between 0 and 1, of 16 bits: none is beyond 4.2."""
    if isinstance(n, np.ndarray):
        return _normals()[(n * 65536).astype(np.int32)]
    import torch

    return torch.from_numpy(_normals()).to(n.device, n.dtype)[(n * 65536).long()]


@cache
def _normals() -> np.ndarray:
    from scipy.special import ndtri

    return ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)  # type: ignore[no-any-return]


def power(x: Any, exponent: Any) -> Any:
    """Return x to a power; below 0, where nothing is, 0."""
    return (x.clip(min=0) if hasattr(x, "clip") else max(x, 0.0)) ** exponent


def reaches(x: Any, threshold: float) -> Any:
    """Return whether x is at or above a threshold."""
    return x >= threshold - SLACK / 255


def rounded_down(x: Any, steps: Any) -> Any:
    """Return the multiple of ``steps`` of 255 at or below."""
    return ((x * 255 + SLACK) // steps) * steps / 255


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition holds, else b."""
    return condition * a + (~condition) * b
