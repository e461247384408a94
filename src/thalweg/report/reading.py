"""What a study's records say, gathered by recipe and arm; every other file here starts from a Study."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.record import Entry, RecipeRow, RunRecord, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Member", "Study", "differences", "flat", "read"]


@dataclass(frozen=True)
class Member:
    """One run in its place: why it was made, and what it left."""

    entry: Entry
    run: RunRecord


@dataclass(frozen=True)
class Study:
    """A study as it stands, finished or not.

    ``members[arm][recipe]`` lists the runs that are there, in the order of setting and repeat; ``planned``
    counts the runs that the study has asked for so far, ``finished`` those that are there. ``manners`` counts them by
    how they were trained.
    """

    directory: Path
    task: dict[str, Any]
    protocol: dict[str, Any]
    environment: dict[str, Any]
    plan: dict[str, Any]
    verdict: dict[str, Any] | None
    recipes: list[RecipeRow]
    members: dict[str, dict[str, list[Member]]] = field(repr=False)
    planned: int
    finished: int
    techniques: list[dict[str, Any]] = field(default_factory=list)
    manners: dict[str, int] = field(default_factory=dict)

    def arm(self, arm: str, recipe: str) -> list[Member]:
        """Return one recipe's runs in one arm; empty where there are none yet."""
        return self.members.get(arm, {}).get(recipe, [])

    @property
    def names(self) -> list[str]:
        """The recipes' names, in the order in which the user named them."""
        return [recipe.name for recipe in self.recipes]

    @property
    def compares(self) -> bool:
        """Whether recipes are compared here, rather than one trained once."""
        return len(self.recipes) > 1 or bool(self.protocol.get("trials"))

    @property
    def tuned(self) -> bool:
        """Whether recipes were tuned, so that each has a chosen setting beside its defaults."""
        return bool(self.protocol.get("trials"))

    @property
    def ablation(self) -> dict[str, Any] | None:
        """What each ingredient of a recipe is worth, where that is what the study asks."""
        return (self.verdict or {}).get("ablation")

    @property
    def baselines(self) -> dict[str, Any] | None:
        """The classical models beside the recipes, where there are any."""
        return (self.verdict or {}).get("baselines")

    @cached_property
    def order(self) -> list[str]:
        """The recipes' names, best mean first; those that have none come last, in the user's order."""
        means = {name: self.mean(name) for name in self.names}
        sign = -1.0 if self.higher_is_better else 1.0
        known = [name for name in self.names if means[name] is not None]
        known.sort(key=lambda name: sign * (means[name] or 0.0))
        return known + [name for name in self.names if means[name] is None]

    @property
    def higher_is_better(self) -> bool:
        """Which way the metric points."""
        return bool(self.task.get("metric", {}).get("higher_is_better", True))

    @cached_property
    def judged(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The verdict's line on a (recipe, arm)."""
        rows = (self.verdict or {}).get("recipes") or []
        return {(row.get("name", ""), row.get("arm", "chosen")): row for row in rows}

    def mean(self, recipe: str, arm: str = "chosen") -> float | None:
        """Return the mean test metric: the verdict's, which may refuse one, or that of the runs that are there."""
        row = self.judged.get((recipe, arm))
        if row is not None:
            return None if row.get("mean") is None else float(row["mean"])
        return average(member.run.test for member in self.arm(arm, recipe))

    @property
    def group(self) -> dict[str, str]:
        """Where the verdict sees each recipe: "first" (the best, and those tied with it), "behind", or nowhere."""
        verdict = {} if self.ablation else self.verdict or {}
        first = {verdict.get("best"), *(verdict.get("tied") or [])}
        judged = {name for name in self.names if self.judged.get((name, "chosen"), {}).get("mean") is not None}
        return {name: "first" if name in first else "behind" if name in judged else "" for name in self.names}


def average(values: Iterator[float]) -> float | None:
    """Return the mean of the values that are numbers, or None where there are none."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else None


def read(directory: Path | str) -> Study:
    """Read a study's records.

    Raises:
        StoreError: there is no study, it is of another version, or no recipe was ever written to it.
    """
    with Store(directory) as store:
        recipes = store.recipes()
        if not recipes:
            raise StoreError(f"{store.path} names no recipe: the study was stopped before it began")
        facts = {
            name: store.get(name) for name in ("task", "protocol", "environment", "plan", "verdict", "techniques")
        }
        entries = store.entries()
        runs = store.runs(curves=True)
    if not entries:  # one recipe trained outside any arm
        entries = [Entry("chosen", recipes[0].name, 0, i, run) for i, run in enumerate(runs)]
    members: dict[str, dict[str, list[Member]]] = {}
    for entry in entries:
        if entry.run in runs:
            member = Member(entry, _scored(runs[entry.run]))
            members.setdefault(entry.arm, {}).setdefault(entry.recipe, []).append(member)
    protocol = facts["protocol"] or {}
    asked = len({entry.run for entry in entries} | runs.keys())
    return Study(
        directory=Path(directory),
        task=facts["task"] or {},
        protocol=protocol,
        environment=facts["environment"] or {},
        plan=facts["plan"] or {},
        verdict=facts["verdict"],
        recipes=recipes,
        members=members,
        planned=max(asked, int(protocol.get("runs") or 0)),
        finished=len(runs),
        techniques=facts["techniques"] or [],
        manners=dict(Counter(run.executor.partition(",")[0] for run in runs.values()).most_common()),
    )


def _scored(run: RunRecord) -> RunRecord:
    """Score a run that left no validation metric by the untrained model it began as."""
    if run.valid == run.valid or run.curve is None or not len(run.curve.valid):
        return run
    return replace(run, valid=float(run.curve.valid[0]))


# -- recipes -------------------------------------------------------------------------------------------


def flat(toml: str) -> dict[str, Any]:
    r"""Return a recipe's values by dotted path; a text that is not TOML has none.

    >>> flat('epochs = 3\n[optimizer]\nname = "sgd"\nlr = 0.1\n[[schedule]]\nname = "cosine"')
    {'epochs': 3, 'optimizer.name': 'sgd', 'optimizer.lr': 0.1, 'schedule.0.name': 'cosine'}
    """
    try:
        return dict(_leaves("", tomllib.loads(toml)))
    except tomllib.TOMLDecodeError:
        return {}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        children = {str(i): item for i, item in enumerate(value)}.items()
    else:
        yield path, value
        return
    for key, child in children:
        yield from _leaves(f"{path}.{key}" if path else key, child)


def differences(resolved: str, defaults: str) -> list[tuple[str, Any]]:
    r"""Return what one recipe sets otherwise than another, each by the shortest name that is not ambiguous.

    >>> differences("[optimizer]\nlr = 0.03\nbeta1 = 0.9", "[optimizer]\nlr = 0.001\nbeta1 = 0.9")
    [('lr', 0.03)]
    """
    values, others = flat(resolved), flat(defaults)
    last = Counter(path.rpartition(".")[2] for path in values)
    return [
        (path if last[path.rpartition(".")[2]] > 1 else path.rpartition(".")[2], value)
        for path, value in values.items()
        if others.get(path) != value
    ]
