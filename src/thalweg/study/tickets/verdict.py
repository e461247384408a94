"""What a lottery may claim: level by level, whether the ticket beats both of its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.record import RunRecord, Store
from thalweg.report.scale import least_of
from thalweg.study import constant
from thalweg.study.before import counted
from thalweg.study.statistics import differences, means, pair_alpha
from thalweg.study.wording import Face, joined

__all__ = ["CONTROLS", "from_store", "sentences"]

ALPHA = 0.05
CONTROLS = ("random mask", "fresh weights")
BASIN = 0.02
"""A barrier below this share counts as none (Frankle et al. 2020)."""


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
    found["warnings"] = _warnings(found)
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
        where = _Words(found, "").where([row for row in found["levels"] if row["level"] in poor])
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


# -- in words ----------------------------------------------------------------------------------------------------


def sentences(verdict: Mapping[str, Any], task: str) -> list[str]:
    """Return what may be claimed, as sentences, the answer first."""
    words = _Words(verdict, task)
    parts = (words.first, words.others, words.means, words.basin, words.smaller)
    return [text for part in parts if (text := part())]


class _Words:
    def __init__(self, verdict: Mapping[str, Any], task: str) -> None:
        self.verdict, self.task = verdict, task
        self.face = Face.of(verdict)
        self.levels = [row for row in verdict["levels"] if row["level"]]
        self.wins = [row for row in self.levels if row["pairs"] and all(_ahead(pair) for pair in row["pairs"])]

    def first(self) -> str:
        where = f"On {self.task}"
        judged = [row for row in self.levels if row["pairs"]]
        if self.verdict["seeds"] < 2:
            return f"{where}, one seed tells a ticket from no control: any difference may be the seed's."
        if not judged:
            return f"{where}, no level could be judged: runs have no scores."
        if self.wins:
            most = max(self.wins, key=lambda row: min(pair["difference"] for pair in row["pairs"]))
            by = " and ".join(f"{_THE[p['control']]} by {self._size(p)}" for p in most["pairs"])
            how_many = f"at {len(self.wins)} of {len(judged)} levels"
            if len(self.wins) > 1:
                how_many += f", {self.where(self.wins)}"
                by = f"most at {_share(most)}, {by}"
            else:
                by = f"at {_share(most)} of the weights, {by}"
            return f"{where}, the winning ticket beats both controls {how_many}: {by}."
        beaten = {control: len(self._levels(judged, control)) for control in CONTROLS}
        if any(beaten.values()):
            told = [f"{_THE[control]} at {count or 'none'}" for control, count in beaten.items()]
            at_once = ", but never both at once" if all(beaten.values()) else ""
            return f"{where}, of {counted(len(judged), 'level')} the ticket beats {joined(told)}{at_once}."
        if any(pair["claimed"] for row in judged for pair in row["pairs"]):
            return f"{where}, the ticket beats neither control at any level, and is behind one at some."
        which = f" at any of {len(judged)} levels" if len(judged) > 1 else ""
        return f"{where}, the ticket and its controls cannot be told apart{which}."

    def _levels(self, rows: Sequence[Mapping[str, Any]], control: str) -> list[Mapping[str, Any]]:
        """Return the levels at which the ticket beats a control."""
        return [row for row in rows if any(_is(pair, control) and _ahead(pair) for pair in row["pairs"])]

    def others(self) -> str | None:
        """Where it beats one control alone, or is behind, and how far apart they were seen to be."""
        judged = [row for row in self.levels if row["pairs"]]
        if not judged or self.verdict["seeds"] < 2:
            return None
        found = []
        for control in CONTROLS:
            alone = [row for row in self._levels(judged, control) if row not in self.wins]
            row, pair = _largest(alone or judged, control)
            size, at = self._size(pair), f"at {_share(row)}"
            if alone:
                most = f"most {at}, by" if len(alone) > 1 else "by"
                found.append(f"It beats {_THE[control]} alone {self.where(alone)}: {most} {size}.")
            elif not self.wins and pair["difference"] <= 0:
                found.append(f"At no level is it ahead of {_THE[control]}.")
            elif not self.wins:
                found.append(f"It is ahead of {_THE[control]} by {size} at most, {at}, and that may be chance.")
        behind = [row for row in judged if any(pair["claimed"] and pair["difference"] < 0 for pair in row["pairs"])]
        if behind:
            found.append(f"It is behind a control {self.where(behind)}.")
        return " ".join(found) or None

    def means(self) -> str | None:
        first, last = self.verdict["levels"][0], self.verdict["levels"][-1]
        kinds = {"the whole model": first["kinds"].get("ticket")}
        kinds |= {name: last["kinds"].get(kind) for kind, name in _SHOWN.items()}
        told = {name: self.face.value(arm["mean"], arm["seeds"]) for name, arm in kinds.items() if _known(arm)}
        if len(told) < 2:
            return None
        whole, *rest = [f"{name} {value}" for name, value in told.items()]
        return (
            f"Mean test {self.verdict['metric']}, with intervals over seeds: {whole}; with {_share(last)} of the "
            f"weights {joined(rest)}."
        )

    def basin(self) -> str | None:
        """How far down tickets that see their data in two orders end in one basin."""
        rows = [row for row in self.verdict["levels"] if row["barrier"]]
        if not rows:
            return None
        two = "two tickets trained on the same data in different orders"
        line = f"on the straight line between their weights the test {self.verdict['metric']} gets worse by"
        if self.verdict["unit"] != "%":
            worst = max(rows, key=lambda row: row["barrier"]["mean"])
            size = self.face.difference(worst["barrier"]["mean"])
            return f"Of {two}: {line} {size} at most, at {_share(worst)} of the weights."
        linked = [row for row in rows if row["barrier"]["mean"] < BASIN]
        if len(linked) == len(rows):
            return f"At every level {two} end in one basin: {line} less than 2 points."
        if not linked:
            least = min(rows, key=lambda row: row["barrier"]["mean"])
            size = self.face.difference(least["barrier"]["mean"])
            return (
                f"At no level do {two} end in one basin: {line} {size} or more; rewinding to a later step may change "
                "that."
            )
        where = self.where(linked)
        return f"{where[0].upper()}{where[1:]}, {two} end in one basin: {line} less than 2 points there alone."

    def smaller(self) -> str | None:
        facts = self.verdict["smaller"]
        if not facts:
            return None
        (before, after), (slow, fast) = facts["parameters"], facts["seconds"]
        what = "ticket" if facts["kind"] == "ticket" else "model with whole units taken out"
        held = "no worse than its whole model" if facts["held"] else "nearest to its whole model"
        head = (
            f"The smallest {what} that is {held} in validation has {100 * facts['share']:.3g}\u00a0% of the weights"
        )
        if not facts["held"]:
            head = head.replace("smallest ", "", 1)
        if before == after:
            why = next(iter(facts["left"].items()), None)
            because = f" ({why[0]}: {why[1]})" if why else ""
            return f"{head}, but every unit still does something, so that the model is no smaller{because}."
        sizes = f"{before:,} to {after:,} parameters, {_kilo(facts['bytes'][0])} to {_kilo(facts['bytes'][1])}"
        pace = f"{slow / fast:.1f} times as fast" if slow > 1.05 * fast else "no faster"
        return (
            f"{head}; without the units that no longer do anything it shrinks from {sizes}, and is {pace} on a batch "
            f"of {facts['batch']} ({1e6 * slow:.0f} to {1e6 * fast:.0f} µs); its test {self.verdict['metric']} is "
            f"{self.face.value(facts['test'][1])}."
        )

    def _size(self, pair: Mapping[str, Any]) -> str:
        return self.face.difference(pair["difference"], pair["crossed"] or pair["seeds"])

    def where(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Say where levels lie, by their weights; those that follow each other as a range."""
        groups: list[list[Mapping[str, Any]]] = []
        for row in rows:
            if groups and groups[-1][-1]["level"] + 1 == row["level"]:
                groups[-1].append(row)
            else:
                groups.append([row])
        told = [
            f"from {_share(group[0])} down to {_share(group[-1])}" if len(group) > 1 else f"at {_share(group[0])}"
            for group in groups
        ]
        if len(told) > 3:
            told = [*told[:2], f"at {sum(map(len, groups[2:]))} levels more"]
        return f"{joined(told)} of the weights" if "more" not in told[-1] else joined(told)


_SHOWN = {
    "ticket": "the ticket", "random mask": "the random mask", "fresh weights": "fresh weights",
    "one-shot": "pruning all at once",
}  # fmt: skip


_THE = {"random mask": "the random mask", "fresh weights": "fresh weights"}


def _largest(rows: Sequence[Mapping[str, Any]], control: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the level at which the ticket is farthest ahead of a control, and the pair."""
    every = [(row, pair) for row in rows for pair in row["pairs"] if _is(pair, control)]
    return max(every, key=lambda both: both[1]["difference"])


def _ahead(pair: Mapping[str, Any]) -> bool:
    return bool(pair["claimed"] and pair["difference"] > 0)


def _is(pair: Mapping[str, Any], control: str) -> bool:
    return bool(pair["control"] == control)


def _known(arm: Mapping[str, Any] | None) -> bool:
    return arm is not None and arm["mean"] is not None


def _share(row: Mapping[str, Any]) -> str:
    return f"{100 * row['share']:.3g}\u00a0%"


def _kilo(number: int) -> str:
    return f"{number / 1000:,.3g} kB" if number < 1e6 else f"{number / 1e6:,.3g} MB"


def _warnings(verdict: Mapping[str, Any]) -> list[str]:
    found = []
    failed = sum(arm["failures"] for row in verdict["levels"] for arm in row["kinds"].values())
    if failed:
        found.append(
            f"{failed} run{'s' * (failed != 1)} diverged, and {'is' if failed == 1 else 'are'} scored as the "
            "untrained model; where a ticket did, the whole model's weights say what goes next."
        )
    if 1 < verdict["seeds"] < 5:
        found.append(
            f"{verdict['seeds']} seeds are few: intervals from them are wide, and 5 or more would tell more apart."
        )
    exported = (verdict["smaller"] or {}).get("exported")
    if exported:
        found.append(f"The smaller model has no ticket.pt2: {exported}.")
    return found
