"""Tables as text, and what pictures of several models have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import altair as alt

__all__ = ["aligned", "colour", "middle", "number"]

COLOURS = ["#8a8f98", "#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280"]
"""Of models in their order."""


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table as text: the first ``left`` columns to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float) -> str:
    """Return a number as tables show it."""
    return f"{value:.3g}"


def middle(values: np.ndarray) -> float:
    """Return the median of what is finite; NaN where nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def colour(names: Sequence[str]) -> alt.Color:
    """Return how models are coloured, by the field ``model``."""
    import altair as alt

    wanted: list[Any] = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    scale = alt.Scale(domain=list(names), range=wanted)
    return alt.Color("model:N", title=None, sort=list(names), scale=scale)
