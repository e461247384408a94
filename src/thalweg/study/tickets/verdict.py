"""What a lottery may claim: level by level, whether the ticket beats both of its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.record import RunRecord, Store
from thalweg.report.scale import least_of
from thalweg.study import constant
from thalweg.study.statistics import differences, means, pair_alpha
from thalweg.study.tickets import wording
from thalweg.study.tickets.wording import CONTROLS, sentences, warned

__all__ = ["CONTROLS", "from_store", "sentences"]

ALPHA = 0.05


def from_store(store: Store) -> dict[str, Any] | None:
    """Return the verdict on a lottery's records, or None where a run is missing.

    At each level the ticket is compared with both controls by paired differences over seeds and test examples, which
    hold for all pairs at once (max-T) and for all levels (Bonferroni), at 95%.
    """
    said, metric = store.get("lottery"), store.get("task")["metric"]
    runs = store.runs(curves=True, outcomes=True)
    places: dict[tuple[str, int], list[RunRecord]] = {}
    for entry in store.entries("chosen"):
        if entry.run not in runs:
            return None
        places.setdefault((entry.recipe, entry.setting), []).append(runs[entry.run])
    higher, rounds = metric["higher_is_better"], said["rounds"]
    alpha = ALPHA / rounds
    levels = []
    for level, left in enumerate(said["left"]):
        arms = {kind: found for (kind, at), found in places.items() if at == level}
        row: dict[str, Any] = {"level": level, "weights": left, "share": left / said["left"][0]}
        row["kinds"] = {kind: _arm(found, higher) for kind, found in arms.items()}
        if units := [seed[level - 1] for seed in said.get("units_left") or [] if 0 < level <= len(seed)]:
            row["kinds"].get("whole units", {})["weights"] = float(np.mean(units))
        row["pairs"] = _pairs(arms, alpha, higher) if level else []
        row["barrier"] = _barrier(said.get("barriers"), level, higher)
        levels.append(row)
    found = {
        "metric": metric["name"], "unit": metric["unit"], "least": least_of(metric), "higher_is_better": higher,
        "level": 1 - ALPHA,
        "seeds": said["seeds"], "examples": _examples(places), "levels": levels, "smaller": said.get("smaller"),
    }  # fmt: skip
    found["sentences"] = sentences(found, store.get("task")["name"])
    found["warnings"] = warned(found)
    return _held_against_constant(found, store, places)


def _held_against_constant(
    found: dict[str, Any], store: Store, places: Mapping[tuple[str, int], Sequence[RunRecord]]
) -> dict[str, Any]:
    """Return a verdict that says whether the whole model and the tickets are better than the constant answer."""
    scores = {level: _scores(runs) for (kind, level), runs in sorted(places.items()) if kind == "ticket"}
    arms = {str(level): one for level, one in scores.items() if one is not None}
    held = constant.against(constant.kept(store), arms, store.get("task")["metric"], ALPHA)
    rows = {int(row["name"]): row for row in held["recipes"]} if held else {}
    poor = [level for level, row in rows.items() if not row["better"]]
    if not held or not poor:
        return {**found, "constant": held}
    above = any(rows[level]["difference"] > 0 for level in poor)
    words = ("was not shown to be", "was shown to be") if above else ("is no", "is")
    than = f"better than {constant.answered(held, found['unit'])}."
    sentences, warnings = list(found["sentences"]), list(found["warnings"])
    if len(poor) == len(rows):
        sentences.insert(1, f"Neither the whole model nor any ticket {words[1]} {than}")
    elif 0 in poor:
        sentences.insert(1, f"The whole model {words[0]} {than}")
    else:
        where = wording.levels(found, [row for row in found["levels"] if row["level"] in poor])
        warnings.insert(0, f"The ticket {words[0]} {than[:-1]}, {where}.")
    return {**found, "constant": held, "sentences": sentences, "warnings": warnings}


def _examples(places: Mapping[Any, Sequence[RunRecord]]) -> int:
    return max((len(run.outcomes) for runs in places.values() for run in runs if run.outcomes is not None), default=1)


def _arm(runs: Sequence[RunRecord], higher: bool) -> dict[str, Any]:
    """Return what a kind of run came to at a level: test metric by seed, and the step of the best validation."""
    scores, steps = _scores(runs), [_early(run, higher) for run in runs]
    known = [step for step in steps if step is not None]
    return {
        "mean": None if scores is None else float(scores.mean()),
        "low": None if scores is None else float(scores.mean(1).min()),
        "high": None if scores is None else float(scores.mean(1).max()),
        "seeds": _interval(scores),
        "step": float(np.mean(known)) if known else None,
        "step_low": min(known, default=None),
        "step_high": max(known, default=None),
        "failures": sum(run.status != "finished" for run in runs),
    }


def _interval(scores: np.ndarray | None) -> list[float] | None:
    ends = None if scores is None else means(scores[None]).seeds(ALPHA)
    return None if ends is None else [float(end) for end in ends[0]]


def _scores(runs: Sequence[RunRecord]) -> np.ndarray | None:
    found = [run.outcomes for run in runs if run.outcomes is not None and np.isfinite(run.outcomes).all()]
    return np.stack(found).astype(float) if len(found) == len(runs) and found else None


def _early(run: RunRecord, higher: bool) -> int | None:
    """Return the step of the best validation metric; where there are several, the first."""
    if run.curve is None or not np.isfinite(run.curve.valid).any():
        return None
    valid = run.curve.valid if higher else -run.curve.valid
    return int(run.curve.step[int(np.nanargmax(valid))])


def _pairs(arms: Mapping[str, Sequence[RunRecord]], alpha: float, higher: bool) -> list[dict[str, Any]]:
    """Return ticket − control for each control, turned so that more is better."""
    named = ("ticket", *CONTROLS)
    scores = [_scores(arms[name]) if name in arms else None for name in named]
    if any(one is None for one in scores):
        return []
    S = np.stack([one for one in scores if one is not None])
    found = differences(S if higher else -S)
    each = pair_alpha(len(named), S.shape[1], alpha)
    seeds, crossed, claimed = found.seeds(each), found.crossed(each), found.claimed(each)
    return [
        {
            "control": control,
            "difference": float(found.mean[i]),
            "seeds": None if seeds is None else [float(x) for x in seeds[i]],
            "crossed": None if crossed is None else [float(x) for x in crossed[i]],
            "claimed": bool(claimed[i]),
        }
        for i, control in enumerate(CONTROLS)
    ]


def _barrier(every: Sequence[Sequence[Any]] | None, level: int, higher: bool) -> dict[str, float] | None:
    """Return the barrier between the two data orders at a level, over seeds: mean, least and greatest."""
    found = []
    for seed in every or []:
        if level < len(seed) and seed[level] is not None:
            errors = [-x if higher else x for x in seed[level]]
            found.append(max(errors) - (errors[0] + errors[-1]) / 2)
    return {"mean": float(np.mean(found)), "low": min(found), "high": max(found)} if found else None
