"""The lines to beat: classical baselines beside the recipes, as a table; the best of them as a rule in a picture.

What a constant answer scores is such a line, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.report.rows import figures, spread
from thalweg.report.scale import MISSING

if TYPE_CHECKING:
    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale
    from thalweg.report.tables import Table

__all__ = ["best", "lines", "notes"]


def lines(study: Study, scale: Scale) -> list[dict[str, Any]]:
    """Return the table of baselines, best first, each with where the leading recipe stands."""
    return [_line(row, study, scale) for row in _ordered(study)]


def _line(row: dict[str, Any], study: Study, scale: Scale) -> dict[str, Any]:
    lead = (study.baselines or {}).get("lead")
    pairs = (study.baselines or {}).get("pairs") or []
    pair = next((p for p in pairs if (p["recipe"], p["baseline"]) == (lead, row["name"])), None)
    kind, difference, interval = "none", MISSING, ""
    if pair is not None:
        ahead = (pair["difference"] > 0) == study.higher_is_better
        kind = "open" if not pair["claimed"] else "ahead" if ahead else "behind"
        difference = scale.difference(pair["difference"])
        interval = spread(scale, pair.get("crossed") or pair.get("seeds"), 1.0)
    return {
        "name": row["shown"],
        "what": row["what"],
        "setting": row.get("declared") or row.get("reason") or "",
        "mean": scale.number(row.get("mean")),
        "interval": scale.interval(scale.possible(row.get("interval"))),
        "kind": kind,
        "difference": difference,
        "difference_interval": interval,
        "gap": scale.difference(row.get("gap")),
        "seconds": figures(row.get("cpu_seconds")),
        "grid": figures(row.get("grid_seconds")),
        "fits": row.get("fits") or 0,
    }


def best(study: Study, scale: Scale) -> Table:
    """Return where the best baseline lies, as data for a rule; the constant answer if that is better, or alone."""
    known = [(row["mean"], f"baseline {row['shown']}") for row in _ordered(study) if row.get("mean") is not None][:1]
    if constant := (study.verdict or {}).get("constant"):
        known.append((constant["mean"], f"always {constant['said'].partition(', ')[0].removeprefix('the ')}"))
    if not known:
        return {}
    at, label = (max if study.higher_is_better else min)(known, key=lambda line: line[0])
    return {"at": [float(f"{at * scale.factor:.6g}")], "label": [label]}


def notes(study: Study) -> list[str]:
    """Return how baselines were fitted, and what their intervals leave out, as sentences."""
    found = study.baselines
    if not found:
        return []
    drawn = [row["name"] for row in found["rows"] if (row.get("fits") or 0) > 1]
    settings = found["settings"]
    best_of = (
        f"each at the best of {settings} settings by validation" if settings > 1 else "each at its usual setting"
    )
    fitted = (
        f"Fitted by scikit-learn {found['version']} on the recipes’ training split ({found['seen']}), and "
        f"judged on the recipes’ test examples, {best_of}."
    )
    means = (
        "A baseline’s interval is over test examples: it is one model, and what another training set would have made "
        "of it is not in it, as it is not in the recipes’."
    )
    said = [fitted, means]
    if drawn:
        said.append(f"What draws random numbers ({', '.join(drawn)}) was fitted anew for each reporting seed.")
    said.append(
        f"Differences are paired by test example, vary seeds and examples together, and hold for all "
        f"{len(found['pairs'])} pairs of a recipe and a baseline at once (Bonferroni)."
    )
    return said


def _ordered(study: Study) -> list[dict[str, Any]]:
    rows = (study.baselines or {}).get("rows") or []
    sign = -1.0 if study.higher_is_better else 1.0
    return sorted(rows, key=lambda row: float("inf") if row.get("mean") is None else sign * row["mean"])
