"""How the pages' charts look: legible on light and on dark, without a background of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import altair as alt

__all__ = ["FAINT", "INK", "MAIN", "SECOND", "bars", "chart", "curve", "heat", "write"]

MAIN, SECOND, FAINT, INK = "#2f7ed8", "#d9822b", "#9aa3ad", "#7b8794"
"""The technique, what it stands beside, what is behind both, and text."""

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": INK, "gridColor": INK, "gridOpacity": 0.18, "domain": False,
        "tickColor": INK, "tickOpacity": 0.3, "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 11,
    },
    "legend": {"labelColor": INK, "title": None, "orient": "top", "labelFontSize": 11, "symbolStrokeWidth": 2},
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 11},
    "title": {"color": INK, "fontSize": 11, "fontWeight": "normal", "anchor": "start"},
}  # fmt: skip


def chart(columns: dict[str, Any]) -> alt.Chart:
    """Return a chart of columns of equal length."""
    names = list(columns)
    return alt.Chart(
        alt.Data(values=[dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    )


def curve(
    lines: dict[str, tuple[Any, Any]], x: str, y: str, *, domain: Any = None, behind: bool = False
) -> alt.Chart:
    """Return curves by name: the first in the main colour, on top; the second beside it, or grey behind it."""
    names = list(lines)
    rows = [
        (name, i, float(a), float(b))
        for name in reversed(names)
        for i, (a, b) in enumerate(zip(*lines[name], strict=True))
    ]
    columns = dict(zip(("name", "i", "x", "y"), map(list, zip(*rows, strict=True)), strict=True))
    colours = [MAIN, FAINT if behind else SECOND][: len(names)]
    scale = alt.Scale(zero=False, nice=domain is None)
    if domain is not None:
        scale.domain = list(domain)
    return (
        chart(columns)
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(nice=False, zero=False)),
            y=alt.Y("y:Q", title=y, scale=scale, axis=alt.Axis(tickCount=5)),
            order="i:Q",
            color=alt.Color(
                "name:N",
                scale=alt.Scale(domain=names, range=colours),
                legend=alt.Legend() if len(names) > 1 else None,
            ),
            strokeDash=alt.StrokeDash(
                "name:N",
                scale=alt.Scale(domain=names, range=[[1, 0], [1, 0] if behind else [5, 3]][: len(names)]),
                legend=None,
            ),
        )
        .properties(width=420, height=200)
    )


def bars(counts: Any, edges: Any, x: str, y: str) -> alt.Chart:
    """Return a histogram, as shares of all."""
    shares = (counts / counts.sum()).tolist()
    return (
        chart({"low": edges[:-1].tolist(), "high": edges[1:].tolist(), "share": shares})
        .mark_bar(color=MAIN)
        .encode(
            x=alt.X("low:Q", title=x, axis=alt.Axis(tickCount=5, format="~g")),
            x2="high:Q",
            y=alt.Y("share:Q", title=y, axis=alt.Axis(tickCount=4, format="~%"), scale=alt.Scale(zero=True)),
            y2=alt.datum(0),
        )
    )


def heat(matrix: Any, title: str, *, low: float, high: float, cell: int = 12, diverging: bool = False) -> alt.Chart:
    """Return a matrix as coloured cells, rows downwards; its values are cut to ``low`` and ``high``."""
    rows, columns = len(matrix), len(matrix[0])
    cells = [(c, r, min(max(float(matrix[r][c]), low), high)) for r in range(rows) for c in range(columns)]
    data = dict(zip(("column", "row", "value"), map(list, zip(*cells, strict=True)), strict=True))
    scale = (
        alt.Scale(domain=[low, 0, high], range=[SECOND, "#e9ecef", MAIN], interpolate="rgb")
        if diverging
        else alt.Scale(domain=[low, high], range=["#e9ecef", MAIN])
    )
    return (
        chart(data)
        .mark_rect(stroke=None)
        .encode(
            x=alt.X("column:O", axis=None),
            y=alt.Y("row:O", axis=None),
            color=alt.Color("value:Q", scale=scale, legend=None),
        )
        .properties(width=cell * columns, height=cell * rows, title=title)
    )


def write(made: Any, path: Path) -> None:
    """Write a chart as SVG; Vega numbers clips on from one chart to the next, and here each begins at 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.configure(**CONFIG).save(str(path))
    text, numbers = path.read_text(), dict[str, str]()
    path.write_text(re.sub(r"(?<=clip)\d+(?=[)\"])", lambda n: numbers.setdefault(n[0], str(len(numbers) + 1)), text))
