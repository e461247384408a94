"""How long, and how much of a study fits."""

from dataclasses import replace

import pytest

import thalweg as tw
from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.study.budget import expected_seconds, fit, parse_duration, whole_study
from thalweg.study.plan import Protocol, first_arms
from thalweg.train.planner import Plan

RECIPES = {"sgd": tw.Recipe(tw.optim.sgd(), epochs=10), "adam": tw.Recipe(tw.optim.adam(), epochs=10)}
PLANS = {Together(): Plan("vmapped", 32, 0.001, 0.002, "")}


@pytest.mark.parametrize("seconds", [2, 5, 20, 300])
def test_what_fits_uses_the_budget_and_no_more(linear_task, seconds):
    found = fit(seconds, linear_task, RECIPES, Protocol(), PLANS, 2)
    expected = whole_study(linear_task, RECIPES, found, PLANS, 2)
    assert 0.6 * seconds <= expected <= seconds


@pytest.mark.parametrize("sizes", [64, tw.Choice((64, 128))])
def test_a_whole_study_takes_as_long_as_its_runs(linear_task, sizes):
    """The chosen settings are not known yet, and taken to cost what the defaults do."""
    recipes = {name: replace(recipe, batch_size=sizes) for name, recipe in RECIPES.items()}
    plans = PLANS | {Together(batch_size=128): Plan("vmapped", 32, 0.003, 0.002, "")}
    planned = first_arms(recipes, Protocol(), {})
    again = [planned.jobs[entry.run] for entry in planned.entries if entry.arm == "defaults"]
    jobs = [*planned.jobs.values(), *again]
    found = whole_study(linear_task, recipes, Protocol(), plans, 2)
    assert found == pytest.approx(expected_seconds(linear_task, jobs, plans, 2), rel=1e-9)


def test_trials_and_seeds_grow_alike(linear_task):
    small = fit(3, linear_task, RECIPES, Protocol(), PLANS, 2)
    large = fit(30, linear_task, RECIPES, Protocol(), PLANS, 2)
    assert large.trials > 2 * small.trials
    assert large.seeds / large.trials == pytest.approx(10 / 8, rel=0.1)


def test_twice_the_processes_take_half_the_time(linear_task):
    times = [whole_study(linear_task, RECIPES, Protocol(), PLANS, processes) for processes in (1, 2)]
    assert times[0] == pytest.approx(2 * times[1])


def test_a_budget_that_is_too_small_says_what_would_do(linear_task):
    with pytest.raises(InputError, match=r"a budget of 1 s is too small: two trials .* about 1 min 41 s; allow"):
        fit(1, linear_task, RECIPES, Protocol(), {Together(): Plan("vmapped", 32, 0.05, 0.1, "")}, 1)


@pytest.mark.parametrize("text", ["", "20", "m", "20 minutes", "-5m", "0s", "1m1h"])
def test_a_text_that_is_no_duration_is_refused(text):
    with pytest.raises(InputError, match="is not a length of time; write 20m, 1h30m or 45s"):
        parse_duration(text)
