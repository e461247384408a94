"""The words a formula may use beside arithmetic: what every executor can carry out.

A formula is called with torch tensors, with the population's per-run columns, or with plain numbers; the first two
carry each operation as a method.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["absolute", "maximum", "minimum", "norm", "sign", "sqrt", "where"]


def sqrt(x: Any) -> Any:
    """Return the square root, element by element."""
    return x.sqrt() if hasattr(x, "sqrt") else math.sqrt(x)


def sign(x: Any) -> Any:
    """Return −1, 0 or 1, element by element; NaN stays NaN, where torch's gives 0."""
    return x.where(x != x, x.sign()) if hasattr(x, "sign") else (x > 0) - (x < 0)


def absolute(x: Any) -> Any:
    """Return the absolute value, element by element."""
    return abs(x)


def maximum(a: Any, b: Any) -> Any:
    """Return the larger of two, element by element; one of them may be a number."""
    if hasattr(a, "maximum"):
        return a.maximum(b) if hasattr(b, "maximum") else a.clamp(min=b)
    return b.clamp(min=a) if hasattr(b, "clamp") else max(a, b)


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller of two, element by element; one of them may be a number."""
    if hasattr(a, "minimum"):
        return a.minimum(b) if hasattr(b, "minimum") else a.clamp(max=b)
    return b.clamp(max=a) if hasattr(b, "clamp") else min(a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition holds, else ``b``, element by element; either may be a number."""
    if isinstance(condition, bool):
        return a if condition else b
    if hasattr(a, "where"):
        return a.where(condition, b)
    return b.where(~condition, a) if hasattr(b, "where") else condition * a + ~condition * b


def norm(x: Any) -> Any:
    """Return the root of the sum of all squares, a tensor of no axes."""
    return (x * x).sum().sqrt()
