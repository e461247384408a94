"""What should make a reader doubt a verdict, each in one sentence with its remedy."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thalweg.recipe import CATALOGUES
from thalweg.study.wording import claims, joined
from thalweg.technique import limits_of

if TYPE_CHECKING:
    from thalweg.study.verdict import Arm

__all__ = ["edges", "failures", "few_seeds", "special_cases", "unjudged"]

EDGE = 0.1
"""The outer share of a range, at either end, that is its edge."""


def unjudged(verdict: Mapping[str, Any]) -> list[str]:
    """Name the recipes that could not be judged, with the reason."""
    diverged = verdict.get("diverged") or []
    return [
        f"{name} was not judged: {reason.rstrip('.')}{'; search lower learning rates' if name in diverged else ''}."
        for name, reason in verdict["unjudged"].items()
    ]


def few_seeds(seeds: int) -> list[str]:
    """Say that intervals from few seeds are wide.

    >>> few_seeds(3), few_seeds(10)
    (['With 3 seeds the intervals are wide; 10 or more make them narrow.'], [])
    """
    if seeds == 1:
        return ["With one seed there are no intervals, and nothing can be claimed; measure with 10 or more."]
    return [f"With {seeds} seeds the intervals are wide; 10 or more make them narrow."] if 1 < seeds < 5 else []


def failures(arms: Mapping[str, Mapping[str, Arm]]) -> list[str]:
    """Say how many runs of each recipe diverged or failed, in which arm, and why the first did.

    Args:
        arms: ``"chosen"`` and ``"defaults"``, each by recipe.
    """
    found: list[str] = []
    for name in (name for name, arm in arms["chosen"].items() if not arm.lost):
        bad = [(kind, arms[kind][name]) for kind in ("chosen", "defaults") if name in arms[kind]]
        bad = [(kind, arm) for kind, arm in bad if arm.failures and arm.scores is not None]
        if bad:
            where = {"chosen": "at its chosen setting", "defaults": "at its defaults"}
            counts = joined([f"{arm.failures} of {arm.runs} runs {where[kind]}" for kind, arm in bad])
            found.append(f"{name} diverged in {counts} ({bad[0][1].reason.rstrip('.')}).")
    return found


def edges(declared: Mapping[str, str], trials: Mapping[str, Sequence[tuple[str, float]]]) -> list[str]:
    """Name the recipes whose chosen setting lies at the edge of what was searched.

    The best trial lies in an outer tenth of the range, and the second best in the same third: where a hyperparameter
    makes no difference, the first alone happens to one recipe in five, both to one in fifteen. A default that was
    chosen is no reason to search farther, nor is an end beyond which the hyperparameter has no values.

    Args:
        declared: every recipe as TOML, ranges included.
        trials: of each recipe, the resolved recipe as TOML with its score, higher is better, NaN for none; its
            defaults first.
    """
    found = []
    for name, tried in trials.items():
        scored = sorted((t for t in tried if math.isfinite(t[1])), key=lambda t: -t[1])
        if len(scored) < 2:
            continue
        best, second, default = (_flat(tomllib.loads(recipe)) for recipe, _ in (*scored[:2], tried[0]))
        for path, place in _ranges(tomllib.loads(declared[name])).items():
            shares = [_share(values.get(path), place) for values in (best, second)]
            at_low, at_high = max(shares[0] / EDGE, 3 * shares[1]), max((1 - shares[0]) / EDGE, 3 * (1 - shares[1]))
            end = "low" if at_low < 1 else "high" if at_high < 1 else None
            if end and best[path] != default.get(path) and not _is_natural(place[end], path, best):
                label = path.rpartition(".")[2]
                found.append(
                    f"{name} ({label} {best[path]:.3g}, the {end} end of {place['low']:g} to {place['high']:g})"
                )
    if not found:
        return []
    its = "its" if len(found) == 1 else "their"
    return [
        f"The best trial lies at the edge of {its} search space: {joined(found)}; widen it there and compare again."
    ]


def _is_natural(end: float, path: str, recipe: Mapping[str, Any]) -> bool:
    """Return whether a hyperparameter of a recipe has no values beyond the end of its range."""
    part, _, name = path.rpartition(".")
    technique = CATALOGUES.get(part.partition(".")[0], {}).get(recipe.get(f"{part}.name", ""))
    if technique is None:
        return False
    return end in map(float, limits_of(technique, name).removeprefix("whole ").strip("[]()").split(","))


def special_cases(
    verdict: Mapping[str, Any], declared: Mapping[str, str], generalises: Mapping[str, Sequence[str]]
) -> list[str]:
    """Name the recipes that lost to a special case of theirs, which a search wide enough would have found.

    Only recipes that are alike in all but the optimizer are held against each other.
    """
    recipes = {name: tomllib.loads(text) for name, text in declared.items()}
    optimizer = {name: _optimizer(recipe) for name, recipe in recipes.items()}
    rest = {name: {k: v for k, v in recipe.items() if k != "optimizer"} for name, recipe in recipes.items()}
    return [
        f"{better} is ahead of {worse}, of which it is a special case: the search space of {worse} or its number of "
        "trials is at fault, not the technique."
        for better, worse in sorted(claims(verdict))
        if optimizer[better] in generalises.get(optimizer[worse], ()) and rest[better] == rest[worse]
    ]


def _optimizer(recipe: Mapping[str, Any]) -> str:
    table = recipe.get("optimizer", {})
    return str(table.get("name", "") if isinstance(table, dict) else table)


def _is_range(value: Any) -> bool:
    return isinstance(value, dict) and {"low", "high"} <= value.keys()


def _ranges(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {path: value for path, value in _flat(recipe).items() if _is_range(value)}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return a recipe's values and ranges by dotted path, list elements by their number."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(i): item for i, item in enumerate(value)}
    if not isinstance(value, dict) or _is_range(value):
        return {path: value}
    found: dict[str, Any] = {}
    for key, child in value.items():
        found |= _flat(child, f"{path}.{key}" if path else key)
    return found


def _share(value: Any, place: Mapping[str, Any]) -> float:
    """Return the share of a range that lies below a value, on the range's own scale; a half where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.5
    low, high, at = float(place["low"]), float(place["high"]), float(value)
    if place.get("scale") == "log":
        if at <= 0:
            return 0.0
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)
