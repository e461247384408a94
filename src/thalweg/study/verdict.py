"""The verdict: who is ahead, by how much, how surely, and who cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.record import RunRecord, Store
from thalweg.report.scale import least_of
from thalweg.study import cautions, constant
from thalweg.study.statistics import Estimates, Floats, differences, means, pair_alpha
from thalweg.study.tuning import tuning_curve
from thalweg.study.wording import sentences

__all__ = [
    "ALPHA",
    "Arm",
    "arm_of",
    "from_store",
    "gathered",
    "held_against_constant",
    "rows_of",
    "unjudged",
    "verdict",
]

ALPHA = 0.05
"""Probability with which anything that is claimed at once is wrong somewhere."""


@dataclass(frozen=True)
class Arm:
    """What one recipe reached on the reporting seeds.

    Attributes:
        scores: the metric of every seed and test example, shape ``(seeds, examples)``; None where a run left
            none, and then the recipe cannot be judged.
        failures: how many runs diverged or failed; those that diverged are scored as the models they began as.
        runs: how many runs there are.
        reason: why the first of them failed.
    """

    scores: ArrayLike | None
    failures: int = 0
    runs: int = 0
    reason: str = ""

    @property
    def lost(self) -> bool:
        """Whether every run diverged, so that the scores are those of untrained models and say nothing."""
        return self.scores is not None and 0 < self.runs <= self.failures


def verdict(
    chosen: Mapping[str, Arm],
    defaults: Mapping[str, Arm] | None = None,
    *,
    metric: Mapping[str, Any],
    task: str = "",
) -> dict[str, Any]:
    r"""Return what may be claimed of recipes measured on the same seeds and test examples.

    Differences of chosen settings hold for all pairs at once, with probability 0.95; what tuning bought, for all
    recipes at once (Bonferroni); a recipe's own mean is given with plain 95% intervals. Where there is a
    crossed interval (seeds × examples), it decides; else the one over seeds. A recipe of which every run diverged
    learned nothing: it is not judged.

    Args:
        chosen: by recipe, in the order in which they were named.
        defaults: the same recipes at their defaults.
        metric: ``name``, ``higher_is_better`` and ``unit``.
        task: what the sentences call the task.

    Returns:
        Plain lists, dictionaries and numbers, which JSON can hold. Intervals are ``[low, high]`` or None.

    Raises:
        ValueError: scores of different shapes, or that are not finite.

    >>> rng = np.random.default_rng(0)
    >>> def arm(share):
    ...     return Arm(rng.random((10, 400)) < share, runs=10)
    >>> found = verdict({"sgd": arm(0.80), "adam": arm(0.91), "adamw": arm(0.91)}, task="digits",
    ...                 metric={"name": "accuracy", "higher_is_better": True, "unit": "%"})
    >>> found["best"] in found["tied"], sorted(found["tied"]), [row["name"] for row in found["behind"]]
    (True, ['adam', 'adamw'], ['sgd'])
    >>> print(found["sentences"][0])
    On digits, adam and adamw cannot be told apart.
    """
    defaults = defaults or {}
    judged = {name: _array(arm) for name, arm in chosen.items() if arm.scores is not None and not arm.lost}
    seeds, examples = next(iter(judged.values())).shape if judged else (0, 0)
    level = pair_alpha(len(judged), seeds, ALPHA)
    S = np.stack(list(judged.values())) if judged else np.zeros((0, 1, 1))
    pairs = _pairs(list(judged), differences(S), level) if len(judged) > 1 else []
    rows = rows_of(chosen, "chosen") + rows_of(defaults, "defaults")
    found: dict[str, Any] = {
        "metric": metric["name"],
        "higher_is_better": bool(metric["higher_is_better"]),
        "unit": metric.get("unit", ""),
        "least": least_of(metric),
        "level": 1 - ALPHA,
        "seeds": seeds,
        "examples": examples,
        **_standing(rows, pairs, bool(metric["higher_is_better"])),
        "recipes": rows,
        "pairs": pairs,
        "gains": _gains(chosen, defaults),
        "unjudged": {name: unjudged(arm) for name, arm in chosen.items() if name not in judged},
        "diverged": [name for name, arm in chosen.items() if arm.lost],
        "tuning": [],
    }
    found["sentences"] = sentences(found, task)
    found["warnings"] = [*cautions.unjudged(found), *cautions.few_seeds(seeds)]
    return found


def _array(arm: Arm) -> Floats:
    return np.asarray(arm.scores, dtype=float)


def unjudged(arm: Arm) -> str:
    """Return why a recipe cannot be judged."""
    if not arm.lost:
        return arm.reason
    which = f"all its {arm.runs} runs" if arm.runs > 1 else "its run"
    return f"{which} diverged ({arm.reason.rstrip('.')})" if arm.reason else f"{which} diverged"


def _ends(intervals: Floats | None, i: int = 0) -> list[float] | None:
    return None if intervals is None else [float(end) for end in intervals[i]]


def rows_of(arms: Mapping[str, Arm], kind: str) -> list[dict[str, Any]]:
    """Return each recipe's own mean with its intervals, of one arm."""
    rows = []
    for name, arm in arms.items():
        row: dict[str, Any] = {"name": name, "arm": kind, "mean": None, "seeds": None, "crossed": None}
        if arm.scores is not None and not arm.lost:
            own = means(_array(arm)[None])
            row |= {
                "mean": float(own.mean[0]),
                "seeds": _ends(own.seeds(ALPHA)),
                "crossed": _ends(own.crossed(ALPHA)),
            }
        rows.append(row | {"failures": arm.failures, "runs": arm.runs})
    return rows


def _pairs(names: Sequence[str], found: Estimates, alpha: float) -> list[dict[str, Any]]:
    seeds, crossed = found.seeds(alpha), found.crossed(alpha)
    detectable, claimed = found.detectable(alpha), found.claimed(alpha)
    return [
        {
            "a": names[a],
            "b": names[b],
            "difference": float(found.mean[i]),
            "seeds": _ends(seeds, i),
            "crossed": _ends(crossed, i),
            "claimed": bool(claimed[i]),
            "detectable": None if detectable is None else float(detectable[i]),
        }
        for i, (a, b) in enumerate(combinations(range(len(names)), 2))
    ]


def _standing(rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]], higher: bool) -> dict[str, Any]:
    """Return who is best, who cannot be told apart from it, who is behind it, and what would have been seen."""
    sign = 1 if higher else -1
    mean = {row["name"]: sign * row["mean"] for row in rows if row["arm"] == "chosen" and row["mean"] is not None}
    order = sorted(mean, key=lambda name: -mean[name])
    best = order[0] if order else None
    against = {p["b"] if p["a"] == best else p["a"]: p for p in pairs if best in (p["a"], p["b"])}
    tied = [name for name in order if name == best or not against[name]["claimed"]]
    behind = []
    for name in (name for name in order if name not in tied):
        pair = against[name]
        turn = (1 if pair["a"] == best else -1) * sign
        ends = {kind: pair[kind] and sorted(turn * end for end in pair[kind]) for kind in ("seeds", "crossed")}
        behind.append({"name": name, "difference": turn * pair["difference"], **ends})
    sizes = [against[name]["detectable"] for name in tied[1:] or order[1:]]
    return {"best": best, "tied": tied, "behind": behind, "detectable": _typical(sizes)}


def _typical(sizes: Sequence[float | None]) -> float | None:
    """Return the largest that is not out of the ordinary: a recipe that diverges at times would hide the others."""
    known = [size for size in sizes if size is not None]
    return max(size for size in known if size <= 2 * np.median(known)) if known else None


def _gains(chosen: Mapping[str, Arm], defaults: Mapping[str, Arm]) -> list[dict[str, Any]]:
    """Return chosen − defaults of every recipe whose chosen setting is not its defaults."""
    both = {
        name: np.stack([_array(arm), _array(defaults[name])])
        for name, arm in chosen.items()
        if arm.scores is not None and not arm.lost and name in defaults and defaults[name].scores is not None
    }
    both = {name: S for name, S in both.items() if not np.array_equal(S[0], S[1])}
    gains = []
    for name, S in both.items():
        (pair,) = _pairs(["chosen", "defaults"], differences(S), ALPHA / len(both))
        gains.append({"name": name} | {key: pair[key] for key in ("difference", "seeds", "crossed", "claimed")})
    return gains


# -- from records --------------------------------------------------------------------------------------


def from_store(store: Store, generalises: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any] | None:
    """Return the verdict on a study's records, or None where a run of the reporting arms is still missing.

    Args:
        store: the study's records.
        generalises: by optimizer, the names of those that it becomes at some setting of its hyperparameters.
    """
    declared = {row.name: row.declared for row in store.recipes()}
    runs = store.runs(curves=True, outcomes=True)
    chosen, defaults, tuning = (gathered(store, arm, runs) for arm in ("chosen", "defaults", "tuning"))
    if chosen is None or defaults is None or not declared or set(chosen) != set(declared):
        return None
    arms = {
        "chosen": {name: arm_of(found) for name, found in chosen.items()},
        "defaults": {name: arm_of(found) for name, found in defaults.items()},
    }
    task, tuning = store.get("task"), tuning or {}
    found = verdict(arms["chosen"], arms["defaults"], metric=task["metric"], task=task["name"])
    higher = found["higher_is_better"]
    for name, trials in tuning.items():
        curve = tuning_curve([_valid(run) for run in trials], higher_is_better=higher)
        found["tuning"].append({"name": name} | curve)
    sign = 1 if higher else -1
    trials_of = {name: [(run.recipe, sign * run.valid) for run in trials] for name, trials in tuning.items()}
    found["warnings"] += [
        *cautions.failures(arms),
        *cautions.edges(declared, trials_of),
        *cautions.special_cases(found, declared, generalises or {}),
    ]
    return held_against_constant(found, store, arms["chosen"])


def held_against_constant(found: dict[str, Any], store: Store, arms: Mapping[str, Arm]) -> dict[str, Any]:
    """Return a verdict that says which of its recipes are no better than the study's constant answer."""
    scores = {name: _array(arm) for name, arm in arms.items() if arm.scores is not None and not arm.lost}
    return constant.said(found, constant.against(constant.kept(store), scores, store.get("task")["metric"], ALPHA))


def gathered(store: Store, arm: str, runs: Mapping[str, RunRecord]) -> dict[str, list[RunRecord]] | None:
    """Return an arm's runs by recipe, in the order of setting and repeat; None where one is missing."""
    found: dict[str, list[RunRecord]] = {}
    places: dict[str, list[tuple[int, int]]] = {}
    for entry in store.entries(arm):
        if entry.run not in runs:
            return None
        found.setdefault(entry.recipe, []).append(runs[entry.run])
        places.setdefault(entry.recipe, []).append((entry.setting, entry.repeat))
    paired = arm == "tuning" or len({tuple(place) for place in places.values()}) <= 1
    return found if paired else None


def arm_of(runs: Sequence[RunRecord]) -> Arm:
    """Return what a recipe's runs on the reporting seeds reached."""
    scores = [run.outcomes for run in runs if run.outcomes is not None and np.isfinite(run.outcomes).all()]
    failed = [run for run in runs if run.status != "finished"]
    # A reason of its own stands before that of a run which diverged, since it is why nothing can be judged.
    reasons = [run.reason for run in sorted(failed, key=lambda run: run.status != "failed")]
    if len(scores) < len(runs):
        return Arm(None, len(failed), len(runs), reasons[0] if reasons else "its test scores are not all finite")
    return Arm(np.stack(scores), len(failed), len(runs), reasons[0] if reasons else "")


def _valid(run: RunRecord) -> float:
    """Return a run's validation score; that of the untrained model it began as, if it left none."""
    if np.isfinite(run.valid) or run.curve is None or not len(run.curve.valid):
        return run.valid
    return float(run.curve.valid[0])
