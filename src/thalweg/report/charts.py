"""The charts: Vega-Lite specifications without data, whose sources the page fills from one block of JSON.

Colours are CSS variables, so that light, dark and print are the style sheet's business. Every chart knows the
variable ``isolated``: the recipes to stand out; empty means all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from thalweg.report import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thalweg.report.numbers import Scale
    from thalweg.report.reading import Study
    from thalweg.report.tables import Table

__all__ = ["COLOURS", "CONFIG", "DASHES", "charts"]

COLOURS = 7
"""How many colours the style sheet has for recipes; after those, the same again in the next dash."""

DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3])

HEIGHT = 320
LABEL_ROOM = 128
FAMOUS_RATE = 3e-4

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
    "axisX": {"grid": False, "labelFlush": False},
    "text": {"font": _FONT, "fontSize": 12, "fill": "var(--ink)"},
    "customFormatTypes": False,
}  # fmt: skip
"""What all charts share; handed to Vega-Lite once."""

_SHOWN = "length(isolated) == 0 || indexof(isolated, datum.recipe) >= 0"


def charts(study: Study, scale: Scale, data: dict[str, Table]) -> dict[str, dict[str, Any]]:
    """Return each chart's specification by the name of its place in the page.

    ``data`` gains the sources that only lay charts out (labels at the ends of curves).
    """
    made: dict[str, alt.LayerChart] = {}
    if "ranks" in data:
        made["ranks"] = _ranks(study, scale, data["ranks"])
    if "valid" in data:
        made["valid"] = _courses("valid", study, scale.axis, data, higher=study.higher_is_better)
    if "loss" in data:
        made["loss"] = _courses("loss", study, "training loss", data, higher=False)
    if "rates" in data:
        made["rates"] = _rates(study, scale, data["rates"])
    if "trials" in data:
        made["trials"] = _trials(study, scale, data["trials"])
    return {name: chart.properties(width="container").to_dict() for name, chart in made.items()}


def _source(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name=name))


def _isolated() -> alt.Parameter:
    return alt.param(name="isolated", value=[])


def _emphasis(rest: float, faint: float) -> dict[str, Any]:
    """Opacity: ``rest`` when nothing is isolated, more for what is, ``faint`` for all else."""
    return {
        "condition": [
            {"test": "length(isolated) == 0", "value": rest},
            {"test": "indexof(isolated, datum.recipe) >= 0", "value": min(1.0, 2 * rest)},
        ],
        "value": faint,
    }


def _colour(names: Sequence[str]) -> dict[str, Any]:
    """A recipe's colour and dash, the same in every chart."""
    colours = [f"var(--r{i % COLOURS})" for i in range(len(names))]
    dashes = [DASHES[i // COLOURS % len(DASHES)] for i in range(len(names))]
    return {
        "color": alt.Color("recipe:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        "strokeDash": alt.StrokeDash("recipe:N", scale=alt.Scale(domain=names, range=dashes), legend=None),
    }


def _number(scale: Scale) -> str:
    return f".{scale.decimals}f"


# -- who is ahead --------------------------------------------------------------------------------------


def _ranks(study: Study, scale: Scale, table: Table) -> alt.LayerChart:
    """Mean, interval over seeds (thick) and over seeds and test examples (thin), best on top."""
    ends = [v for name in ("mean", "beyond", "low", "high") for v in table[name] if v is not None]
    pad = 0.04 * (max(ends) - min(ends)) or 1e-6
    x = alt.X(
        "mean:Q",
        title=f"test {scale.axis}",
        scale=alt.Scale(
            domain=[min(ends) - pad, max(ends) + pad],
            nice=False,
            zero=False,
            range=[0, alt.ExprRef("width - 64")],
        ),
        axis=alt.Axis(tickCount=6, grid=True),
    )
    y = alt.Y(
        "recipe:N",
        sort=table["recipe"],
        title=None,
        axis=alt.Axis(labelColor="var(--ink)", labelLimit=190, labelFontSize=13, grid=False),
    )
    group = alt.Color(
        "group:N",
        scale=alt.Scale(domain=["first", "behind"], range=["var(--accent)", "var(--behind)"]),
        legend=None,
    )
    opacity = _emphasis(1.0, 0.2)
    told = [alt.Tooltip("recipe:N"), alt.Tooltip("told:N", title=f"test {scale.name}")]
    base = _source("ranks").encode(y=y, color=group, opacity=opacity, tooltip=told)
    thin = base.mark_rule(strokeWidth=1.5).encode(x=x.copy(), x2="high:Q")
    thin.encoding.x.shorthand = "low:Q"
    thick = base.mark_bar(height=6, cornerRadius=3).encode(x=x.copy(), x2="seeds_high:Q")
    thick.encoding.x.shorthand = "seeds_low:Q"
    thick = thick.transform_filter("isValid(datum.seeds_low)").encode(
        opacity={"condition": {"test": _SHOWN, "value": 0.45}, "value": 0.1}
    )
    mean = (
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x).transform_filter("isValid(datum.mean)")
    )
    defaults = (
        base.mark_point(filled=False, size=34, strokeWidth=1.3, shape="diamond")
        .encode(x=alt.X("defaults:Q"))
        .transform_filter("isValid(datum.defaults)")
    )
    far = "triangle-left" if study.higher_is_better else "triangle-right"
    beyond = (
        base.mark_point(filled=True, size=60, shape=far)
        .encode(x=alt.X("beyond:Q"))
        .transform_filter("isValid(datum.beyond)")
    )
    text = base.mark_text(align="right", fontSize=13).encode(
        x=alt.XValue(alt.ExprRef("width")), text="text:N", color=alt.value("var(--ink)")
    )
    layers = alt.layer(thin, thick, defaults, mean, beyond, text)
    return layers.properties(height=alt.Step(24)).add_params(_isolated())


# -- courses -------------------------------------------------------------------------------------------


def _courses(
    source: str, study: Study, title: str, data: dict[str, Table], *, higher: bool
) -> alt.LayerChart:
    """One line a recipe, its band, and its name at its end."""
    table, names = data[source], study.names
    log = source == "loss" and min(v for v in table["low"] if v is not None) > 0
    whole = layout.whole(table) if not log else _log_range(table)
    close = None if log else layout.close_up(table, higher=higher)
    data[f"{source}_ends"] = _ends(table, close or whole, whole, log=log)
    params = [_isolated(), alt.param(name="room", expr=f"width < 420 ? 8 : {LABEL_ROOM}")]
    limits: dict[str, Any] = {"domain": list(whole)}
    if close is not None:
        params.append(alt.param(name="close", value=True))
        limits = {
            "domainMin": alt.ExprRef(f"close ? {close[0]} : {whole[0]}"),
            "domainMax": alt.ExprRef(f"close ? {close[1]} : {whole[1]}"),
        }
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=[0, max(table["epoch"])], nice=False, range=[0, alt.ExprRef("width - room")]),
        axis=alt.Axis(tickMinStep=1, tickCount=6, format="d"),
    )
    kind = {"type": "log"} if log else {"zero": False}
    y = alt.Y(
        "mid:Q",
        title=None,
        scale=alt.Scale(nice=False, **kind, **limits),
        axis=alt.Axis(format="~g") if log else alt.Axis(),
    )
    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("mid:Q", title=title, format=".4g"),
        alt.Tooltip("low:Q", title="band from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
    ]
    base = _source(source).encode(x=x, **_colour(names))
    band = base.mark_area(clip=True, strokeWidth=0).encode(
        y=alt.Y("low:Q"), y2="high:Q", opacity=_emphasis(0.1, 0.0)
    )
    line = base.mark_line(clip=True, strokeWidth=1.8).encode(y=y, opacity=_emphasis(1.0, 0.1))
    point = base.mark_point(clip=True, filled=True, size=90).encode(
        y=alt.Y("mid:Q"), opacity=alt.value(0), tooltip=tooltip
    )
    where = "close ? datum.close : datum.whole" if close is not None else "datum.whole"
    label = (
        _source(f"{source}_ends")
        .transform_calculate(at=where)
        .mark_text(align="left", dx=7, fontSize=11.5, limit=LABEL_ROOM - 10)
        .encode(
            x=alt.X("epoch:Q"),
            y=alt.Y("at:Q"),
            text="recipe:N",
            color=_colour(names)["color"],
            opacity={"condition": {"test": f"room > 8 && ({_SHOWN})", "value": 1}, "value": 0},
        )
    )
    layers = [band, line, point] + ([label] if len(layout.ends(table)) <= HEIGHT // 13 else [])
    return alt.layer(*layers).properties(height=HEIGHT).add_params(*params)


def _log_range(table: Table) -> tuple[float, float]:
    values = [v for v in table["mid"] + table["low"] + table["high"] if v is not None]
    return 0.9 * min(values), 1.1 * max(values)


def _ends(table: Table, close: tuple[float, float], whole: tuple[float, float], *, log: bool) -> Table:
    """Where the names stand beside the curves' ends, in the close-up and in the whole."""
    last = layout.ends(table)
    values = [mid for _, mid, _, _ in last.values()]
    if log:
        limits = (math.log(whole[0]), math.log(whole[1]))
        places = layout.spaced([math.log(value) for value in values], limits, HEIGHT, 13)
        at_whole = at_close = [float(f"{math.exp(place):.6g}") for place in places]
    else:
        at_close = layout.spaced(values, close, HEIGHT, 13)
        at_whole = layout.spaced(values, whole, HEIGHT, 13)
    epochs = [row[0] for row in last.values()]
    return {"recipe": list(last), "epoch": epochs, "close": at_close, "whole": at_whole}


# -- learning rates and trials -------------------------------------------------------------------------


def _rates(study: Study, scale: Scale, table: Table) -> alt.LayerChart:
    """Median and range over seeds by learning rate; crosses where runs diverged; 3e-4 by a rule."""
    low, high = min([*table["rate"], FAMOUS_RATE]), max([*table["rate"], FAMOUS_RATE])
    powers = range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)
    x = alt.X(
        "rate:Q",
        title="learning rate",
        scale=alt.Scale(type="log", domain=[low / 1.5, high * 1.5], nice=False),
        axis=alt.Axis(values=[float(f"1e{power}") for power in powers], format=".0e", labelOverlap=True),
    )
    y = alt.Y("mid:Q", title=None, scale=alt.Scale(zero=False, domain=list(layout.whole(table))))
    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("rate:Q", title="learning rate", format=".2~g"),
        alt.Tooltip("mid:Q", title=f"validation {scale.name}", format=_number(scale)),
        alt.Tooltip("low:Q", title="seeds from", format=_number(scale)),
        alt.Tooltip("high:Q", title="to", format=_number(scale)),
        alt.Tooltip("diverged:Q", title="diverged"),
        alt.Tooltip("seeds:Q", title="of seeds"),
    ]
    base = _source("rates").encode(x=x, **_colour(study.names))
    line = base.mark_line(strokeWidth=1.6).encode(y=y, opacity=_emphasis(1.0, 0.1))
    spread = base.mark_rule(strokeWidth=1.2).encode(
        y=alt.Y("low:Q"), y2="high:Q", opacity=_emphasis(0.5, 0.05), strokeDash=alt.value([1, 0])
    )
    point = (
        base.mark_point(filled=True, size=36)
        .encode(y=alt.Y("mid:Q"), opacity=_emphasis(1.0, 0.1), strokeDash=alt.value([1, 0]), tooltip=tooltip)
        .transform_filter("datum.diverged == 0")
    )
    cross = (
        base.mark_point(filled=False, shape="M-1,-1L1,1M1,-1L-1,1", size=60, strokeWidth=2)
        .encode(y=alt.Y("mid:Q"), opacity=_emphasis(1.0, 0.1), strokeDash=alt.value([1, 0]), tooltip=tooltip)
        .transform_filter("datum.diverged > 0")
    )
    famous = alt.layer(
        _source("rates").mark_rule(color="var(--soft)", strokeDash=[2, 3]).encode(x=alt.XDatum(FAMOUS_RATE)),
        _source("rates")
        .mark_text(align="left", dx=4, dy=6, baseline="top", color="var(--soft)")
        .encode(x=alt.XDatum(FAMOUS_RATE), y=alt.YValue(0), text=alt.value("3e-4")),
    )
    return alt.layer(famous, spread, line, point, cross).properties(height=HEIGHT).add_params(_isolated())


def _trials(study: Study, scale: Scale, table: Table) -> alt.LayerChart:
    """The best of n trials, with the band that holds it."""
    x = alt.X(
        "trials:Q",
        title="trials",
        scale=alt.Scale(domain=[1, max(2, *table["trials"])], nice=False),
        axis=alt.Axis(tickMinStep=1, format="d"),
    )
    low, high = layout.close_up(_as_curves(table), higher=study.higher_is_better) or layout.whole(
        _as_curves(table)
    )
    scaling = alt.Scale(zero=False, nice=False, domain=[low, high])
    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("trials:Q"),
        alt.Tooltip("best:Q", title=f"best validation {scale.name}", format=_number(scale)),
        alt.Tooltip("low:Q", title="band from", format=_number(scale)),
        alt.Tooltip("high:Q", title="to", format=_number(scale)),
    ]
    base = _source("trials").encode(x=x, **_colour(study.names))
    band = base.mark_area(clip=True, strokeWidth=0).encode(
        y=alt.Y("low:Q", title=None, scale=scaling), y2="high:Q", opacity=_emphasis(0.06, 0.0)
    )
    line = base.mark_line(clip=True, strokeWidth=1.8).encode(y=alt.Y("best:Q"), opacity=_emphasis(1.0, 0.1))
    point = base.mark_point(clip=True, filled=True, size=90).encode(
        y=alt.Y("best:Q"), opacity=alt.value(0), tooltip=tooltip
    )
    return alt.layer(band, line, point).properties(height=HEIGHT).add_params(_isolated())


def _as_curves(table: Table) -> Table:
    return {**table, "epoch": table["trials"], "mid": table["best"]}
