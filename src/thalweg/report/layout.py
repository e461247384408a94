"""Which part of an axis is shown, and where labels stand so that they do not cover each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thalweg.report.tables import Table

__all__ = [
    "beyond",
    "close_up",
    "counts",
    "ends",
    "legible",
    "magnitudes",
    "padded",
    "spaced",
    "span",
    "whole",
    "window",
]


def window(rows: Sequence[tuple[float | None, float | None, float | None]], *, higher: bool) -> tuple[float, float]:
    """Return the part of the axis that is worth showing for (value, low, high), best first.

    All of it, unless a few stragglers would press the others together: those lie farther behind the best
    than three times the better half's spread, intervals included. An interval more than three times as wide as is
    usual here asks for no room.
    """
    sign = 1.0 if higher else -1.0
    values = [value for value, _, _ in rows if value is not None]
    widest = 3 * _usual(rows)
    asking = [row if _width(row) <= widest else (row[0], None, None) for row in rows]
    near = asking[: max(2, (len(rows) + 1) // 2)]
    ends = [end for row in near for end in row if end is not None]
    spread = max(ends) - min(ends) or 0.05 * abs(ends[0]) or 1.0
    limit = sign * values[0] - 3 * spread
    kept = [row for row in asking if row[0] is not None and sign * row[0] >= limit]
    ends = [end for row in kept for end in row if end is not None]
    margin = 0.04 * (max(ends) - min(ends)) or spread
    return float(f"{min(ends) - margin:.6g}"), float(f"{max(ends) + margin:.6g}")


def _width(row: tuple[float | None, float | None, float | None]) -> float:
    _, low, high = row
    return 0.0 if low is None or high is None else high - low


def _usual(rows: Sequence[tuple[float | None, float | None, float | None]]) -> float:
    """Return the lower median of the intervals' widths; infinite where there are none."""
    widths = sorted(width for row in rows if (width := _width(row)) > 0)
    return widths[(len(widths) - 1) // 2] if widths else float("inf")


def counts(low: int, high: int, ticks: int = 6) -> list[int]:
    """Return whole numbers to mark an axis at: evenly spaced, about so many, none twice.

    >>> counts(0, 30), counts(1, 3), counts(1, 8)
    ([0, 5, 10, 15, 20, 25, 30], [1, 2, 3], [1, 2, 4, 6, 8])
    """
    steps = (step * 10**power for power in range(10) for step in (1, 2, 5))
    step = next(step for step in steps if (high - low) <= ticks * step)
    first = [low] if low % step else []
    return first + list(range(low + -low % step, high + 1, step))


def span(table: Table) -> tuple[float, float]:
    """Return the least and the greatest value in a table of curves, bands included."""
    values = [value for value in table["mid"] + table["low"] + table["high"] if value is not None]
    return min(values), max(values)


def whole(table: Table) -> tuple[float, float]:
    """Return the range of a table of curves with some margin."""
    low, high = span(table)
    margin = 0.03 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def padded(low: float, high: float, least: float = 0.0) -> tuple[float, float]:
    """Return a range with some margin; where all values are one, with enough of it to be marked on either side.

    >>> padded(0.0, 100.0), padded(94.0, 94.0)
    ((-4.0, 104.0), (89.3, 98.7))
    """
    margin = max(0.04 * (high - low) or 0.05 * abs(high) or 1.0, least)
    return round(low - margin, 12), round(high + margin, 12)


def legible(table: Table, *, higher: bool) -> tuple[float, float]:
    """Return the range of all points, or of those that stragglers would press into a fifth of it."""
    bottom, top = whole(table)
    sign = 1.0 if higher else -1.0
    rows = sorted(zip(table["mid"], table["low"], table["high"], strict=True), key=lambda row: -sign * row[0])
    low, high = window(rows, higher=higher)
    low, high = max(low, bottom), min(high, top)
    return (low, high) if high - low < 0.2 * (top - bottom) else (bottom, top)


def beyond(table: Table, limits: tuple[float, float]) -> bool:
    """Return whether a mark, or an end of its interval, lies outside a range.

    >>> table = {"mid": [1.0, 2.0], "low": [0.5, None], "high": [1.5, None]}
    >>> beyond(table, (0.0, 3.0)), beyond(table, (0.7, 3.0))
    (False, True)
    """
    values = [value for name in ("mid", "low", "high") for value in table[name] if value is not None]
    return bool(values) and (min(values) < limits[0] or max(values) > limits[1])


def magnitudes(table: Table) -> tuple[float, float]:
    """Return the range of a table of positive curves for a logarithmic axis, without those that end far above."""
    last = {name: [math.log(value) for value in row[1:]] for name, row in ends(table).items()}
    _, limit = window(sorted((mid, low, high) for mid, low, high in last.values()), higher=False)
    rows = zip(table["recipe"], table["mid"], table["low"], table["high"], strict=True)
    kept = [row[1:] for row in rows if last[row[0]][0] <= limit]
    top = 10 * max(mid for mid, _, _ in kept)  # a band may reach much farther than its line
    values = [value for row in kept for value in row if value <= top]
    return 0.9 * min(values), 1.1 * max(values)


def ends(table: Table) -> dict[str, tuple[int, float, float, float]]:
    """Return each recipe's last (epoch, mid, low, high)."""
    rows = zip(table["recipe"], table["epoch"], table["mid"], table["low"], table["high"], strict=True)
    return {recipe: (epoch, mid, low, high) for recipe, epoch, mid, low, high in rows}


def close_up(table: Table, *, higher: bool) -> tuple[float, float] | None:
    """Return the range in which the curves' second half takes place; None where that is most of the whole."""
    sign = 1.0 if higher else -1.0
    last = sorted((row[1:] for row in ends(table).values()), key=lambda row: -sign * row[0])
    if not last:
        return None
    low, high = window(last, higher=higher)
    half = max(table["epoch"]) / 4
    leader = max(ends(table), key=lambda name: sign * ends(table)[name][1])
    rows = zip(table["recipe"], table["epoch"], table["mid"], strict=True)
    climb = [mid for recipe, epoch, mid in rows if recipe == leader and epoch >= half]
    low, high = min([low, *climb]), max([high, *climb])
    bottom, top = whole(table)
    low, high = max(low, bottom), min(high, top)
    return None if high - low > 0.6 * (top - bottom) else (low, high)


def spaced(values: Sequence[float], domain: tuple[float, float], height: float, gap: float) -> list[float]:
    """Move labels apart: values in ``domain``, drawn over ``height`` pixels, at least ``gap`` pixels apart.

    The order is kept, and each group of touching labels stays centred on what it labels.

    >>> spaced([0.5, 0.5, 0.9], (0.0, 1.0), height=100, gap=10)
    [0.45, 0.55, 0.9]
    """
    low, high = domain
    pixels = np.clip((np.asarray(values, float) - low) / (high - low), 0, 1) * height
    order = np.argsort(pixels, kind="stable")
    groups: list[tuple[float, int]] = []  # centre, members
    for target in pixels[order]:
        groups.append((float(target), 1))
        while len(groups) > 1 and _top(groups[-2], gap) + gap > _top(groups[-1], gap) - _extent(groups[-1], gap):
            (lower, m), (upper, n) = groups[-2:]
            groups[-2:] = [_kept(((lower * m + upper * n) / (m + n), m + n), gap, height)]
    placed = [centre + gap * (i - (n - 1) / 2) for centre, n in groups for i in range(n)]
    result = np.empty(len(placed))
    result[order] = placed
    return [round(float(low + y / height * (high - low)), 9) for y in result]


def _extent(group: tuple[float, int], gap: float) -> float:
    return gap * (group[1] - 1)


def _top(group: tuple[float, int], gap: float) -> float:
    return group[0] + _extent(group, gap) / 2


def _kept(group: tuple[float, int], gap: float, height: float) -> tuple[float, int]:
    """Push a group that is drawn over an edge back inside, the upper edge first."""
    half = _extent(group, gap) / 2
    return max(min(group[0], height - half), half), group[1]
