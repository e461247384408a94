"""The words a formula may use beside arithmetic: what every executor can carry out."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["maximum", "sign", "sqrt", "where"]

# A formula is called with torch tensors, with the population's per-run columns, or with plain numbers;
# the first two carry the operation as a method.


def sqrt(x: Any) -> Any:
    """Return the square root, element by element."""
    return x.sqrt() if hasattr(x, "sqrt") else math.sqrt(x)


def sign(x: Any) -> Any:
    """Return −1, 0 or 1, element by element."""
    return x.sign() if hasattr(x, "sign") else (x > 0) - (x < 0)


def maximum(a: Any, b: Any) -> Any:
    """Return the larger of two tensors of one shape, element by element."""
    return a.maximum(b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition holds, else ``b``, element by element."""
    return a.where(condition, b)
