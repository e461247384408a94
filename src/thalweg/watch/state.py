"""From records to what the page shows: counts, courses, who is ahead, failures; as JSON takes it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from thalweg.record import RunRecord
    from thalweg.watch.reader import Reader

__all__ = ["state_of"]

ARMS = ("chosen", "defaults", "tuning", "sensitivity")
"""In the order in which one is looked at: the later a study comes to it, the more it says."""

POINTS = 80
"""Of a course that is shown."""

SHOWN = 40
"""Runs in training, and failures, that are shown."""

QUIET = 30.0
"""Seconds without a sign of life after which a study is taken for stopped, where its lock cannot be asked."""


def state_of(reader: Reader, now: float | None = None) -> dict[str, Any]:
    """Return what the page shows; every number is finite or None.

    Args:
        reader: with what it has read.
        now: the time, in seconds since 1970.
    """
    now = time.time() if now is None else now
    facts = reader.facts
    progress = facts.get("progress") or {}
    task, protocol = facts.get("task") or {}, facts.get("protocol") or {}
    metric = task.get("metric") or {}
    names = reader.names or ["the run"]
    higher = bool(metric.get("higher_is_better", True))
    asked = {entry.run for entry in reader.entries} | reader.runs.keys() | {c["run"] for c in _courses(progress)}
    planned = max(len(asked), int(protocol.get("runs") or 0), int(progress.get("runs") or 0))
    phase = _phase(reader, progress, now)
    arms = _arms(reader, names)
    return {
        "phase": phase,
        "problem": reader.problem,
        "there": reader.there,
        "directory": str(reader.directory),
        "task": str(task.get("name") or progress.get("what") or reader.directory.name),
        "metric": {"name": str(metric.get("name") or "metric"), "unit": str(metric.get("unit") or "")},
        "names": names,
        "finished": len(reader.runs),
        "planned": planned,
        "progress": _progress(progress, planned, len(reader.runs), phase, now),
        "arms": {arm: _mean_courses(arm, members, names, reader.courses) for arm, members in arms.items()},
        "now": _now(reader, progress, names) if phase == "running" else [],
        "ahead": None if facts.get("lottery") else _ahead(arms, names, higher=higher),
        "failures": _failures(reader, names),
        "failed": sum(run.status != "finished" for run in reader.runs.values()),
        "verdict": (facts.get("verdict") or {}).get("sentences"),
        "warnings": len((facts.get("verdict") or {}).get("warnings") or []),
        "report": (reader.directory / "report.html").exists(),
        "command": str(protocol.get("command") or ""),
        "said": [str(line) for line in progress.get("said") or []][-6:],
    }  # fmt: skip


def _phase(reader: Reader, progress: Mapping[str, Any], now: float) -> str:
    if reader.problem:
        return "broken"
    if reader.facts.get("verdict") is not None:
        return "finished"
    # One recipe that was trained gets no verdict.
    alone = not (reader.facts.get("protocol") or {}).get("runs") and not reader.facts.get("lottery")
    if alone and reader.names and reader.runs:
        return "finished"
    if reader.held:
        return "running" if reader.there else "starting"
    if reader.held is None and now - float(progress.get("at") or 0) < QUIET:
        return "running"
    return "stopped" if reader.there else "waiting"


def _courses(progress: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(progress.get("courses") or [])


def _progress(progress: Mapping[str, Any], planned: int, finished: int, phase: str, now: float) -> dict[str, Any]:
    """Return how far the study is, and the seconds left by the pace of what it does at the moment."""
    if not progress:
        return {"what": "", "share": finished / planned if planned else 0.0, "left": None, "age": None}
    epochs, done = float(progress.get("epochs") or 0), float(progress.get("epochs_done") or 0)
    runs, made = float(progress.get("runs") or 0), float(progress.get("runs_done") or 0)
    seconds = float(progress.get("at") or now) - float(progress.get("began") or now)
    each = epochs / runs if runs else 0.0
    later = max(0.0, planned - finished - (runs - made))
    left = max(0.0, epochs - done) + later * each
    before = max(0.0, finished - made) * each
    share = (before + done) / (before + done + left) if before + done + left else 1.0
    pace = seconds / done if done else None
    return {
        "what": str(progress.get("what") or ""),
        "share": 1.0 if phase == "finished" else min(share, 1.0),
        "left": left * pace if pace is not None and phase == "running" else None,
        "age": max(0.0, now - float(progress.get("at") or now)),
    }


Members = dict[str, dict[tuple[int, int], "RunRecord"]]
"""Runs of an arm that are there: by recipe, then by setting and repeat."""


def _arms(reader: Reader, names: Sequence[str]) -> dict[str, Members]:
    found: dict[str, Members] = {}
    for entry in reader.entries:
        if entry.run in reader.runs:
            members = found.setdefault(entry.arm, {}).setdefault(entry.recipe, {})
            members[entry.setting, entry.repeat] = reader.runs[entry.run]
    if not reader.entries and reader.runs:  # one recipe trained outside any arm
        found["chosen"] = {names[0]: {(0, i): run for i, run in enumerate(reader.runs.values())}}
    return {arm: found[arm] for arm in ARMS if arm in found}


def _mean_courses(arm: str, members: Members, names: Sequence[str], kept: dict[Any, Any]) -> list[dict[str, Any]]:
    """Return each recipe's median course; what no run has been added to is as it was (``kept``)."""
    found = []
    for place, name in enumerate(names):
        runs = members.get(name, {})
        known = kept.get((arm, name))
        if known is None or known[0] != len(runs):
            kept[arm, name] = known = (len(runs), _mean_course(place, list(runs.values())))
        if known[1] is not None:
            found.append(known[1])
    return found


def _mean_course(place: int, runs: Sequence[RunRecord]) -> dict[str, Any] | None:
    """Return the median course of runs with the range that holds the middle 80% of them; None without any."""
    curves = [run.curve for run in runs if run.curve is not None and len(run.curve.valid)]
    if not curves:
        return None
    epochs = _thinned(max(len(curve.valid) for curve in curves))
    shown: dict[str, Any] = {"recipe": place, "runs": len(curves), "epoch": epochs}
    for field in ("valid", "train_loss"):
        table = np.array([_held(getattr(curve, field), epochs) for curve in curves])
        table[~np.isfinite(table)] = np.nan
        columns = [sorted(column[~np.isnan(column)].tolist()) for column in table.T]
        shown[field] = _numbers(_quantile(column, 0.5) for column in columns)
        if field == "valid" and len(curves) > 1:
            shown["low"] = _numbers(_quantile(column, 0.1) for column in columns)
            shown["high"] = _numbers(_quantile(column, 0.9) for column in columns)
    return shown


def _thinned(length: int) -> list[int]:
    if length <= POINTS:
        return list(range(length))
    return sorted(set(np.linspace(0, length - 1, POINTS).round().astype(int).tolist()))


def _held(values: Any, epochs: Sequence[int]) -> list[float]:
    """Return a course at epochs; what stopped early stays as it was."""
    return [float(values[min(epoch, len(values) - 1)]) for epoch in epochs]


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else math.nan


def _now(reader: Reader, progress: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the runs that train, those furthest from their end last."""
    why = {entry.run: entry for entry in reader.entries}
    place = {name: i for i, name in enumerate(names)}
    found: list[dict[str, Any]] = []
    for course in _courses(progress):
        if course["run"] in reader.runs:
            continue
        entry = why.get(course["run"])
        found.append(
            {
                "recipe": place.get(entry.recipe, 0) if entry else 0,
                "arm": entry.arm if entry else "",
                "seed": course.get("seed"),
                "done": course.get("done"),
                "of": course.get("of"),
                "epoch": course.get("epoch") or [],
                "valid": _numbers(course.get("valid") or []),
                "train_loss": _numbers(course.get("train_loss") or []),
            }
        )
    found.sort(key=lambda run: -(run["done"] or 0) / (run["of"] or 1))
    return found[:SHOWN]


def _ahead(arms: Mapping[str, Members], names: Sequence[str], *, higher: bool) -> dict[str, Any] | None:
    """Return the recipes that have runs, in the order of their validation metric, on the same seeds if there are any.

    The test split is not looked at: that is the verdict's to do, once.
    """
    arm = next((arm for arm in ("chosen", "defaults", "tuning") if arm in arms), None)
    if arm is None or len(names) < 2:
        return None
    members = arms[arm]
    sign = 1.0 if higher else -1.0
    rows = []
    common: set[tuple[int, int]] = set.intersection(*map(set, members.values()))
    paired = bool(common) and arm != "tuning"
    for place, name in enumerate(names):
        runs = members.get(name, {})
        scores = [_score(run) for key, run in runs.items() if not paired or key in common]
        scores = [score for score in scores if math.isfinite(score)]
        if scores:
            value = max(scores, key=lambda s: sign * s) if arm == "tuning" else sum(scores) / len(scores)
            rows.append({"recipe": place, "value": value, "runs": len(scores)})
    rows.sort(key=lambda row: -sign * row["value"])
    return {"arm": arm, "paired": paired, "rows": rows} if rows else None


def _score(run: RunRecord) -> float:
    """Return the validation metric; of what diverged, that of the untrained model it began as."""
    if math.isfinite(run.valid) or run.curve is None or not len(run.curve.valid):
        return run.valid
    return float(run.curve.valid[0])


def _failures(reader: Reader, names: Sequence[str]) -> list[dict[str, Any]]:
    why = {entry.run: entry for entry in reversed(reader.entries)}
    place = {name: i for i, name in enumerate(names)}
    found = []
    for identity, run in reader.runs.items():
        if run.status != "finished":
            entry = why.get(identity)
            found.append(
                {
                    "recipe": place.get(entry.recipe, 0) if entry else 0,
                    "arm": entry.arm if entry else "",
                    "seed": run.seed,
                    "status": run.status,
                    "reason": run.reason,
                }
            )
    return found[-SHOWN:]


def _numbers(values: Iterable[Any]) -> list[float | None]:
    return [None if x is None or not math.isfinite(x) else float(f"{x:.5g}") for x in values]
