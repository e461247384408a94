"""Classical baselines beside a study's recipes: fitted on the same split, chosen and judged as recipes are.

Each baseline gets the same number of settings, as many as a recipe has trials and at most eight; the one with the
best validation metric is judged on the test split, example by example. What draws random numbers is fitted anew for
each reporting seed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np

from thalweg.errors import InputError, unknown
from thalweg.key import Key
from thalweg.record import BaselineRecord, Store
from thalweg.study.classical import CLASSICAL, MOST, fitted
from thalweg.study.examples import Examples, examples
from thalweg.study.plan import Protocol
from thalweg.study.statistics import Floats, differences, means, over_examples
from thalweg.study.verdict import ALPHA, Arm, arm_of, gathered
from thalweg.study.wording import Face, joined
from thalweg.task import Task
from thalweg.task.reading import first_line

__all__ = ["Baselines", "against", "chosen_setting"]


class Baselines:
    """The baselines of one study.

    Args:
        names: of `thalweg.study.classical.CLASSICAL`.
        task: the study's.

    Raises:
        InputError: an unknown name, or one that is there twice, or a task that baselines cannot take.
    """

    def __init__(self, names: Sequence[str], task: Task) -> None:
        for i, name in enumerate(names):
            if not name:
                raise InputError(f"a baseline without a name; write {','.join(CLASSICAL)}, or some of them")
            if name not in CLASSICAL:
                raise unknown("baseline", name, CLASSICAL)
            if name in names[:i]:
                raise InputError(f'the baseline "{name}" is named twice; each is fitted once')
        self.names = list(names)
        self.higher = task.metric.higher_is_better
        self.examples: Examples | None = examples(task, self.names) if names else None

    def fit(self, store: Store, protocol: Protocol, say: Callable[[str], None]) -> None:
        """Fit what the store has no record of yet; those that it names already stay.

        Args:
            store: of the study.
            protocol: of the study, whose trials say how many settings each has; all, where recipes have no trials.
            say: gets a sentence before the first fit.

        Raises:
            StoreError: a record could not be written.
        """
        if self.examples is None:
            return
        settings = min(protocol.trials or MOST, MOST)
        classes = self.examples.classes
        whats = {name: [CLASSICAL[name].shown(name, classes), CLASSICAL[name].what(classes)] for name in self.names}
        facts = {
            "settings": settings,
            "seen": self.examples.seen,
            "models": whats,
            "version": version("scikit-learn"),
        }
        if (store.get("baselines") or {}).get("models") != whats:
            store.put("baselines", facts)
        key = Key(protocol.seed) / "baseline"
        done = {(fit.name, fit.setting, fit.repeat) for fit in store.baselines()}
        if not all((name, setting, 0) in done for name in self.names for setting in range(settings)):
            say(f"baselines: {joined(self.names)}, {settings} setting{'s' * (settings != 1)} each")

        def need(name: str, setting: int, repeat: int) -> None:
            if (name, setting, repeat) not in done:
                store.add_baseline(self._fit(name, setting, repeat, key / repeat))

        for name in self.names:
            for setting in range(settings):
                need(name, setting, 0)
            best = chosen_setting([fit for fit in store.baselines() if fit.name == name], higher=self.higher)
            if CLASSICAL[name].draws and best is not None:
                for repeat in range(1, protocol.seeds):
                    need(name, best, repeat)

    def judged(self, store: Store, verdict: Mapping[str, Any]) -> dict[str, Any]:
        """Return a study's verdict with what may be claimed of its recipes against these; see `against`."""
        runs = gathered(store, "chosen", store.runs(outcomes=True)) or {}
        shown = ("full", "plain") if "ablation" in verdict else tuple(runs)
        arms = {name: arm_of(runs[name]) for name in shown}
        more = against(store, arms, verdict["best"], store.get("task")["metric"])
        return {
            **verdict,
            "baselines": more["baselines"],
            "sentences": [*verdict["sentences"], *more["sentences"]],
            "warnings": [*verdict["warnings"], *more["warnings"]],
        }

    def _fit(self, name: str, setting: int, repeat: int, key: Key) -> BaselineRecord:
        assert self.examples is not None, "there are baselines"
        began = time.process_time()
        try:
            targets = self.examples.targets["train"]
            model, declared = fitted(name, setting, key.integer(), self.examples.inputs["train"], targets)
            outcomes = {word: self.examples.judged(model, word) for word in ("train", "valid", "test")}
            if not all(np.isfinite(found).all() for found in outcomes.values()):
                raise ValueError("its scores are not all finite")
        except Exception as error:
            nan, seconds = math.nan, time.process_time() - began
            said = str(dict(CLASSICAL[name].settings[setting]))
            return BaselineRecord(name, setting, repeat, said, first_line(error), seconds, nan, nan, nan)
        train, valid, test = (float(found.mean()) for found in outcomes.values())
        seconds = time.process_time() - began
        return BaselineRecord(name, setting, repeat, declared, "", seconds, train, valid, test, outcomes["test"])


def chosen_setting(fits: Sequence[BaselineRecord], *, higher: bool) -> int | None:
    """Return the setting of one baseline with the best validation metric, the first of equals; None without any."""
    sign = 1 if higher else -1
    known = [fit for fit in fits if fit.repeat == 0 and math.isfinite(fit.valid)]
    return max(known, key=lambda fit: (sign * fit.valid, -fit.setting)).setting if known else None


# -- the verdict ---------------------------------------------------------------------------------------


def against(store: Store, arms: Mapping[str, Arm], lead: str | None, metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be claimed of recipes against the study's baselines.

    Differences hold for all recipes and baselines at once (Bonferroni), at 95%: over seeds, and over seeds and test
    examples together. A baseline that draws nothing is one model: what it would be on another training set is left
    out of all intervals, as it is of the recipes'.

    Args:
        store: of the study.
        arms: the recipes' scores, shape ``(seeds, examples)``.
        lead: the recipe of which the sentence speaks, if any.
        metric: ``name``, ``higher_is_better`` and ``unit``.

    Returns:
        ``baselines``, plain values that JSON can hold; ``sentences`` and ``warnings``.
    """
    facts = store.get("baselines")
    higher = bool(metric["higher_is_better"])
    fits: dict[str, list[BaselineRecord]] = {}
    for fit in store.baselines():
        if fit.setting < facts["settings"]:
            fits.setdefault(fit.name, []).append(fit)
    rows = [_row(name, said, fits.get(name, []), higher) for name, said in facts["models"].items()]
    scores = {row["name"]: row.pop("scores") for row in rows}
    pairs = _pairs(
        {name: np.asarray(arm.scores, float) for name, arm in arms.items() if arm.scores is not None},
        {name: found for name, found in scores.items() if found is not None},
    )
    found = {
        "settings": facts["settings"],
        "seen": facts["seen"],
        "version": facts["version"],
        "rows": rows,
        "pairs": pairs,
        "lead": lead,
    }
    failed = [f"{row['name']} was not judged: {row['reason'].rstrip('.')}." for row in rows if row["mean"] is None]
    return {"baselines": found, "sentences": _sentences(found, metric), "warnings": failed}


def _row(name: str, said: Sequence[str], fits: Sequence[BaselineRecord], higher: bool) -> dict[str, Any]:
    best = chosen_setting(fits, higher=higher)
    total = sum(fit.cpu_seconds for fit in fits)
    row: dict[str, Any] = {"name": name, "shown": said[0], "what": said[1], "grid_seconds": total}
    row |= {"mean": None, "scores": None}
    if best is None:
        return row | {"reason": fits[0].reason if fits else "it was not fitted"}
    mine = [fit for fit in fits if fit.setting == best and fit.outcomes is not None]
    scores = np.stack([fit.outcomes for fit in mine if fit.outcomes is not None]).astype(float)
    ends = over_examples(scores.mean(0), ALPHA)
    crossed = means(scores[None]).crossed(ALPHA)
    if ends is not None and crossed is not None and np.ptp(crossed[0]) > np.ptp(ends):
        ends = crossed[0]
    sign = 1 if higher else -1
    return row | {
        "reason": "",
        "scores": scores,
        "declared": mine[0].declared,
        "fits": len(mine),
        "mean": float(scores.mean()),
        "interval": None if ends is None else [float(end) for end in ends],
        "gap": sign * float(np.mean([fit.train - fit.test for fit in mine])),
        "cpu_seconds": float(np.mean([fit.cpu_seconds for fit in mine])),
    }


def _pairs(recipes: Mapping[str, Floats], baselines: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """Return every recipe − baseline, paired by example, and by repeat where a baseline has one for each seed."""
    if not recipes or not baselines:
        return []
    shape = next(iter(recipes.values())).shape
    alike = [found if len(found) == shape[0] else found.mean(0, keepdims=True) for found in baselines.values()]
    S = np.stack([*recipes.values(), *(np.broadcast_to(found, shape) for found in alike)])
    alpha = ALPHA / (len(recipes) * len(baselines))
    found = differences(S)
    seeds, crossed, claimed = found.seeds(alpha), found.crossed(alpha), found.claimed(alpha)
    names = [*recipes, *baselines]
    return [
        {
            "recipe": names[a],
            "baseline": names[b],
            "difference": float(found.mean[i]),
            "seeds": None if seeds is None else [float(end) for end in seeds[i]],
            "crossed": None if crossed is None else [float(end) for end in crossed[i]],
            "claimed": bool(claimed[i]),
        }
        for i, (a, b) in enumerate(combinations(range(len(names)), 2))
        if a < len(recipes) <= b
    ]


def _sentences(found: Mapping[str, Any], metric: Mapping[str, Any]) -> list[str]:
    """Return the lines to beat, best first, and where the leading recipe stands."""
    sign = 1 if metric["higher_is_better"] else -1
    face = Face.of(metric)
    rows = sorted((row for row in found["rows"] if row["mean"] is not None), key=lambda row: -sign * row["mean"])
    if not rows:
        return []
    count = found["settings"]
    chosen = f"the best of {count} settings by validation" if count > 1 else "at one setting"
    lines = joined([f"{row['shown']} {face.value(row['mean'], row['interval'])}" for row in rows])
    said = [f"{'Lines' if len(rows) > 1 else 'The line'} to beat, {chosen}: {lines}."]
    standing: dict[str, list[str]] = {"ahead": [], "behind": [], "open": []}
    for row in rows:
        pair = next((p for p in found["pairs"] if (p["recipe"], p["baseline"]) == (found["lead"], row["name"])), None)
        if pair is None:
            continue
        size, ends = sign * pair["difference"], pair["crossed"] or pair["seeds"]
        if not pair["claimed"]:
            standing["open"].append(row["shown"])
            continue
        turned = sorted(math.copysign(1, pair["difference"]) * end for end in ends)
        by = face.difference(abs(size), turned)
        standing["ahead" if size > 0 else "behind"].append(f"{row['shown']} by {by}")
    words = {"ahead": "is ahead of", "behind": "is behind", "open": "cannot be told apart from"}
    parts = [f"{words[kind]} {joined(names)}" for kind, names in standing.items() if names]
    return [*said, f"{found['lead']} {joined(parts)}."] if parts else said
