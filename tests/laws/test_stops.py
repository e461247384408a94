"""Laws of ways to stop: a new one is covered at once."""

import json
import math
import random

import pytest

from thalweg import stop

TECHNIQUES = list(stop.CATALOGUE.values())
each = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)


def courses():
    """Return metrics by epoch: falling, noisy, constant, broken off by NaN, infinite."""
    noise = random.Random(0)
    falling = [1 / epoch for epoch in range(1, 40)]
    noisy = [1 / epoch + 0.2 * noise.random() for epoch in range(1, 40)]
    ticks = [round(noise.random(), 1) for _ in range(40)]  # with ties
    return [falling, noisy, ticks, [0.5] * 40, [0.9, 0.8, *[math.nan] * 38], [math.nan, math.inf, 0.3, *[0.4] * 30]]


def watched(ingredient, metrics, **direction):
    """Return what was seen and said after each epoch, up to the end or the stop."""
    seen, said = ingredient.start(**direction), []
    for metric in metrics:
        seen, now = ingredient.observe(seen, metric)
        said.append((seen, now))
        if now:
            break
    return said


@each
def test_it_is_pure_and_its_state_goes_through_json(technique):
    for metrics in courses():
        seen = technique().start()
        for metric in metrics:
            again = json.loads(json.dumps(seen, allow_nan=False))
            following = technique().observe(seen, metric)
            assert technique().observe(seen, metric) == following
            assert technique().observe(again, metric) == following
            seen, now = following
            if now:
                break


@each
def test_what_is_better_turned_round_is_the_same(technique):
    for metrics in courses():
        lower = watched(technique(), metrics)
        higher = watched(technique(), [-metric for metric in metrics], higher_is_better=True)
        assert [(seen.epoch, seen.best_epoch, now) for seen, now in lower] == [
            (seen.epoch, seen.best_epoch, now) for seen, now in higher
        ]
        assert [seen.best for seen, _ in lower] == [seen.best and -seen.best for seen, _ in higher]


@each
def test_the_best_epoch_is_the_first_of_the_best_metrics(technique):
    for metrics in courses():
        for epoch, (seen, _) in enumerate(watched(technique(), metrics), 1):
            known = [metric for metric in metrics[:epoch] if metric < math.inf]
            assert seen.epoch == epoch
            assert seen.best == min(known, default=None)
            assert seen.best_epoch == (metrics.index(min(known)) + 1 if known else 0)


@each
def test_who_always_improves_goes_on(technique):
    assert not any(now for _, now in watched(technique(), courses()[0]))
