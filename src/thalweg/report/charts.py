"""The charts: Vega-Lite specifications without data, whose sources the page fills from one block of JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from thalweg.report import labels, layout, look
from thalweg.report.ablation import pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale
    from thalweg.report.tables import Table

__all__ = ["charts", "ranks"]

HEIGHT = 320
USUAL_RATE = 3e-4

_RANGE: list[Any] = [0, alt.ExprRef("width - room")]
"""Across, beside the names."""


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
        data["usual"] = {"rate": [USUAL_RATE], "label": ["3e-4"]}
        made["rates"] = _rates(study, scale, data)
    if "trials" in data:
        made["trials"] = _trials(study, scale, data)
    return made | pictures(scale, data)


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
    domain = list(layout.padded(min(ends), max(ends)))
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
        mark("low_on", base.mark_point(filled=True, size=34, shape="triangle-left")),
        mark("high_on", base.mark_point(filled=True, size=34, shape="triangle-right")),
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
    whole = layout.magnitudes(table) if log else layout.whole(table)
    close = None if log else layout.close_up(table, higher=higher)
    data[f"{source}_ends"] = _ends(table, close or whole, whole, names, log=log)
    params = [_room(names)]
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
        scale=alt.Scale(domain=[0, max(table["epoch"])], nice=False, range=_RANGE),
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
    label = labels.layer(f"{source}_ends", _at(x), y("at:Q"), where, names)
    layers = [band, line, point] + ([label] if _fit(table) else [])
    return look.layered(layers, *params, height=HEIGHT)


def _room(names: Sequence[str]) -> alt.Parameter:
    """How many pixels on the right are the names'; none in a narrow chart."""
    needed = labels.room(labels.shortened(names))
    return alt.param(name="room", expr=f"width < {needed + 230} ? 8 : {needed}")


def _fit(table: Table) -> bool:
    """Whether the names of all recipes in a table have room above each other."""
    return len(set(table["recipe"])) <= HEIGHT // labels.GAP


def _at(x: alt.X) -> alt.X:
    """The same axis for names, whose place is called x."""
    found = x.copy()
    found.shorthand = "x:Q"
    return found


def _log_axis(limits: tuple[float, float]) -> alt.Axis:
    """Ticks at 1, 2 and 5, or at powers of ten alone where those are enough."""
    powers = range(math.floor(math.log10(limits[0])), math.ceil(math.log10(limits[1])) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return alt.Axis(format="~g", values=[tick for tick in ticks if limits[0] <= tick <= limits[1]])


def _ends(
    table: Table, close: tuple[float, float], whole: tuple[float, float], names: Sequence[str], *, log: bool
) -> Table:
    """Where the names stand beside the curves' ends, in the close-up and in the whole."""
    last = layout.ends(table)
    ends: Table = {
        "recipe": list(last),
        "x": [row[0] for row in last.values()],
        "y": [row[1] for row in last.values()],
    }
    if not log:
        return labels.table(ends, {"close": close, "whole": whole}, HEIGHT, names)
    limits = (math.log(whole[0]), math.log(whole[1]))
    found = labels.table({**ends, "y": [math.log(value) for value in ends["y"]]}, {"whole": limits}, HEIGHT, names)
    found["whole"] = [float(f"{math.exp(place):.6g}") for place in found["whole"]]
    return {**found, "close": found["whole"]}


# -- learning rates and trials -------------------------------------------------------------------------


def _rates(study: Study, scale: Scale, data: dict[str, Table]) -> dict[str, Any]:
    """Median and range over seeds by learning rate; crosses where runs diverged; 3e-4 by a rule; names beside it.

    What lies beyond the picture has its mark at the edge.
    """
    table = data["rates"]
    low, high = min([*table["rate"], USUAL_RATE]), max([*table["rate"], USUAL_RATE])
    powers = range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)
    x = alt.X(
        "rate:Q",
        title="learning rate",
        scale=alt.Scale(type="log", domain=[low / 1.5, high * 1.5], nice=False, range=_RANGE),
        axis=alt.Axis(values=[float(f"1e{power}") for power in powers], format=".0e", labelOverlap=True),
    )
    limits = layout.legible(table, higher=study.higher_is_better)
    up = alt.Scale(zero=False, nice=False, domain=list(limits))
    ends = dict(zip(table["recipe"], table["mid"], strict=True))
    data["rates_ends"] = labels.table(
        {"recipe": list(ends), "x": [high * 1.5] * len(ends), "y": list(ends.values())}, {"whole": limits}, HEIGHT,
        study.names,
    )  # fmt: skip

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
    marked = base.transform_calculate(at=f"clamp(datum.mid, {limits[0]!r}, {limits[1]!r})")
    line = base.mark_line(clip=True, strokeWidth=1.6).encode(y=y("mid:Q"), opacity=look.emphasis(1.0, 0.1))
    spread = base.mark_rule(clip=True, strokeWidth=1.2).encode(
        y=y("low:Q"), y2="high:Q", opacity=look.emphasis(0.5, 0.05), strokeDash=alt.value([1, 0])
    )
    point = (
        marked.mark_point(filled=True, size=36)
        .encode(y=y("at:Q"), opacity=look.emphasis(1.0, 0.1), strokeDash=alt.value([1, 0]), tooltip=tooltip)
        .transform_filter("datum.diverged == 0")
    )
    cross = (
        marked.mark_point(filled=False, shape="M-1,-1L1,1M1,-1L-1,1", size=60, strokeWidth=2)
        .encode(y=y("at:Q"), opacity=look.emphasis(1.0, 0.1), strokeDash=alt.value([1, 0]), tooltip=tooltip)
        .transform_filter("datum.diverged > 0")
    )
    usual = look.source("usual").encode(x=x)
    rule = usual.mark_rule(color="var(--soft)", strokeDash=[2, 3])
    name = usual.mark_text(align="left", dx=4, dy=2, baseline="top", color="var(--soft)").encode(
        y=alt.value(0), text="label:N"
    )
    label = labels.layer("rates_ends", _at(x), y("at:Q"), "datum.whole", study.names)
    layers = [rule, name, spread, line, point, cross] + ([label] if _fit(table) else [])
    return look.layered(layers, _room(study.names), height=HEIGHT)


def _trials(study: Study, scale: Scale, data: dict[str, Table]) -> dict[str, Any]:
    """The best of n trials, with the band that holds it."""
    table = data["trials"]
    x = alt.X(
        "trials:Q",
        title="trials",
        scale=alt.Scale(domain=[1, max(2, *table["trials"])], nice=False, range=_RANGE),
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
    data["trials_ends"] = _ends(_as_curves(table), (low, high), (low, high), study.names, log=False)
    label = labels.layer("trials_ends", _at(x), y("at:Q"), "datum.whole", study.names)
    return look.layered([band, line, point] + ([label] if _fit(table) else []), _room(study.names), height=HEIGHT)


def _as_curves(table: Table) -> Table:
    return {**table, "epoch": table["trials"], "mid": table["best"]}
