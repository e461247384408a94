"""The words of activations' formulas beside those of optimizers': of tensors, and of plain numbers."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["erf", "exp", "expm1", "log1p"]


def exp(x: Any) -> Any:
    """Return e to the power of x."""
    return x.exp() if hasattr(x, "exp") else math.exp(x)


def expm1(x: Any) -> Any:
    """Return exp(x) − 1, exact near 0."""
    return x.expm1() if hasattr(x, "expm1") else math.expm1(x)


def log1p(x: Any) -> Any:
    """Return log(1 + x), exact near 0."""
    return x.log1p() if hasattr(x, "log1p") else math.log1p(x)


def erf(x: Any) -> Any:
    """Return the error function: 2 Φ(√2 x) − 1, with Φ the normal distribution's."""
    return x.erf() if hasattr(x, "erf") else math.erf(x)
