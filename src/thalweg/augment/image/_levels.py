"""The words of formulas on levels, 0 to 1: of a table of 256, or of a batch of pictures."""

from __future__ import annotations

from typing import Any

__all__ = ["power", "rounded_down", "where"]


def power(x: Any, exponent: Any) -> Any:
    """Return x to a power; below 0, where nothing is, 0."""
    return (x.clip(min=0) if hasattr(x, "clip") else max(x, 0.0)) ** exponent


def rounded_down(x: Any, steps: Any) -> Any:
    """Return the multiple of ``steps`` of 255 at or below."""
    return ((x * 255 + 1e-6) // steps) * steps / 255


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition holds, else b."""
    return condition * a + (~condition) * b
