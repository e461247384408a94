"""How long a study will take, and how much of one fits into a time."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.study.plan import Job, Protocol, draws_kinds, rates, trial_settings
from thalweg.task import Task
from thalweg.train.around import gradients_a_step
from thalweg.train.augmented import augment_seconds
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.planner import Plan

__all__ = [
    "Arm", "arms", "counts", "duration", "expected_seconds", "fit", "parse_duration", "span", "whole_study", "work",
]  # fmt: skip

Arm = Sequence[tuple[Recipe, int]]
"""Runs that may train at the same time: resolved recipes, and how many runs there are of each."""

OVERHEAD = 1.25
"""What measuring in a short trial misses: workers starting, making models, writing records."""

ENDING = 1.0
"""CPU seconds of one process after the last run: the verdict and the report."""

MOST_TRIALS, MOST_SEEDS = 64, 80
"""As much of each as a budget buys, however long: the best of 64 draws is among the best twentieth of a space in 24
studies of 25, and beyond 80 seeds the test examples alone set how wide an interval is."""


def expected_seconds(task: Task, jobs: Iterable[Job], plans: Mapping[Together, Plan], at_once: float) -> float:
    """Return the wall seconds that jobs are expected to take.

    Args:
        task, jobs, plans: what is run, and how.
        at_once: how many cores really work at once; see `thalweg.study.machine.at_once`.
    """
    return OVERHEAD * _wall(task, list(Counter(job.member.recipe for job in jobs).items()), plans, at_once)


def whole_study(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, plans: Mapping[Together, Plan], at_once: float
) -> float:
    """Return the wall seconds of all arms, the verdict and the report."""
    walls = [_wall(task, arm, plans, at_once) for arm in arms(recipes, protocol)]
    return OVERHEAD * sum(walls) + ENDING / min(at_once, 1.0)


def _wall(task: Task, arm: Arm, plans: Mapping[Together, Plan], at_once: float) -> float:
    """Return the wall seconds of an arm on a number of cores that need not be whole, as others work there too."""
    cores = math.ceil(at_once)
    return span(task, arm, plans, cores) * cores / at_once


def span(task: Task, arm: Arm, plans: Mapping[Together, Plan], cores: int) -> float:
    """Return the seconds that an arm takes, each run begun as soon as there are cores for it, the longest first.

    Runs of a population count as if they came one after the other, which takes as long.
    """
    runs = [
        (_seconds(task, recipe, plans) / plan.threads, plan.share(cores), count)
        for recipe, count in arm
        for plan in [plans[recipe.together()]]
    ]
    now, free, busy = 0.0, float(cores), list[tuple[float, float]]()
    for seconds, share, count in sorted(runs, reverse=True):
        for _ in range(count):
            while free + 1e-9 < share:
                now, given = heapq.heappop(busy)
                free += given
            heapq.heappush(busy, (now + seconds, share))
            free -= share
    return max((end for end, _ in busy), default=0.0)


def work(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, plans: Mapping[Together, Plan]
) -> dict[Together, float]:
    """Return the CPU seconds of all arms, by what runs have in common with those that they train together with."""
    found: dict[Together, float] = {}
    for arm in arms(recipes, protocol):
        for recipe, count in arm:
            together = recipe.together()
            found[together] = found.get(together, 0.0) + count * _seconds(task, recipe, plans)
    return found


def arms(recipes: Mapping[str, Recipe], protocol: Protocol) -> list[Arm]:
    """Return what is run before anything is chosen, and what after.

    What is chosen, not known yet, is taken to be the defaults, as are draws of what changes no run's seconds.
    """
    if not protocol.trials:
        different = {recipe.toml(): recipe for recipe in recipes.values()}.values()
        return [[(recipe.resolved(), protocol.seeds) for recipe in different]]
    first: list[tuple[Recipe, int]] = []
    for name, recipe in recipes.items():
        count = protocol.seeds + len(rates(recipe, protocol.rates)) * protocol.rate_seeds
        if draws_kinds(recipe):
            first += [(recipe.resolved(drawn), 1) for drawn in trial_settings(name, recipe, protocol)]
        else:
            count += protocol.trials if recipe.space() else 1
        first.append((recipe.resolved(), count))
    return [first, [(recipe.resolved(), protocol.seeds) for recipe in recipes.values()]]


def counts(arms: Iterable[Arm]) -> dict[Together, int]:
    """Return how many runs of a kind there are at the same time, at most."""
    found: dict[Together, int] = {}
    for arm in arms:
        own: Counter[Together] = Counter()
        for recipe, count in arm:
            own[recipe.together()] += count
        found.update({kind: max(count, found.get(kind, 0)) for kind, count in own.items()})
    return found


def _seconds(task: Task, recipe: Recipe, plans: Mapping[Together, Plan]) -> float:
    """Return the CPU seconds of one run of a resolved recipe."""
    epochs = recipe.sizes()[1]
    steps = epochs * steps_per_epoch(task, recipe) * gradients_a_step(recipe)
    return plans[recipe.together()].seconds(steps, epochs) + steps * augment_seconds(task, recipe)


def fit(
    seconds: float,
    task: Task,
    recipes: Mapping[str, Recipe],
    protocol: Protocol,
    plans: Mapping[Together, Plan],
    at_once: float,
) -> Protocol:
    """Return the protocol with trials and seeds scaled alike, for all recipes, so that it takes at most ``seconds``.

    There are at most `MOST_TRIALS` and `MOST_SEEDS`, or as many as the protocol has: of a small model a long budget
    would buy thousands, which say no more.

    Raises:
        InputError: not even the smallest study, of two trials and three seeds, fits.
    """

    def scaled(factor: float) -> Protocol:
        return replace(
            protocol,
            trials=min(max(2, round(factor * protocol.trials)), max(MOST_TRIALS, protocol.trials)),
            seeds=min(max(3, round(factor * protocol.seeds)), max(MOST_SEEDS, protocol.seeds)),
            rate_seeds=min(protocol.rate_seeds, max(1, round(factor * protocol.rate_seeds))),
        )

    least = whole_study(task, recipes, scaled(0), plans, at_once)
    if least > seconds:
        raise InputError(
            f"a budget of {duration(seconds)} is too small: two trials and three seeds of each recipe take about "
            f"{duration(least)}; allow that, or compare fewer recipes or epochs"
        )
    low, high = 0.0, 1.0
    while whole_study(task, recipes, scaled(high), plans, at_once) <= seconds and high < 100:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        fits = whole_study(task, recipes, scaled(middle), plans, at_once) <= seconds
        low, high = (middle, high) if fits else (low, middle)
    return scaled(low)


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    >>> parse_duration("20m"), parse_duration("1h30m"), parse_duration("45s")
    (1200.0, 5400.0, 45.0)

    Raises:
        InputError: text that is not hours, minutes or seconds, or nothing at all.
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    seconds = sum(float(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not seconds:
        raise InputError(f'"{text}" is not a length of time; write 20m, 1h30m or 45s')
    return float(seconds)


def duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> duration(8), duration(95), duration(4000)
    ('8 s', '1 min 35 s', '1 h 6 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h {whole % 3600 // 60} min"
