"""The charts' data: each table a dictionary of columns, aggregated over seeds, so that a page stays small."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.report.ablation import figures
from thalweg.report.layout import window
from thalweg.report.lines import best
from thalweg.report.reading import flat

if TYPE_CHECKING:
    from collections.abc import Callable

    from thalweg.record import Curve
    from thalweg.report.reading import Member, Study
    from thalweg.report.scale import Scale

__all__ = ["BAND", "Table", "crossed_edge", "ranked", "shown", "tables"]

Table = dict[str, list[Any]]
"""Columns of equal length; what is not a finite number is None."""

BAND = (0.1, 0.9)
"""The share of seeds that a band leaves out below and above."""


def tables(study: Study, scale: Scale) -> dict[str, Table]:
    """Return every chart's data by the name of its source; a table without rows is left out."""
    found: dict[str, Table] = {
        "ranks": {} if study.ablation else ranked(study, scale),
        "valid": _courses(study, lambda curve: curve.valid * scale.factor, higher=study.higher_is_better),
        "loss": _courses(study, lambda curve: curve.train_loss, higher=False),
        "rates": _rates(study, scale),
        "trials": _trials(study, scale),
    }
    found = {name: table for name, table in found.items() if table.get("recipe")}
    line = best(study, scale)
    return found | figures(study, scale) | ({"line": line} if line and "ranks" in found else {})


# -- the rank picture ----------------------------------------------------------------------------------


def ranked(study: Study, scale: Scale) -> Table:
    """Return means with intervals, cut to a window in which the best can be told apart; no columns without any."""
    rows = []
    for name in study.order:
        judged = study.judged.get((name, "chosen"))
        if judged is None or study.mean(name) is None:
            continue
        ends: list[float | None] = []
        for found in (judged.get("crossed") or judged.get("seeds"), judged.get("seeds")):
            ends += scale.possible(found) or [None, None]
        values = [study.mean(name), study.mean(name, "defaults"), *ends]
        rows.append((name, [None if v is None else float(v) * scale.factor for v in values]))
    if not rows:
        return {}
    low, high = window([(v[0], v[2], v[3]) for _, v in rows], higher=study.higher_is_better)

    def inside(value: float | None) -> bool:
        return value is not None and low <= value <= high

    def cut(value: float | None) -> float | None:
        return None if value is None else min(max(value, low), high)

    outside = [not inside(v[0]) for _, v in rows]

    def on(place: int, out: bool, v: list[float | None]) -> float | None:
        """Where an interval is cut, if it is; that of a mean out of sight has no such mark of its own."""
        end = v[place]
        return None if out or end is None or inside(end) else cut(end)

    return _rounded(
        {
            "recipe": [name for name, _ in rows],
            "group": [study.group[name] for name, _ in rows],
            "mean": [v[0] if not out else None for (_, v), out in zip(rows, outside, strict=True)],
            "beyond": [cut(v[0]) if out else None for (_, v), out in zip(rows, outside, strict=True)],
            "defaults": [v[1] if inside(v[1]) else None for _, v in rows],
            "low": [cut(v[2]) for _, v in rows],
            "high": [cut(v[3]) for _, v in rows],
            "low_on": [on(2, out, v) for (_, v), out in zip(rows, outside, strict=True)],
            "high_on": [on(3, out, v) for (_, v), out in zip(rows, outside, strict=True)],
            "seeds_low": [cut(v[4]) for _, v in rows],
            "seeds_high": [cut(v[5]) for _, v in rows],
            "text": [scale.number(study.mean(name)) for name, _ in rows],
            "told": [_told(study, scale, name) for name, _ in rows],
        }
    )


def crossed_edge(table: Table) -> bool:
    """Return whether something in a rank picture lies beyond it."""
    return any(value is not None for name in ("beyond", "low_on", "high_on") for value in table.get(name, []))


def shown(*found: Table) -> set[str]:
    """Return which marks rank pictures hold: those of ``defaults``, of the ``first``, of those ``behind``."""
    groups = {group for table in found for group in table.get("group", [])}
    defaults = any(value is not None for table in found for value in table.get("defaults", []))
    return (groups & {"first", "behind"}) | ({"defaults"} if defaults else set())


def _told(study: Study, scale: Scale, name: str) -> str:
    judged = study.judged[name, "chosen"]
    text = scale.value(study.mean(name))
    if judged.get("crossed"):
        text += f"; over seeds and test examples {scale.interval(scale.possible(judged['crossed']))}"
    if judged.get("seeds"):
        text += f"; over seeds {scale.interval(scale.possible(judged['seeds']))}"
    return text


# -- courses -------------------------------------------------------------------------------------------


def _courses(study: Study, values: Callable[[Curve], np.ndarray], *, higher: bool) -> Table:
    """The median over the chosen arm's seeds, epoch by epoch, with the band that holds most of them."""
    columns: Table = {"recipe": [], "epoch": [], "mid": [], "low": [], "high": []}
    for name in study.names:
        matrix = _matrix(study.arm("chosen", name), values, worst=-math.inf if higher else math.inf)
        if not matrix.size:
            continue
        # Sorted ends, not interpolated ones: inf − inf has no meaning, and a seed's value has.
        low, high = np.quantile(matrix, BAND, axis=0, method="inverted_cdf")
        mid = np.median(matrix, axis=0)
        seen = np.flatnonzero(np.isfinite(mid))
        columns["recipe"] += [name] * len(seen)
        columns["epoch"] += seen.tolist()
        columns["mid"] += mid[seen].tolist()
        # A seed that diverged takes the band's far end with it: the band then reaches the median alone.
        columns["low"] += np.where(np.isfinite(low), low, mid)[seen].tolist()
        columns["high"] += np.where(np.isfinite(high), high, mid)[seen].tolist()
    return _rounded(columns)


def _matrix(members: list[Member], values: Callable[[Curve], np.ndarray], worst: float) -> np.ndarray:
    """Shape (runs, epochs + 1): what was not measured counts as worst, what came after an early stop as it stood."""
    curves = [(member.run, member.run.curve) for member in members if member.run.curve is not None]
    length = max((int(curve.epoch[-1]) + 1 for _, curve in curves if len(curve.epoch)), default=0)
    matrix = np.full((len(curves), length), worst)
    for row, (run, curve) in zip(matrix, curves, strict=True):
        found = values(curve)
        row[curve.epoch] = np.where(np.isfinite(found), found, worst)
        if run.status != "finished":
            row[_end(curve) :] = worst
        elif len(curve.epoch):
            row[curve.epoch[-1] + 1 :] = row[curve.epoch[-1]]
    return matrix


def _end(curve: Curve) -> int:
    """The epoch in which a run diverged: a model of NaNs may still score something."""
    lost = curve.epoch[~np.isfinite(curve.train_loss) & (curve.epoch > 0)]
    return int(lost[0] if len(lost) else curve.epoch[-1])


# -- learning rates and trials -------------------------------------------------------------------------


def _rates(study: Study, scale: Scale) -> Table:
    """The validation metric at each learning rate: median and range over the arm's seeds."""
    columns: Table = {
        "recipe": [], "rate": [], "mid": [], "low": [], "high": [], "diverged": [], "seeds": [],
    }  # fmt: skip
    for name in study.names:
        by_rate: dict[float, list[Member]] = {}
        for member in study.arm("sensitivity", name):
            rate = flat(member.run.recipe).get("optimizer.lr")
            if isinstance(rate, int | float) and rate > 0:
                by_rate.setdefault(float(rate), []).append(member)
        for rate, members in sorted(by_rate.items()):
            scores = [m.run.valid * scale.factor for m in members if math.isfinite(m.run.valid)]
            if not scores:
                continue
            columns["recipe"].append(name)
            columns["rate"].append(rate)
            columns["mid"].append(float(np.median(scores)))
            columns["low"].append(min(scores))
            columns["high"].append(max(scores))
            columns["diverged"].append(sum(m.run.status != "finished" for m in members))
            columns["seeds"].append(len(members))
    return _rounded(columns)


def _trials(study: Study, scale: Scale) -> Table:
    """The best of n trials, where there are several; a band's unknown side closes on the line itself."""
    columns: Table = {"recipe": [], "trials": [], "best": [], "low": [], "high": []}
    for curve in (study.verdict or {}).get("tuning") or []:
        best = curve.get("best") or []
        if len(best) < 2:  # one trial is a point, not a course
            continue
        sides = {side: curve.get(side) or [None] * len(best) for side in ("low", "high")}
        for n, value, low, high in zip(curve.get("trials") or [], best, sides["low"], sides["high"], strict=False):
            if value is None:
                continue
            columns["recipe"].append(curve.get("name", ""))
            columns["trials"].append(n)
            columns["best"].append(value * scale.factor)
            columns["low"].append((value if low is None else low) * scale.factor)
            columns["high"].append((value if high is None else high) * scale.factor)
    return _rounded(columns)


def _rounded(columns: Table) -> Table:
    return {name: [_six(value) for value in values] for name, values in columns.items()}


def _six(value: Any) -> Any:
    """Six figures are more than any screen shows."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
