"""The charts: Vega-Lite specifications without data, whose sources the page fills from one block of JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from thalweg.report import layout, look
from thalweg.report.ablation import pictures

if TYPE_CHECKING:
    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale
    from thalweg.report.tables import Table

__all__ = ["charts", "ranks"]

HEIGHT = 320
LABEL_ROOM = 128
FAMOUS_RATE = 3e-4


def charts(study: Study, scale: Scale, data: dict[str, Table]) -> dict[str, dict[str, Any]]:
    """Return each chart's specification by the name of its place in the page.

    ``data`` gains the sources that only lay charts out (labels at the ends of curves).
    """
    made: dict[str, dict[str, Any]] = {}
    if "ranks" in data:
        made["ranks"] = ranks(study, scale, data)
    if "valid" in data:
        made["valid"] = _courses("valid", study, scale.axis, data, higher=study.higher_is_better)
    if "loss" in data:
        made["loss"] = _courses("loss", study, "training loss", data, higher=False)
    if "rates" in data:
        data["famous"] = {"rate": [FAMOUS_RATE], "label": ["3e-4"]}
        made["rates"] = _rates(study, scale, data["rates"])
    if "trials" in data:
        made["trials"] = _trials(study, scale, data["trials"])
    return made | pictures(study, scale, data)


def _number(scale: Scale) -> str:
    return f".{scale.decimals}f"


# -- who is ahead --------------------------------------------------------------------------------------


def ranks(study: Study, scale: Scale, data: dict[str, Table], source: str = "ranks") -> dict[str, Any]:
    """Mean, interval over seeds (thick) and over seeds and test examples (thin), best on top; the line to beat.

    A line so far from all recipes that it would press them together is left out, of the data too.
    """
    table = data[source]
    ends = [v for name in ("mean", "beyond", "low", "high") for v in table[name] if v is not None]
    if "line" in data:
        (at,) = data["line"]["at"]
        if abs(at - (max(ends) + min(ends)) / 2) < 1.5 * (max(ends) - min(ends)):
            ends.append(at)
        else:
            del data["line"]
    pad = 0.04 * (max(ends) - min(ends)) or 1e-6
    domain = [min(ends) - pad, max(ends) + pad]
    across = alt.Scale(domain=domain, nice=False, zero=False, range=[0, alt.ExprRef("width - 64")])

    def x(field: str) -> alt.X:
        return alt.X(field, title=f"test {scale.axis}", scale=across, axis=alt.Axis(tickCount=6, grid=True))

    names = alt.Axis(labelColor="var(--ink)", labelLimit=190, labelFontSize=13, grid=False)
    colours = alt.Scale(domain=["first", "behind"], range=["var(--accent)", "var(--behind)"])
    base = look.source(source).encode(
        y=alt.Y("recipe:N", sort=table["recipe"], title=None, axis=names),
        color=alt.Color("group:N", scale=colours, legend=None),
        opacity=look.emphasis(1.0, 0.2),
        tooltip=[alt.Tooltip("recipe:N"), alt.Tooltip("told:N", title=f"test {scale.name}")],
    )

    def mark(field: str, chart: alt.Chart, **more: Any) -> alt.Chart:
        return chart.transform_filter(f"isValid(datum.{field})").encode(x=x(f"{field}:Q"), **more)

    far = "triangle-left" if study.higher_is_better else "triangle-right"
    layers = [
        mark("low", base.mark_rule(strokeWidth=1.5), x2="high:Q"),
        mark("seeds_low", base.mark_rule(strokeWidth=6), x2="seeds_high:Q", opacity=look.emphasis(0.45, 0.1)),
        mark("defaults", base.mark_point(filled=False, size=34, strokeWidth=1.3, shape="diamond")),
        mark("mean", base.mark_point(filled=True, size=70)),
        mark("beyond", base.mark_point(filled=True, size=60, shape=far)),
        base.mark_text(align="right", fontSize=13).encode(
            x=alt.value(alt.ExprRef("width")), text="text:N", color=alt.value("var(--ink)")
        ),
    ]
    if "line" in data:
        rule = look.source("line").encode(x=x("at:Q"))
        name = rule.mark_text(align="center", dy=-4, baseline="bottom", color="var(--soft)")
        layers = [
            rule.mark_rule(color="var(--bad)", strokeDash=[5, 3]),
            name.encode(y=alt.value(0), text="label:N"),
            *layers,
        ]
    return look.layered(layers, height=24 * len(table["recipe"]))


# -- courses -------------------------------------------------------------------------------------------


def _courses(source: str, study: Study, title: str, data: dict[str, Table], *, higher: bool) -> dict[str, Any]:
    """One line a recipe, its band, and its name at its end."""
    table, names = data[source], study.names
    bottom, top = layout.span(table)
    log = source == "loss" and bottom > 0 and top > 10 * bottom
    whole = (0.9 * bottom, 1.1 * top) if log else layout.whole(table)
    close = None if log else layout.close_up(table, higher=higher)
    data[f"{source}_ends"] = _ends(table, close or whole, whole, log=log)
    params = [alt.param(name="room", expr=f"width < 360 ? 8 : {LABEL_ROOM}")]
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
        axis=alt.Axis(values=layout.counts(0, max(table["epoch"])), format="d"),
    )
    kind = {"type": "log"} if log else {"zero": False}
    up = alt.Scale(nice=False, **kind, **limits)

    def y(field: str) -> alt.Y:
        return alt.Y(field, title=None, scale=up, axis=_log_axis(whole) if log else alt.Axis())

    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("mid:Q", title=title, format=".4g"),
        alt.Tooltip("low:Q", title="band from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
    ]
    base = look.source(source).encode(x=x, **look.colour(names))
    veil = look.veil(len(study.recipes))
    band = look.area(base).mark_area(clip=True, strokeWidth=0).encode(y=y("low:Q"), y2="high:Q", opacity=veil)
    line = base.mark_line(clip=True, strokeWidth=1.8).encode(y=y("mid:Q"), opacity=look.emphasis(1.0, 0.1))
    point = base.mark_point(clip=True, filled=True, size=90).encode(
        y=y("mid:Q"), opacity=alt.value(0), tooltip=tooltip
    )
    where = "close ? datum.close : datum.whole" if close is not None else "datum.whole"
    label = (
        look.source(f"{source}_ends")
        .transform_calculate(at=where)
        .mark_text(align="left", dx=7, fontSize=11.5, limit=LABEL_ROOM - 10)
        .encode(
            x=x,
            y=y("at:Q"),
            # An empty text, not a transparent one: even what cannot be seen takes room from the plot.
            text=alt.condition("room > 8", alt.Text("recipe:N"), alt.value("")),
            color=look.colour(names, "t")["color"],
            opacity=look.emphasis(1.0, 0.0),
        )
    )
    layers = [band, line, point] + ([label] if len(layout.ends(table)) <= HEIGHT // 13 else [])
    return look.layered(layers, *params, height=HEIGHT)


def _log_axis(limits: tuple[float, float]) -> alt.Axis:
    """Ticks at 1, 2 and 5, or at powers of ten alone where those are enough."""
    powers = range(math.floor(math.log10(limits[0])), math.ceil(math.log10(limits[1])) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return alt.Axis(format="~g", values=[tick for tick in ticks if limits[0] <= tick <= limits[1]])


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


def _rates(study: Study, scale: Scale, table: Table) -> dict[str, Any]:
    """Median and range over seeds by learning rate; crosses where runs diverged; 3e-4 by a rule."""
    low, high = min([*table["rate"], FAMOUS_RATE]), max([*table["rate"], FAMOUS_RATE])
    powers = range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)
    x = alt.X(
        "rate:Q",
        title="learning rate",
        scale=alt.Scale(type="log", domain=[low / 1.5, high * 1.5], nice=False),
        axis=alt.Axis(values=[float(f"1e{power}") for power in powers], format=".0e", labelOverlap=True),
    )
    up = alt.Scale(zero=False, nice=False, domain=list(layout.whole(table)))

    def y(field: str) -> alt.Y:
        return alt.Y(field, title=None, scale=up)

    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("rate:Q", title="learning rate", format=".2~g"),
        alt.Tooltip("mid:Q", title=f"validation {scale.name}", format=_number(scale)),
        alt.Tooltip("low:Q", title="seeds from", format=_number(scale)),
        alt.Tooltip("high:Q", title="to", format=_number(scale)),
        alt.Tooltip("diverged:Q", title="diverged"),
        alt.Tooltip("seeds:Q", title="of seeds"),
    ]
    base = look.source("rates").encode(x=x, **look.colour(study.names))
    line = base.mark_line(strokeWidth=1.6).encode(y=y("mid:Q"), opacity=look.emphasis(1.0, 0.1))
    spread = base.mark_rule(strokeWidth=1.2).encode(
        y=y("low:Q"), y2="high:Q", opacity=look.emphasis(0.5, 0.05), strokeDash=alt.value([1, 0])
    )
    point = (
        base.mark_point(filled=True, size=36)
        .encode(y=y("mid:Q"), opacity=look.emphasis(1.0, 0.1), strokeDash=alt.value([1, 0]), tooltip=tooltip)
        .transform_filter("datum.diverged == 0")
    )
    cross = (
        base.mark_point(filled=False, shape="M-1,-1L1,1M1,-1L-1,1", size=60, strokeWidth=2)
        .encode(y=y("mid:Q"), opacity=look.emphasis(1.0, 0.1), strokeDash=alt.value([1, 0]), tooltip=tooltip)
        .transform_filter("datum.diverged > 0")
    )
    famous = look.source("famous").encode(x=x)
    rule = famous.mark_rule(color="var(--soft)", strokeDash=[2, 3])
    name = famous.mark_text(align="left", dx=4, dy=2, baseline="top", color="var(--soft)").encode(
        y=alt.value(0), text="label:N"
    )
    return look.layered([rule, name, spread, line, point, cross], height=HEIGHT)


def _trials(study: Study, scale: Scale, table: Table) -> dict[str, Any]:
    """The best of n trials, with the band that holds it."""
    x = alt.X(
        "trials:Q",
        title="trials",
        scale=alt.Scale(domain=[1, max(2, *table["trials"])], nice=False),
        axis=alt.Axis(values=layout.counts(1, max(2, *table["trials"])), format="d"),
    )
    low, high = layout.close_up(_as_curves(table), higher=study.higher_is_better) or layout.whole(_as_curves(table))
    up = alt.Scale(zero=False, nice=False, domain=[low, high])

    def y(field: str) -> alt.Y:
        return alt.Y(field, title=None, scale=up)

    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("trials:Q"),
        alt.Tooltip("best:Q", title=f"best validation {scale.name}", format=_number(scale)),
        alt.Tooltip("low:Q", title="band from", format=_number(scale)),
        alt.Tooltip("high:Q", title="to", format=_number(scale)),
    ]
    base = look.source("trials").encode(x=x, **look.colour(study.names))
    veil = look.veil(len(study.recipes))
    band = look.area(base).mark_area(clip=True, strokeWidth=0).encode(y=y("low:Q"), y2="high:Q", opacity=veil)
    line = base.mark_line(clip=True, strokeWidth=1.8).encode(y=y("best:Q"), opacity=look.emphasis(1.0, 0.1))
    point = base.mark_point(clip=True, filled=True, size=90).encode(
        y=y("best:Q"), opacity=alt.value(0), tooltip=tooltip
    )
    return look.layered([band, line, point], height=HEIGHT)


def _as_curves(table: Table) -> Table:
    return {**table, "epoch": table["trials"], "mid": table["best"]}
