"""Names at the ends of lines: short enough for their room, and apart from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from thalweg.report import layout, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thalweg.report.tables import Table

__all__ = ["GAP", "layer", "room", "shortened", "table"]

GAP = 13
"""Pixels from one name to the next."""

LONGEST = 26
LETTER = 6.2
"""Pixels that a letter takes, about."""


def shortened(names: Sequence[str], longest: int = LONGEST) -> list[str]:
    """Return names that tell as much apart as the whole ones do, in so many letters where that is possible.

    Parts that all share are left out; what is still too long loses its middle.

    >>> shortened(["adam + cosine + flip", "adam + constant + flip"])
    ['cosine', 'constant']
    >>> shortened(["a long name of an optimizer + dropout none"])
    ['a long name o…dropout none']
    """
    parts = [name.split(" + ") for name in names]
    if len(names) > 1 and len({len(one) for one in parts}) == 1:
        own = [i for i in range(len(parts[0])) if len({one[i] for one in parts}) > 1]
        parts = [[one[i] for i in own] for one in parts] if own else parts
    whole = [" + ".join(one) for one in parts]
    for kept in (longest // 2, longest // 4, 3 * longest // 4):  # letters from the beginning
        cut = [_cut(name, kept, longest) for name in whole]
        if len(set(cut)) == len(set(whole)):
            return cut
    return whole


def _cut(name: str, kept: int, longest: int) -> str:
    return name if len(name) <= longest else f"{name[:kept].rstrip()}…{name[kept + 1 - longest :].lstrip()}"


def room(labels: Sequence[str]) -> int:
    """Return the pixels that names need beside a chart."""
    return round(20 + LETTER * min(LONGEST, max(map(len, labels), default=0)))


def table(ends: Table, limits: dict[str, tuple[float, float]], height: int, names: Sequence[str]) -> Table:
    """Return where names stand: beside the ends of their lines, moved apart.

    Args:
        ends: ``recipe``, ``x`` and ``y`` of each line's end.
        limits: of the upright axis, by the column's name.
        height: of the plot, in pixels.
        names: of all recipes.
    """
    short = dict(zip(names, shortened(names), strict=True))
    columns = {column: layout.spaced(ends["y"], place, height, GAP) for column, place in limits.items()}
    return {"recipe": ends["recipe"], "x": ends["x"], "label": [short[name] for name in ends["recipe"]], **columns}


def layer(source: str, x: alt.X, y: alt.Y, where: str, names: Sequence[str]) -> alt.Chart:
    """Return names as a layer; they vanish where a chart has no room for them.

    Args:
        source: what `table` returned, as the page calls it.
        x, y: the chart's.
        where: the upright place, as an expression.
        names: of all recipes.
    """
    made: alt.Chart = (
        look.source(source)
        .transform_calculate(at=where)
        .mark_text(align="left", dx=7, fontSize=11.5, limit=LETTER * (LONGEST + 4))
        .encode(
            x=x,
            y=y,
            # An empty text, not a transparent one: even what cannot be seen takes room from the plot.
            text=alt.condition("room > 8", alt.Text("label:N"), alt.value("")),
            color=look.colour(names, "t")["color"],
            opacity=look.emphasis(1.0, 0.0),
        )
    )
    return made
