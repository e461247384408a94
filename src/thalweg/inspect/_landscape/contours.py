"""Lines of equal height in a table of values, by marching squares."""

from __future__ import annotations

import numpy as np

__all__ = ["isolines", "levels"]

_SIDES: dict[int, list[tuple[int, int]]] = {
    1: [(3, 0)], 2: [(0, 1)], 3: [(3, 1)], 4: [(1, 2)], 6: [(0, 2)], 7: [(3, 2)], 8: [(2, 3)], 9: [(2, 0)],
    11: [(2, 1)], 12: [(1, 3)], 13: [(1, 0)], 14: [(0, 3)],
}  # fmt: skip
"""Between which sides (below, right, above, left) the line passes, by which corners lie above it."""


def isolines(values: np.ndarray, level: float) -> list[np.ndarray]:
    """Return the lines along which values interpolated between the points of a grid equal a level.

    Args:
        values: finite, shape ``(rows, columns)``.
        level: any number.

    Returns:
        Each line's points as (column, row) from 0, fractions between points of the grid; shape ``(points, 2)``. The
        last point of a closed line is its first.

    >>> isolines(np.array([[0.0, 0.0], [1.0, 1.0]]), 0.25)[0].tolist()
    [[1.0, 0.25], [0.0, 0.25]]
    """
    above = values > level
    cells = above[:-1, :-1] + 2 * above[:-1, 1:] + 4 * above[1:, 1:] + 8 * above[1:, :-1]
    beside: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    for row, column in np.argwhere((cells > 0) & (cells < 15)).tolist():
        case = int(cells[row, column])
        if case in (5, 10):  # two corners across from each other: what the middle says joins or parts them
            middle = values[row : row + 2, column : column + 2].mean() > level
            pairs = [(3, 2), (0, 1)] if (case == 5) == bool(middle) else [(3, 0), (1, 2)]
        else:
            pairs = _SIDES[case]
        sides = ((0, row, column), (1, row, column + 1), (0, row + 1, column), (1, row, column))
        for first, second in pairs:
            beside.setdefault(sides[first], []).append(sides[second])
            beside.setdefault(sides[second], []).append(sides[first])
    ends = [side for side, others in beside.items() if len(others) == 1]
    walked = (_followed(beside, start) for start in (*ends, *beside) if beside[start])
    return [np.array([_point(values, level, side) for side in line]) for line in walked]


def _followed(
    beside: dict[tuple[int, int, int], list[tuple[int, int, int]]], start: tuple[int, int, int]
) -> list[tuple[int, int, int]]:
    """Walk from side to side, and take away what was walked."""
    line = [start]
    while beside[line[-1]]:
        here = line[-1]
        there = beside[here].pop()
        beside[there].remove(here)
        line.append(there)
    return line


def _point(values: np.ndarray, level: float, side: tuple[int, int, int]) -> tuple[float, float]:
    upright, row, column = side
    a, b = values[row, column], values[row + 1, column] if upright else values[row, column + 1]
    share = float((level - a) / (b - a))
    return (column, row + share) if upright else (column + share, row)


def levels(values: np.ndarray, least: float, count: int = 16) -> np.ndarray:
    """Return heights to draw lines at: by equal factors above ``least``; evenly, where that is not finite."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(least):
        return np.linspace(low, high, count + 2)[1:-1]
    above = np.quantile(values, 0.01) - least
    top = high - least
    if not top > 0:
        return np.empty(0)
    return least + np.geomspace(max(above, 1e-4 * top), top, count + 1)[:-1]
