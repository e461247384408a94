"""The words of formulas that erase: which places, of numbers of rows and columns, lie in an area."""

from __future__ import annotations

from typing import Any

__all__ = ["box", "stripes"]


def box(row: Any, column: Any, y: Any, x: Any, high: Any, wide: Any) -> Any:
    """Return whether the middle of a pixel lies in a box about ``(x, y)``, which count from the picture's corner."""
    return (abs(row + 0.5 - y) < high / 2) & (abs(column + 0.5 - x) < wide / 2)


def stripes(at: Any, start: Any, period: Any, share: float) -> Any:
    """Return whether a row or column lies in the first ``share`` of a period."""
    return ((at + 0.5) / period + start) % 1.0 < share
