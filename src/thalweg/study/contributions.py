"""What an ablation may claim of each ingredient: of the test metric, the gap between train and test, and the cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.record import RunRecord, Store
from thalweg.report.scale import least_of
from thalweg.study import cautions
from thalweg.study.statistics import Estimates, Floats, differences, means
from thalweg.study.verdict import ALPHA, Arm, arm_of, gathered, held_against_constant, rows_of, unjudged
from thalweg.study.wording import Face, joined

__all__ = ["contributions", "from_store"]

CHEAP = 1.1
"""Up to so many times the CPU seconds are not worth a word."""


def from_store(store: Store) -> dict[str, Any] | None:
    """Return the verdict on an ablation's records, or None where a run is still missing."""
    declared = [row.name for row in store.recipes()]
    found = gathered(store, "chosen", store.runs(curves=True, outcomes=True))
    if found is None or set(found) != set(declared):
        return None
    task = store.get("task")
    costs = store.get("costs") or {}
    said = contributions(found, store.get("ablation")["parts"], costs, metric=task["metric"], task=task["name"])
    return held_against_constant(said, store, {name: arm_of(mine) for name, mine in found.items()})


def contributions(
    runs: Mapping[str, Sequence[RunRecord]],
    parts: Sequence[Mapping[str, Any]],
    costs: Mapping[str, Sequence[float]],
    *,
    metric: Mapping[str, Any],
    task: str = "",
) -> dict[str, Any]:
    """Return what each ingredient does to the full recipe, and to the plain one.

    Every effect is that of having the ingredient: full − full without it, and plain with it − plain, paired by seed.
    The test metric's are turned so that more is better; their intervals, over seeds and over seeds and test examples,
    hold for all comparisons at once (Bonferroni). So do, each for itself, the gap's, over seeds alone, and the CPU
    seconds', over rounds of measuring. A run that diverged is scored as the model it began as, and has no gap.

    Args:
        runs: of each recipe on the reporting seeds, with outcomes, in the order of the seeds.
        parts: ``label``, ``said``, ``instead``, and the pairs of recipes ``out`` and ``in``, with the part first.
        costs: of each recipe, the CPU seconds of a step in each round; see `thalweg.study.costs`. Those of a run are
            as many times that as it has steps.
        metric: ``name``, ``higher_is_better`` and ``unit``.
        task: what the sentences call the task.

    Returns:
        Plain lists, dictionaries and numbers, which JSON can hold: what `thalweg.study.verdict.verdict` returns,
        with the comparisons alone for its pairs, and ``ablation``.
    """
    arms = {name: arm_of(mine) for name, mine in runs.items()}
    pairs = list(dict.fromkeys(tuple(part[family]) for part in parts for family in ("out", "in")))
    alpha = ALPHA / len(pairs)
    sign = 1 if metric["higher_is_better"] else -1
    effects = {pair: _effect(pair, runs, arms, costs, alpha, sign) for pair in pairs}
    rows = []
    for part in parts:
        families = {family: effects[tuple(part[family])] for family in ("out", "in")}
        if part["out"] == part["in"]:  # the one ingredient there is
            families.pop("in")
        rows.append({key: part[key] for key in ("label", "said", "instead")} | families)
    judged = [arm.scores for arm in arms.values() if arm.scores is not None]
    seeds, examples = np.shape(judged[0]) if judged else (0, 0)
    best = "full" if arms["full"].scores is not None and not arms["full"].lost else None
    found: dict[str, Any] = {
        "metric": metric["name"],
        "higher_is_better": bool(metric["higher_is_better"]),
        "unit": metric.get("unit", ""),
        "least": least_of(metric),
        "level": 1 - ALPHA,
        "seeds": seeds,
        "examples": examples,
        "best": best,
        "tied": [best] if best else [],
        "behind": [],
        "detectable": None,
        "recipes": rows_of(arms, "chosen"),
        "pairs": [_as_pair(effect, sign) for effect in effects.values() if effect["test"] is not None],
        "gains": [],
        "unjudged": {name: unjudged(arm) for name, arm in arms.items() if arm.scores is None or arm.lost},
        "diverged": [name for name, arm in arms.items() if arm.lost],
        "tuning": [],
        "ablation": {"comparisons": len(pairs), "parts": rows},
    }
    found["sentences"] = _Words(found, task).sentences()
    found["warnings"] = [
        *cautions.unjudged(found),
        *cautions.few_seeds(seeds),
        *cautions.failures({"chosen": arms, "defaults": {}}),
    ]
    return found


# -- effects -------------------------------------------------------------------------------------------


def _effect(
    pair: tuple[str, str],
    runs: Mapping[str, Sequence[RunRecord]],
    arms: Mapping[str, Arm],
    costs: Mapping[str, Sequence[float]],
    alpha: float,
    sign: int,
) -> dict[str, Any]:
    """Return what having an ingredient does, from the recipe with it and the one without."""
    ours, theirs = (runs[name] for name in pair)
    scores = [arms[name].scores for name in pair]
    test = None
    if all(one is not None for one in scores):
        test = _estimate(differences(sign * np.stack([np.asarray(one, float) for one in scores])), alpha)
    gaps = sign * np.array([[run.train - run.test for run in side] for side in (ours, theirs)])
    return {
        "with": pair[0],
        "without": pair[1],
        "test": test,
        "gap": _over_seeds(gaps, alpha),
        "cost": _cost(pair, runs, costs, alpha),
        "state": [float(np.mean([run.state_bytes for run in side])) for side in (ours, theirs)],
    }


def _cost(
    pair: tuple[str, str],
    runs: Mapping[str, Sequence[RunRecord]],
    costs: Mapping[str, Sequence[float]],
    alpha: float,
) -> dict[str, Any] | None:
    """Return how many times the CPU seconds of its steps a run takes with an ingredient."""
    if not all(name in costs for name in pair):
        return None
    steps = [float(np.mean([run.steps for run in runs[name]])) for name in pair]
    seconds = np.array([[n * s for s in costs[name]] for n, name in zip(steps, pair, strict=True)])
    found = _over_seeds(np.log(seconds), alpha)
    if found is None:
        return None
    ends = found["seeds"] and [math.exp(end) for end in found["seeds"]]
    means = [float(np.mean(side)) for side in seconds]
    return {"ratio": math.exp(found["difference"]), "rounds": ends, "claimed": found["claimed"], "seconds": means}


def _over_seeds(values: Floats, alpha: float) -> dict[str, Any] | None:
    """Return the first row minus the second, shape ``(2, seeds)``, of the seeds at which both are there."""
    values = values[:, np.isfinite(values).all(0)]
    return None if not values.size else _estimate(means((values[0] - values[1])[None, :, None]), alpha)


def _estimate(found: Estimates, alpha: float) -> dict[str, Any]:
    seeds, crossed, detectable = found.seeds(alpha), found.crossed(alpha), found.detectable(alpha)
    return {
        "difference": float(found.mean[0]),
        "seeds": None if seeds is None else [float(end) for end in seeds[0]],
        "crossed": None if crossed is None else [float(end) for end in crossed[0]],
        "claimed": bool(found.claimed(alpha)[0]),
        "detectable": None if detectable is None else float(detectable[0]),
    }


def _as_pair(effect: Mapping[str, Any], sign: int) -> dict[str, Any]:
    """Return an effect as the difference of two recipes, which points as the metric does."""
    test = effect["test"]
    turned = {key: test[key] and sorted(sign * end for end in test[key]) for key in ("seeds", "crossed")}
    rest = {key: test[key] for key in ("claimed", "detectable")}
    return {"a": effect["with"], "b": effect["without"], "difference": sign * test["difference"], **turned, **rest}


# -- in words ------------------------------------------------------------------------------------------


class _Words:
    """The sentences of one ablation."""

    def __init__(self, verdict: Mapping[str, Any], task: str) -> None:
        self.verdict, self.task = verdict, task
        self.parts = verdict["ablation"]["parts"]
        self.face = Face.of(verdict)
        self.metric = f"test {verdict['metric']}"

    def sentences(self) -> list[str]:
        """Return what may be claimed, most important first."""
        where = f"On {self.task}" if self.task else "Here"
        if self.verdict["seeds"] < 2:
            why = "one seed shows no effect: any may be the seed's" if self.verdict["seeds"] else "nothing was judged"
            return [f"{where}, {why}."]
        if all(row["mean"] is None for row in self.verdict["recipes"]):
            return [f"{where}, every run diverged: nothing was learned, and no ingredient shows what it is worth."]
        if len(self.parts) == 1:
            told = self._family("out", where, where)
        else:
            told = self._family("out", f"{where}, in the full recipe", where)
            if head := self._headline(where):
                told = [head, *self._family("out", "There", "There")]
            told += self._family("in", "Put into the plain recipe alone", "Put into the plain recipe alone")
        return [*told, self._means(), self._gaps(), self._costs()]

    def _headline(self, where: str) -> str:
        """Name what is worth something and what costs, where there is too much of it to say how much at once."""
        tests = {part["label"]: part["out"]["test"] for part in self.parts}
        claimed = {label: test["difference"] > 0 for label, test in tests.items() if test and test["claimed"]}
        if len(claimed) < 3:
            return ""
        said = []
        for better, word in ((True, "worth having"), (False, "better left out")):
            names = [label for label, more in claimed.items() if more == better]
            if names:
                said.append(f"{joined(names)} {'is' if len(names) == 1 else 'are'} {word}")
        return f"{where}, in the full recipe, {'; '.join(said)}."

    def _family(self, family: str, where: str, at: str) -> list[str]:
        """Say which ingredients are worth something, which cost something, and of which neither could be shown.

        Args:
            where: how a sentence on what is shown begins.
            at: how one begins that has nothing to show.
        """
        more: list[tuple[float, str]] = []
        less: list[tuple[float, str]] = []
        nothing, sizes = [], []
        for part in self.parts:
            test = part[family]["test"]
            if test is None:
                continue
            size, ends = test["difference"], test["crossed"] or test["seeds"]
            if not test["claimed"]:
                nothing.append(part["label"])
                sizes.append(test["detectable"])
                continue
            by = self.face.difference(abs(size), sorted(math.copysign(1, size) * end for end in ends))
            (more if size > 0 else less).append((size, f"{part['label']} {'is worth' if size > 0 else 'costs'} {by}"))
        claims = [text for _, text in (*sorted(more, reverse=True), *sorted(less))]
        said = [f"{where}, {joined(claims)} of {self.metric}."] if claims else []
        if nothing:
            where, there = ("", "there ") if claims else (f"{at}, ", "")
            said.append(f"{where}{joined(nothing)} made no difference {there}that could be shown{self._seen(sizes)}.")
        return said or [f"{at}, nothing could be judged."]

    def _seen(self, sizes: Sequence[float | None]) -> str:
        """Say how large an effect would have been seen; those out of the ordinary left out, as in verdicts."""
        known = sorted(size for size in sizes if size is not None)
        known = [size for size in known if size <= 3 * np.median(known)]
        if not known:
            return ""
        if not self.face.is_possible(known[0]):
            return " (so few seeds would have shown no effect, however large)"
        most = known[-1]
        if not self.face.is_possible(most):
            least = self.face.difference(known[0])
            return f" (one of {least} would have been seen in 4 studies of 5 for some, and for others none at all)"
        return f" (one of {self.face.difference(most)} would have been seen in 4 studies of 5)"

    def _means(self) -> str:
        """Say where the full and the plain recipe stand."""
        rows = {row["name"]: row for row in self.verdict["recipes"] if row["mean"] is not None}
        said = [
            f"{name} {self.face.value(rows[name]['mean'], rows[name]['crossed'] or rows[name]['seeds'])}"
            for name in ("full", "plain")
            if name in rows
        ]
        return f"The mean {self.metric}: {', '.join(said) or 'of neither the full nor the plain recipe'}."

    def _gaps(self) -> str:
        """Say who changes the gap between train and test."""

        def word(effect: Mapping[str, Any]) -> str:
            size, ends = effect["difference"], effect["seeds"]
            turned = sorted(math.copysign(1, size) * end for end in ends)
            return f"{'widens' if size > 0 else 'narrows'} it by {self.face.difference(abs(size), turned)}"

        told = self._claimed("gap", word)
        if not told:
            return "Of none could it be shown that it changes the gap between train and test."
        return f"As to the gap between train and test, {told}."

    def _costs(self) -> str:
        """Say who costs CPU time, or saves it."""

        def word(effect: Mapping[str, Any]) -> str:
            ratio = effect["ratio"]
            if 1 / CHEAP <= ratio <= CHEAP:
                return ""
            low, high = effect["rounds"]
            return f"takes {_times(ratio)} times the CPU seconds ({_times(low)} to {_times(high)})"

        told = self._claimed("cost", word)
        return (
            f"As to cost, {told}."
            if told
            else "No ingredient was shown to change the CPU seconds of a run by a tenth."
        )

    def _claimed(self, kind: str, word: Callable[[Mapping[str, Any]], str]) -> str:
        """Say what is claimed of a quantity: in the full recipe, else in the plain one."""
        told = []
        for part in self.parts:
            for family, where in (("out", ""), ("in", " in the plain recipe")):
                effect = part.get(family, {}).get(kind)
                text = word(effect) if effect is not None and effect["claimed"] else ""
                if text:
                    told.append(f"{part['label']} {text}{where}")
                    break
        return joined(told) if told else ""


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"
