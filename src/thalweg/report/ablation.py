"""What each ingredient of a recipe is worth: three pictures side by side, and the table that says the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from thalweg.report import layout, look
from thalweg.report.rows import spread
from thalweg.report.scale import MISSING

if TYPE_CHECKING:
    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale
    from thalweg.report.tables import Table

__all__ = ["FAMILIES", "cut", "effects", "figures", "methods", "pictures", "told"]

FAMILIES = {"out": "taken out of the full recipe", "in": "put into the plain recipe"}
"""The two ways in which an ingredient is tried, and the order in which they are drawn."""

_TRIED = {"out": "without", "in": "with"}
"""Which of an effect's two recipes is the one of this ingredient alone."""

KINDS = {"test": "ablation_test", "gap": "ablation_gap", "cost": "ablation_cost"}
"""The picture of each quantity."""

ROW = 40
"""Pixels for an ingredient."""


def figures(study: Study, scale: Scale) -> dict[str, Table]:
    """Return each picture's data by its name; empty for a study that is no ablation."""
    found: dict[str, Table] = {}
    for kind, name in KINDS.items():
        columns: Table = {
            key: [] for key in ("recipe", "ingredient", "family", "mid", "low", "high", "claimed", "told")
        }
        columns |= {"seeds_low": [], "seeds_high": []}
        for part in _ordered(study):
            for family in FAMILIES:
                effect = part.get(family, {}).get(kind)
                if effect is None:
                    continue
                factor = 1.0 if kind == "cost" else scale.factor
                ends, seeds = _ends(effect, kind), effect.get("seeds") or [None, None]
                if kind != "cost":
                    ends, seeds = (_possible(found, scale) for found in (ends, seeds))
                columns["recipe"].append(part[family].get(_TRIED[family], ""))
                columns["ingredient"].append(part["label"])
                columns["family"].append(FAMILIES[family])
                columns["mid"].append(_six(effect["ratio" if kind == "cost" else "difference"], factor))
                columns["low"].append(_six(ends[0], factor))
                columns["high"].append(_six(ends[1], factor))
                columns["seeds_low"].append(_six(seeds[0], factor))
                columns["seeds_high"].append(_six(seeds[1], factor))
                columns["claimed"].append(bool(effect["claimed"]))
                columns["told"].append(_said(effect, kind, scale))
        if columns["ingredient"]:
            found[name] = columns
            found[f"{name}_rule"] = {"at": [1.0 if kind == "cost" else 0.0]}
    return found


def pictures(scale: Scale, data: dict[str, Table]) -> dict[str, dict[str, Any]]:
    """Return the charts of those pictures that there are data for."""
    titles = {
        "test": f"test {scale.name}, better by{_brackets(scale.steps)}",
        "gap": f"{scale.gap}, more by{_brackets(scale.steps)}",
        "cost": "times the CPU seconds",
    }
    return {
        name: _chart(name, data[name], titles[kind], log=kind == "cost")
        for kind, name in KINDS.items()
        if name in data
    }


def _chart(name: str, table: Table, title: str, *, log: bool) -> dict[str, Any]:
    """One ingredient a row, one mark for each way of trying it; filled where the interval leaves out no effect."""
    low, high = _domain(table, log=log)
    kind = {"type": "log"} if log else {"zero": False}
    across = alt.Scale(domain=[low, high], nice=False, **kind)
    ticks: dict[str, Any] = {"tickCount": 5, "grid": True}
    if log:
        near = (0.8, 0.9, 1, 1.1, 1.2, 1.3)
        steps = near if high < 1.6 * low else (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)
        ticks = {"values": [step for step in steps if low <= step <= high], "format": "~g", "grid": True}
    order = list(dict.fromkeys(table["ingredient"]))
    families = list(dict.fromkeys(table["family"]))

    def x(field: str) -> alt.X:
        return alt.X(field, title=title, scale=across, axis=alt.Axis(**ticks))

    names = alt.Axis(labelColor="var(--ink)", labelLimit=170, labelFontSize=12.5, grid=False)
    colours = alt.Scale(domain=list(FAMILIES.values()), range=["var(--r0)", "var(--r1)"])
    base = look.source(name).encode(
        y=alt.Y("ingredient:N", sort=order, title=None, axis=names, scale=alt.Scale(paddingInner=0.35)),
        yOffset=alt.YOffset("family:N", sort=families, scale=alt.Scale(domain=families)),
        color=alt.Color("family:N", scale=colours, legend=None),
        tooltip=[
            alt.Tooltip("ingredient:N"),
            alt.Tooltip("family:N", title="when"),
            alt.Tooltip("told:N", title="effect"),
        ],
    )
    apart = "length(isolated) > 0 && indexof(isolated, datum.recipe) < 0"
    hollow = {
        "condition": [{"test": f"!datum.claimed || ({apart})", "value": 0.0}],
        "value": 1.0,
    }
    rule = look.source(f"{name}_rule").mark_rule(color="var(--soft)").encode(x=x("at:Q"))
    thin = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=1.5, clip=True)
        .encode(x=x("low:Q"), x2="high:Q", opacity=look.emphasis(1.0, 0.15))
    )
    thick = (
        base.transform_filter("isValid(datum.seeds_low)")
        .mark_rule(strokeWidth=5, clip=True)
        .encode(x=x("seeds_low:Q"), x2="seeds_high:Q", opacity=look.emphasis(0.4, 0.08))
    )
    marked = base.transform_calculate(at=f"clamp(datum.mid, {low!r}, {high!r})").encode(
        x=x("at:Q"),
        shape={
            "condition": [
                {"test": f"datum.mid > {high!r}", "value": "triangle-right"},
                {"test": f"datum.mid < {low!r}", "value": "triangle-left"},
            ],
            "value": "circle",
        },
    )
    back = marked.mark_point(filled=True, size=62, opacity=1.0).encode(color=alt.value("var(--paper)"))
    point = marked.mark_point(filled=False, size=62, strokeWidth=1.6).encode(opacity=look.emphasis(1.0, 0.25))
    full = marked.mark_point(filled=True, size=62).encode(opacity=hollow)
    return look.layered([rule, thin, thick, back, point, full], height=ROW * len(order) // (3 - len(families)) + 8)


def _domain(table: Table, *, log: bool) -> tuple[float, float]:
    """Return from where to where the axis reaches."""
    low, high = _span(table, 1.0 if log else 0.0, log=log)
    return (min(low / 1.1, 0.8), max(high * 1.1, 1.25)) if log else layout.padded(low, high)


def _span(table: Table, nothing: float, *, log: bool) -> tuple[float, float]:
    """Return the part of the axis that holds all marks and intervals but for those out of the ordinary.

    Those are intervals three times as wide as is usual, and marks ten times as far from no effect.
    """

    def turned(value: float) -> float:
        return math.log(value / nothing) if log else value - nothing

    rows = [row for row in zip(table["low"], table["mid"], table["high"], strict=True) if None not in row]
    widest = 3 * float(np.median([turned(high) - turned(low) for low, _, high in rows])) if rows else 0.0
    kept = [row for row in rows if turned(row[2]) - turned(row[0]) <= widest]
    reach = [max(abs(turned(end)) for end in row) for row in kept] or [abs(turned(mid)) for mid in table["mid"]]
    farthest = 10 * float(np.median(reach))
    ends = [nothing, *(mid for mid in table["mid"] if abs(turned(mid)) <= farthest)]
    for low, mid, high in kept:
        ends += (low, high) if abs(turned(mid)) <= farthest else ()
    return min(ends), max(ends)


def cut(data: dict[str, Table]) -> dict[str, bool]:
    """Return of which pictures an interval or a mark reaches beyond them."""
    found = {}
    for kind, name in KINDS.items():
        if name in data:
            found[name] = layout.beyond(data[name], _domain(data[name], log=kind == "cost"))
    return found


def told(scale: Scale, data: dict[str, Table]) -> dict[str, str]:
    """Return what each picture shows, for those who cannot see it."""
    starts = {
        "test": f"What each ingredient is worth in test {scale.name}",
        "gap": "By how much each ingredient widens the gap between train and test",
        "cost": "How many times the CPU seconds each ingredient takes",
    }
    found = {}
    for kind, name in KINDS.items():
        if name in data:
            table = data[name]
            lines = zip(table["ingredient"], table["family"], table["told"], strict=True)
            found[name] = (
                f"{starts[kind]}: {'; '.join(f'{label}, {family}, {text}' for label, family, text in lines)}."
            )
    return found


def methods(study: Study) -> list[str]:
    """Return how ingredients were tried and costs measured, as sentences; none for a study that is no ablation."""
    if study.ablation is None:
        return []
    count = study.ablation.get("comparisons", 0)
    tried = (
        "Each ingredient that the full recipe names beyond the plain one was taken out of it alone, and put into the "
        "plain one alone; optimizer, schedule, numbers and words, which cannot be empty, gave way to the plain "
        "recipe’s."
    )
    cost = (
        "What a run costs is the CPU time of a training step, measured apart on each recipe alone in one process, in "
        "eight rounds of fifteen steps with the recipes in turn, times its steps; evaluation is left out. The CPU "
        "seconds in the table of results are even shares of what runs that trained together took."
    )
    return [tried, f"That makes {count} comparison{'s' * (count != 1)}, and nothing is said of other pairs.", cost]


# -- the table -----------------------------------------------------------------------------------------


def effects(study: Study, scale: Scale) -> list[dict[str, Any]]:
    """Return the table: an ingredient a row, and for each way of trying it three cells, best first."""
    place = {name: i for i, name in enumerate(study.names)}
    return [
        {
            "label": part["label"],
            "recipes": [place.get(part[family].get(_TRIED[family], ""), "") for family in FAMILIES if family in part],
            "said": part["said"] if part["said"] not in part["label"] else "",
            "instead": part["instead"],
            "families": [_cells(part[family], scale) for family in FAMILIES if family in part],
            "state": _state(part.get("out") or {}),
        }
        for part in _ordered(study)
    ]


def _cells(effect: dict[str, Any], scale: Scale) -> list[dict[str, Any]]:
    cells = []
    for kind in KINDS:
        one = effect.get(kind)
        text, interval = MISSING, ""
        if one is not None:
            ends = _ends(one, kind)
            text = f"× {_times(one['ratio'])}" if kind == "cost" else scale.difference(one["difference"])
            interval = _interval(ends, kind, scale)
        cells.append({"text": text, "interval": interval, "claimed": bool(one and one["claimed"])})
    return cells


def _state(effect: dict[str, Any]) -> str:
    """Optimizer state of the full recipe with and without the ingredient, in bytes a parameter; empty where equal."""
    ours, theirs = effect.get("state") or (0.0, 0.0)
    return "" if abs(ours - theirs) < 0.05 else f"{theirs:.3g} → {ours:.3g}"


# -- parts ---------------------------------------------------------------------------------------------


def _ordered(study: Study) -> list[dict[str, Any]]:
    """Return the ingredients, that which is worth most to the full recipe first."""
    parts = (study.ablation or {}).get("parts") or []

    def worth(part: dict[str, Any]) -> float:
        test = (part.get("out") or {}).get("test")
        return -float(test["difference"]) if test else float("inf")

    return sorted(parts, key=worth)


def _ends(effect: dict[str, Any], kind: str) -> list[float | None]:
    found = effect.get("rounds") if kind == "cost" else effect.get("crossed") or effect.get("seeds")
    return found or [None, None]


def _possible(ends: list[float | None], scale: Scale) -> list[float | None]:
    """Return an interval cut at the farthest that two values can be apart."""
    known = [end for end in ends if end is not None]
    return [*(scale.possible_difference(known) or [])] if len(known) == len(ends) else ends


def _interval(ends: list[float | None], kind: str, scale: Scale) -> str:
    if None in ends:
        return ""
    if kind == "cost":
        return f"{_times(ends[0])} to {_times(ends[1])}"
    return spread(scale, ends, 1.0)


def _said(effect: dict[str, Any], kind: str, scale: Scale) -> str:
    interval = _interval(_ends(effect, kind), kind, scale)
    size = (
        f"× {_times(effect['ratio'])}"
        if kind == "cost"
        else f"{scale.difference(effect['difference'])} {scale.steps}"
    )
    sure = "" if effect["claimed"] else "; may be none at all"
    return f"{size.strip()}{f' ({interval})' if interval else ''}{sure}"


def _times(ratio: float | None) -> str:
    return MISSING if ratio is None else f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"


def _brackets(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _six(value: float | None, factor: float) -> float | None:
    return None if value is None else float(f"{value * factor:.6g}")
