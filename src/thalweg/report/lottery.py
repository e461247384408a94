"""The page of a lottery: metric, early-stop step and barrier against weights that are left, from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
from altair.utils.schemapi import debug_mode

from thalweg.record import Store
from thalweg.report import layout, look
from thalweg.report import lottery_words as words
from thalweg.report.frame import frame
from thalweg.report.lottery_words import KINDS
from thalweg.report.reading import Study, read
from thalweg.report.scale import Scale, limits, usual
from thalweg.report.writing import placed, put, rendered

__all__ = ["holds_one", "render", "write"]

HEIGHT = 340


def holds_one(directory: Path | str) -> bool:
    """Return whether a directory holds a lottery.

    Raises:
        StoreError: it holds no study, or one of another version.
    """
    with Store(directory) as store:
        return store.get("lottery") is not None


def write(directory: Path | str, path: Path | str | None = None) -> Path:
    """Write the page; see :func:`thalweg.report.write`."""
    return put(render(directory), placed(path or directory))


def render(directory: Path | str) -> str:
    """Return the page as HTML."""
    study = read(directory)
    with Store(directory) as store:
        said = store.get("lottery")
    scale = _scale(study)
    verdict = study.verdict
    data = _tables(verdict, scale) if verdict else {}
    with debug_mode(False):  # what Vega-Lite takes is checked in the tests, not anew for each page
        charts = _charts(scale, data) if verdict else {}
    sentences = words.sentences(study)
    measured = words.methods(study, said)
    return rendered(
        "lottery.html.j2",
        names=KINDS,
        charts=charts,
        data=data,
        **frame(study, sentences, measured),
        scale=scale,
        summary=words.summary(study, said),
        told=words.told(verdict, scale) if verdict else {},
        rows=words.rows(verdict, scale) if verdict else [],
        smaller=words.smaller(verdict, scale) if verdict else None,
        recipe=study.recipes[0].declared.strip(),
    )


def _scale(study: Study) -> Scale:
    metric = study.task.get("metric") or {}
    unit = str(metric.get("unit") or "")
    factor = 100.0 if unit == "%" else 1.0
    rows = (study.verdict or {}).get("levels") or []
    means = [arm.get("seeds") for row in rows for arm in row["kinds"].values()]
    apart = [pair.get("crossed") or pair.get("seeds") for row in rows for pair in row["pairs"]]
    decimals, finer = (usual(factor * (ends[1] - ends[0]) for ends in some if ends) for some in (means, apart))
    usually = 1 if unit == "%" else 3
    name = str(metric.get("name") or "metric")
    decimals = usually if decimals is None or unit == "%" else decimals
    least, most = limits(study)
    return Scale(name, unit, factor, decimals, finer or 0, least=least, most=most)


# -- data --------------------------------------------------------------------------------------------------------


def _tables(verdict: dict[str, Any], scale: Scale) -> dict[str, dict[str, list[Any]]]:
    """Return the charts' sources: a row for each level and kind, recipes by their place in `KINDS`."""
    remaining: dict[str, list[Any]] = {
        name: []
        for name in ("recipe", "share", "weights", "mid", "low", "high", "step", "step_low", "step_high", "claimed")
    }
    total = verdict["levels"][0]["weights"]
    for row in verdict["levels"]:
        for place, kind in enumerate(KINDS):
            # Every line begins at the whole model.
            arm = row["kinds"].get(kind if row["level"] else "ticket")
            if arm is None:
                continue
            wins = bool(row["pairs"]) and all(pair["claimed"] and pair["difference"] > 0 for pair in row["pairs"])
            values = {
                "recipe": place, "share": _round(100 * arm.get("weights", row["weights"]) / total),
                "weights": round(arm.get("weights", row["weights"])),
                **{name: _times(arm[key], scale) for name, key in _BAND.items()},
                **{name: _round(arm[name]) for name in ("step", "step_low", "step_high")},
                "claimed": int(kind == "ticket" and wins),
            }  # fmt: skip
            for name, column in remaining.items():
                column.append(values[name])
    found = {"remaining": remaining}
    linked = [row for row in verdict["levels"] if row["barrier"]]
    if linked:
        found["barrier"] = {
            "share": [_round(100 * row["share"]) for row in linked],
            **{name: [_times(row["barrier"][key], scale) for row in linked] for name, key in _BAND.items()},
        }
    whole = verdict["levels"][0]["kinds"].get("ticket")
    if whole and whole["mean"] is not None:
        found["whole"] = {"mid": [_times(whole["mean"], scale)], "label": ["the whole model"]}
    return found


_BAND = {"mid": "mean", "low": "low", "high": "high"}


def _times(value: float | None, scale: Scale) -> float | None:
    return None if value is None else _round(scale.factor * value)


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


# -- charts ------------------------------------------------------------------------------------------------------


def _charts(scale: Scale, data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    table = data["remaining"]
    low = min(share for place, share in zip(table["recipe"], table["share"], strict=True) if place == 0)
    x = _across(low)
    made = {"remaining": _remaining(scale, table, x, whole="whole" in data), "step": _step(x, table)}
    if "barrier" in data:
        made["barrier"] = _barrier(scale, data["barrier"], x)
    return made


def _across(low: float) -> alt.X:
    """The weights that are left, in the logarithm, the whole model on the left."""
    few = (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    ticks = [t for t in (few if low < 25 else range(100, 20, -10)) if t >= 0.8 * low]
    return alt.X(
        "share:Q",
        title="weights that are left (%)",
        scale=alt.Scale(type="log", domain=[100, 0.8 * low], nice=False),
        axis=alt.Axis(values=ticks, format="~g"),
    )


def _remaining(scale: Scale, table: dict[str, list[Any]], x: alt.X, *, whole: bool) -> dict[str, Any]:
    shares = list(zip(table["recipe"], table["share"], strict=True))
    least = 0.8 * min(share for place, share in shares if place == 0)
    found = [
        (place, v)
        for name in ("mid", "low", "high")
        for (place, share), v in zip(shares, table[name], strict=True)
        if v is not None and share >= least
    ]
    every, near = [v for _, v in found], [v for place, v in found if place == 0]
    wide = layout.padded(min(every), max(every))
    margin = 0.35 * (max(near) - min(near)) or max(every) - wide[0]
    close = [max(wide[0], min(near) - margin), min(wide[1], max(near) + margin)]
    limits = {
        "domainMin": alt.ExprRef(f"close ? {close[0]:.6g} : {wide[0]:.6g}"),
        "domainMax": alt.ExprRef(f"close ? {close[1]:.6g} : {wide[1]:.6g}"),
    }
    up = alt.Scale(zero=False, nice=False, **limits)
    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("share:Q", title="weights left (%)", format=".3~g"),
        alt.Tooltip("weights:Q", title="weights", format=","),
        alt.Tooltip("mid:Q", title=f"test {scale.name}", format=f".{scale.decimals}f"),
        alt.Tooltip("low:Q", title="seeds from", format=f".{scale.decimals}f"),
        alt.Tooltip("high:Q", title="to", format=f".{scale.decimals}f"),
    ]
    band, line, point = _course("mid", "low", "high", x, up, tooltip)
    seen = look.emphasis(1.0, 0.1)
    seen["condition"].insert(0, {"test": "datum.claimed != 1", "value": 0.0})
    won = (
        look.source("remaining")
        .mark_point(clip=True, filled=True, size=60)
        .encode(
            x=x,
            y=alt.Y("mid:Q", title=None, scale=up),
            color=alt.value("var(--r0)"),
            opacity=seen,
            tooltip=tooltip,
        )
    )
    layers = [band, line, won, point]
    if whole:
        rule = look.source("whole").mark_rule(color="var(--soft)", strokeDash=[2, 3])
        layers.insert(0, rule.encode(y=alt.Y("mid:Q", title=None, scale=up)))
    return look.layered(layers, alt.param(name="close", value=False), height=HEIGHT)


def _course(
    mid: str, low: str, high: str, x: alt.X, up: alt.Scale, tooltip: list[alt.Tooltip]
) -> tuple[alt.Chart, alt.Chart, alt.Chart]:
    """One line a kind, its band over seeds, and points to hover over."""

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=up)

    base = look.source("remaining").encode(x=x, **look.colour(KINDS))
    veil = look.veil(len(KINDS))
    band = look.area(base).mark_area(clip=True, strokeWidth=0).encode(y=y(low), y2=f"{high}:Q", opacity=veil)
    line = base.mark_line(clip=True, strokeWidth=1.8).encode(y=y(mid), opacity=look.emphasis(1.0, 0.1))
    point = base.mark_point(clip=True, filled=True, size=90).encode(y=y(mid), opacity=alt.value(0), tooltip=tooltip)
    return band, line, point


def _step(x: alt.X, table: dict[str, list[Any]]) -> dict[str, Any]:
    top = max((v for v in table["step_high"] if v is not None), default=1)
    up = alt.Scale(domain=[0, 1.05 * top], nice=False)
    tooltip = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("share:Q", title="weights left (%)", format=".3~g"),
        alt.Tooltip("step:Q", title="step of the best validation", format=",.0f"),
        alt.Tooltip("step_low:Q", title="seeds from", format=",.0f"),
        alt.Tooltip("step_high:Q", title="to", format=",.0f"),
    ]
    return look.layered(_course("step", "step_low", "step_high", x, up, tooltip), height=HEIGHT)


def _barrier(scale: Scale, table: dict[str, list[Any]], x: alt.X) -> dict[str, Any]:
    low, high = min(0.0, *table["low"]), max(*table["high"], 0.025 * scale.factor)
    up = alt.Scale(domain=[low, 1.05 * high], nice=False)

    def y(field: str) -> alt.Y:
        return alt.Y(field, title=None, scale=up)

    base = look.source("barrier").encode(x=x)
    tooltip = [
        alt.Tooltip("share:Q", title="weights left (%)", format=".3~g"),
        alt.Tooltip("mid:Q", title=f"barrier ({scale.steps})", format=".2f"),
        alt.Tooltip("low:Q", title="seeds from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
    ]
    colour = alt.value("var(--r0)")
    layers = [
        base.mark_area(clip=True, strokeWidth=0).encode(
            y=y("low:Q"), y2="high:Q", color=colour, opacity=alt.value(0.2)
        ),
        base.mark_line(clip=True, strokeWidth=1.8).encode(y=y("mid:Q"), color=colour),
        base.mark_point(clip=True, filled=True, size=90).encode(
            y=y("mid:Q"), color=colour, opacity=alt.value(0), tooltip=tooltip
        ),
    ]
    if scale.unit == "%":
        rule = alt.Chart(alt.InlineData(values=[{"basin": 2.0}])).mark_rule(color="var(--soft)", strokeDash=[2, 3])
        layers.insert(0, rule.encode(y=y("basin:Q")))
    return look.layered(layers, height=HEIGHT)
