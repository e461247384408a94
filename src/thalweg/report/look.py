"""The charts' look: colours and dashes of recipes, what stands out when some are isolated, the common theme.

Colours are CSS variables, so that light, dark and print are the style sheet's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COLOURS", "CONFIG", "DASHES", "area", "colour", "emphasis", "layered", "source", "veil"]

COLOURS = 7
"""How many colours the style sheet has for recipes; after those, the same again in the next dash."""

DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3])

_FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "aria": False,  # the figure around the chart speaks for it
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8,
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFont": _FONT, "titleFont": _FONT,
        "gridColor": "var(--rule)", "domain": False, "tickColor": "var(--rule)", "tickSize": 4,
    },
    "axisY": {"ticks": False, "labelPadding": 6, "tickCount": 6},
    "axisX": {"grid": False, "labelFlush": False, "labelOverlap": "greedy", "labelSeparation": 8},
    "text": {"font": _FONT, "fontSize": 12, "fill": "var(--ink)"},
    "customFormatTypes": False,
}  # fmt: skip
"""What all charts share; handed to Vega-Lite once."""


def source(name: str) -> alt.Chart:
    """A chart of one of the page's data sources."""
    return alt.Chart(alt.NamedData(name=name))


def layered(layers: Sequence[alt.Chart], *params: alt.Parameter, height: int) -> dict[str, Any]:
    """Lay marks over each other, as wide as the page lets them be.

    Every chart knows the variable ``isolated``, which the page sets: the recipes to stand out; empty means all.
    """
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    chart = alt.layer(*layers).properties(width="container", height=height, autosize=fit)
    chart = chart.resolve_scale(color="independent")  # names are darker than lines of their colour
    made: dict[str, Any] = chart.add_params(alt.param(name="isolated", value=[]), *params).to_dict(validate=False)
    return made


def emphasis(rest: float, faint: float, chosen: float | None = None) -> alt.OpacityValue:
    """Opacity: ``rest`` when nothing is isolated, ``chosen`` for what is, ``faint`` for all else."""
    isolated = [
        {"test": "length(isolated) == 0", "value": rest},
        {"test": "indexof(isolated, datum.recipe) >= 0", "value": rest if chosen is None else chosen},
    ]
    return alt.OpacityValue(faint, condition=isolated)


def veil(recipes: int) -> alt.OpacityValue:
    """Opacity of bands: the more lie on each other, the fainter; plain to see when isolated."""
    return emphasis(min(0.2, 0.7 / recipes), 0.0, 0.22)


def colour(names: Sequence[str], face: str = "r") -> dict[str, Any]:
    """A recipe's colour and dash, the same in every chart; face "t" is dark enough for text."""
    colours = [f"var(--{face}{i % COLOURS})" for i in range(len(names))]
    dashes = [DASHES[i // COLOURS % len(DASHES)] for i in range(len(names))]
    return {
        "color": alt.Color("recipe:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        "strokeDash": alt.StrokeDash("recipe:N", scale=alt.Scale(domain=names, range=dashes), legend=None),
    }


def area(chart: alt.Chart) -> alt.Chart:
    """The same chart for areas, which have no dash."""
    chart = chart.copy()
    chart.encoding.strokeDash = alt.Undefined
    return chart
