"""What a study runs: which recipes, at which settings, on which seeds, and under which identity.

Every recipe gets the same: its defaults and independent draws from its space in tuning, each trial on its own
tuning seed; then its defaults and its chosen setting on the same fresh seeds; and a small arm over rates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import Recipe, Settings, Together
from thalweg.recipe.roles import NUMBERS, SHAPING
from thalweg.record import SCHEMA, Entry, RunRecord
from thalweg.task import Task
from thalweg.technique import Choice
from thalweg.train import Member
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.made import check_made
from thalweg.train.passes import check_passes

__all__ = [
    "Job",
    "Planned",
    "Protocol",
    "best_trial",
    "check_schedules",
    "chosen_arm",
    "draws_kinds",
    "first_arms",
    "identity",
    "kinds",
    "like",
    "rates",
    "tuning",
]


@dataclass(frozen=True)
class Protocol:
    """How much a study spends on each recipe; the same for all.

    Args:
        trials: settings tried in tuning: the defaults, and ``trials − 1`` draws; 0 where nothing is tuned, and each
            recipe has its one setting.
        seeds: fresh seeds on which the chosen setting and the defaults are measured.
        rates, rate_seeds: the sensitivity arm: learning rates, and seeds for each.
        seed: of the study: everything drawn in it follows from it.
    """

    trials: int = 8
    seeds: int = 10
    rates: int = 7
    rate_seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("trials", 0), ("seeds", 1), ("rates", 0), ("rate_seeds", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")

    def as_dict(self) -> dict[str, int]:
        """Return its fields."""
        return asdict(self)

    def runs(self, recipes: Mapping[str, Recipe]) -> int:
        """Return how many runs there are, at most: chosen settings that equal the defaults are run once."""
        if not self.trials:
            return self.seeds * len({recipe.toml() for recipe in recipes.values()})
        searched = sum(self.trials if recipe.space() else 1 for recipe in recipes.values())
        return searched + 2 * self.seeds * len(recipes) + self.rate_runs(recipes)

    def rate_runs(self, recipes: Mapping[str, Recipe]) -> int:
        """Return how many of the runs are for the sensitivity to the learning rate."""
        return self.rate_seeds * sum(len(rates(recipe, self.rates)) for recipe in recipes.values() if self.trials)


def tuning(*, trials: int, seeds: int, seed: int) -> Protocol:
    """Return the protocol of a study that tunes its recipes: with one trial at least."""
    if trials == 0 and not isinstance(trials, bool):
        raise InputError("trials takes a whole number from 1 up, not 0")
    return Protocol(trials=trials, seeds=seeds, seed=seed)


@dataclass(frozen=True)
class Job:
    """A run to be made, and its identity."""

    identity: str
    member: Member


@dataclass(frozen=True)
class Planned:
    """Runs to be made and why; a run that serves several entries is there once."""

    jobs: dict[str, Job]
    entries: list[Entry]


def identity(fingerprint: Mapping[str, str], recipe: Recipe, seed: int) -> str:
    """Return a run's identity: a hash of the task's fingerprint, the resolved recipe, and the seed."""
    whole = json.dumps([SCHEMA, dict(sorted(fingerprint.items())), recipe.toml(), seed])
    return hashlib.sha256(whole.encode()).hexdigest()


def _seeds(protocol: Protocol, purpose: str, count: int) -> list[int]:
    key = Key(protocol.seed) / purpose
    return [(key / i).integer() for i in range(count)]


class _Gather:
    def __init__(self, fingerprint: Mapping[str, str]) -> None:
        self.fingerprint = fingerprint
        self.planned = Planned({}, [])

    def add(self, arm: str, name: str, setting: int, repeat: int, recipe: Recipe, seed: int) -> None:
        job = Job(identity(self.fingerprint, recipe, seed), Member(recipe, seed))
        self.planned.jobs.setdefault(job.identity, job)
        self.planned.entries.append(Entry(arm, name, setting, repeat, job.identity))


def trial_settings(name: str, recipe: Recipe, protocol: Protocol) -> list[Settings]:
    """Return what each trial draws: nothing first, the defaults; then draws keyed by recipe and trial."""
    if not recipe.space():
        return [{}]
    key = Key(protocol.seed) / "draw" / name
    return [{}, *(recipe.draw(key / trial) for trial in range(1, protocol.trials))]


def kinds(recipes: Mapping[str, Recipe], protocol: Protocol) -> list[Together]:
    """Return what runs of a study have in common with those that they can train together with, each once."""
    found = []
    for name, recipe in recipes.items():
        settings = trial_settings(name, recipe, protocol) if draws_kinds(recipe) else [{}]
        found += [recipe.resolved(drawn).together() for drawn in settings]
    return list(dict.fromkeys(found))


def like(together: Together) -> Together:
    """Return what kinds share that differ in the numbers of their techniques alone."""
    return replace(together, shaping=tuple((role, part.technique()) for role, part in together.shaping))


def draws_kinds(recipe: Recipe) -> bool:
    """Return whether a recipe's trials may differ in how long they take and in whom they can train together with."""
    roles = {*NUMBERS, *SHAPING} - {"dropout"}  # whose rates are each run's own
    return any(path.partition(".")[0] in roles for path in recipe.space())


def first_arms(recipes: Mapping[str, Recipe], protocol: Protocol, fingerprint: Mapping[str, str]) -> Planned:
    """Return what can run before anything is known: tuning, defaults, and the sensitivity to the rate."""
    gather = _Gather(fingerprint)
    tuning_seeds = _seeds(protocol, "tuning", protocol.trials)
    seeds = _seeds(protocol, "reporting", protocol.seeds)
    rate_seeds = _seeds(protocol, "sensitivity", protocol.rate_seeds)
    for name, recipe in recipes.items():
        for trial, settings in enumerate(trial_settings(name, recipe, protocol)[: protocol.trials]):
            gather.add("tuning", name, trial, 0, recipe.resolved(settings), tuning_seeds[trial])
        for repeat, seed in enumerate(seeds):
            gather.add("defaults", name, 0, repeat, recipe.resolved(), seed)
        for setting, rate in enumerate(rates(recipe, protocol.rates)):
            for repeat, seed in enumerate(rate_seeds):
                gather.add("sensitivity", name, setting, repeat, recipe.resolved({"optimizer.lr": rate}), seed)
    return gather.planned


def check_schedules(task: Task, name: str, recipes: Iterable[Recipe]) -> None:
    """Refuse resolved recipes whose schedule is longer than the run, or whose passes or techniques do not fit.

    Raises:
        InputError: with the recipe's name.
    """
    for recipe in recipes:
        try:
            check_passes(task, recipe)
            check_made(task, recipe)
        except InputError as error:
            raise InputError(f"recipe {name}: {error}") from error
        try:
            recipe.schedule.resolved(recipe.sizes()[1] * steps_per_epoch(task, recipe))
        except InputError as error:
            raise InputError(f"recipe {name}: {error}; make it shorter, or train longer") from error


def chosen_arm(
    recipes: Mapping[str, Recipe],
    protocol: Protocol,
    fingerprint: Mapping[str, str],
    best: Mapping[str, int],
) -> Planned:
    """Return the runs of each recipe's chosen trial, its defaults where there was none, on the reporting seeds."""
    gather = _Gather(fingerprint)
    for name, recipe in recipes.items():
        settings = trial_settings(name, recipe, protocol)[best.get(name, 0)]
        for repeat, seed in enumerate(_seeds(protocol, "reporting", protocol.seeds)):
            gather.add("chosen", name, 0, repeat, recipe.resolved(settings), seed)
    return gather.planned


def best_trial(entries: Iterable[Entry], runs: Mapping[str, RunRecord], *, higher_is_better: bool) -> dict[str, int]:
    """Return each recipe's best trial by the validation metric after its last step; the defaults, if none ended."""
    best: dict[str, tuple[float, int]] = {}
    for entry in entries:
        valid = runs[entry.run].valid
        score = (valid if higher_is_better else -valid) if np.isfinite(valid) else -np.inf
        if entry.recipe not in best or score > best[entry.recipe][0]:
            best[entry.recipe] = (score, entry.setting)
    return {name: trial for name, (_, trial) in best.items()}


def rates(recipe: Recipe, count: int) -> list[float]:
    """Return the learning rates of the sensitivity arm: even in the logarithm, over the space of ``lr``.

    >>> from thalweg.recipe import Recipe
    >>> [f"{rate:.0e}" for rate in rates(Recipe(), 5)]
    ['1e-05', '1e-04', '1e-03', '1e-02', '1e-01']
    """
    place = recipe.optimizer.space().get("lr") or recipe.optimizer.technique.space.get("lr")
    if place is None or isinstance(place, Choice) or count < 1:
        return []
    return [float(f"{place.at(u):.6g}") for u in np.linspace(0, 1, count)]
