"""How long a study will take, and how much of one fits into a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.study.plan import Job, Protocol, draws_kinds, rates, trial_settings
from thalweg.task import Task
from thalweg.train.around import gradients_a_step
from thalweg.train.augmented import augment_seconds
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.planner import Plan

__all__ = ["duration", "expected_seconds", "fit", "parse_duration", "whole_study", "work"]

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
        at_once: how many processes really work at once; see `thalweg.study.machine.at_once`.
    """
    return OVERHEAD * sum(_seconds(task, job.member.recipe, plans) for job in jobs) / at_once


def whole_study(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, plans: Mapping[Together, Plan], at_once: float
) -> float:
    """Return the wall seconds of all arms, the verdict and the report.

    The chosen arm, not known yet, is taken to cost what the defaults do.
    """
    return OVERHEAD * sum(work(task, recipes, protocol, plans).values()) / at_once + ENDING / min(at_once, 1.0)


def work(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, plans: Mapping[Together, Plan]
) -> dict[Together, float]:
    """Return the CPU seconds of all arms, by what runs have in common with those that they train together with."""
    found: dict[Together, float] = {}

    def add(recipe: Recipe, times: int) -> None:
        together = recipe.together()
        found[together] = found.get(together, 0.0) + times * _seconds(task, recipe, plans)

    if not protocol.trials:
        for recipe in {recipe.toml(): recipe for recipe in recipes.values()}.values():
            add(recipe.resolved(), protocol.seeds)
        return found
    for name, recipe in recipes.items():
        add(recipe.resolved(), 2 * protocol.seeds + len(rates(recipe, protocol.rates)) * protocol.rate_seeds)
        if draws_kinds(recipe):
            for drawn in trial_settings(name, recipe, protocol):
                add(recipe.resolved(drawn), 1)
        else:
            add(recipe.resolved(), protocol.trials if recipe.space() else 1)
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
