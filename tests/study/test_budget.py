"""How long, and how much of a study fits."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest

import thalweg as tw
from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.study.before import bought, size_of
from thalweg.study.budget import ENDING, MOST_SEEDS, MOST_TRIALS, expected_seconds, fit, parse_duration, whole_study
from thalweg.study.facts import cores
from thalweg.study.machine import at_once
from thalweg.study.plan import Protocol, first_arms
from thalweg.train.planner import Plan

RECIPES = {"sgd": tw.Recipe(tw.optim.sgd(), epochs=10), "adam": tw.Recipe(tw.optim.adam(), epochs=10)}
PLANS = {Together(): Plan("vmapped", 32, 0.001, 0.002, "")}


@pytest.mark.parametrize("seconds", [3, 5, 10, 20])
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
    assert found == pytest.approx(ENDING + expected_seconds(linear_task, jobs, plans, 2), rel=1e-9)


def test_trials_and_seeds_grow_alike(linear_task):
    small = fit(3, linear_task, RECIPES, Protocol(), PLANS, 2)
    large = fit(30, linear_task, RECIPES, Protocol(), PLANS, 2)
    assert large.trials > 2 * small.trials
    assert large.seeds / large.trials == pytest.approx(10 / 8, rel=0.1)


def test_twice_the_processes_take_half_the_time(linear_task):
    times = [whole_study(linear_task, RECIPES, Protocol(), PLANS, processes) for processes in (1, 2)]
    assert times[0] - ENDING == pytest.approx(2 * (times[1] - ENDING))


def test_on_half_a_core_everything_takes_twice_as_long(linear_task):
    """The verdict and the report, which one process makes, too."""
    times = [whole_study(linear_task, RECIPES, Protocol(), PLANS, working) for working in (1.0, 0.5)]
    assert times[1] == pytest.approx(2 * times[0])


def test_a_long_budget_of_a_small_task_buys_no_thousands(linear_task):
    """More trials and seeds than that would tell nothing more; who asks for more by number has them."""
    found = fit(1e6, linear_task, RECIPES, Protocol(), PLANS, 2)
    assert (found.trials, found.seeds) == (MOST_TRIALS, MOST_SEEDS)
    found = fit(1e6, linear_task, RECIPES, Protocol(trials=2, seeds=200), PLANS, 2)
    assert (found.trials, found.seeds) == (MOST_TRIALS, 200)


def test_what_a_budget_bought_in_place_of_what_was_asked_for_is_said():
    asked = Protocol(trials=8, seeds=10)
    assert bought(60.0, asked, replace(asked, trials=24, seeds=30)) == (
        "the budget of 1 min buys 24 trials and 30 seeds, in place of 8 and 10"
    )
    assert bought(60.0, asked, asked) == "the budget of 1 min buys 8 trials and 10 seeds"
    assert bought(60.0, asked, replace(asked, trials=64, seeds=80)).endswith(
        ", in place of 8 and 10; more would tell little more, so no more are made"
    )


def test_runs_that_a_chosen_setting_may_save_are_announced_at_most(linear_task):
    said = size_of(linear_task, RECIPES, Protocol(), PLANS, 2)
    assert said.startswith("at most 98 runs of 2 recipes on")
    assert "the chosen setting (once, where these are the same)" in said
    assert size_of(linear_task, RECIPES, Protocol(trials=0, seeds=5), PLANS, 2).startswith("10 runs of 2 recipes")


def test_on_a_machine_that_others_keep_busy_fewer_processes_work_at_once():
    at_once.cache_clear()
    alone = at_once(1, 0.3)
    code = "import time\nend = time.time() + 20\nwhile time.time() < end: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4 * cores())]
    try:
        time.sleep(0.3)
        busy = at_once(cores(), 0.5) / cores()
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert 0 < alone <= 1
    assert busy < 0.6
    assert at_once(1, 0.3) == alone, "it is tried once"
    at_once.cache_clear()


def test_a_budget_that_is_too_small_says_what_would_do(linear_task):
    with pytest.raises(InputError, match=r"a budget of 1 s is too small: two trials .* about 1 min 42 s; allow"):
        fit(1, linear_task, RECIPES, Protocol(), {Together(): Plan("vmapped", 32, 0.05, 0.1, "")}, 1)


@pytest.mark.parametrize("text", ["", "20", "m", "20 minutes", "-5m", "0s", "1m1h"])
def test_a_text_that_is_no_duration_is_refused(text):
    with pytest.raises(InputError, match="is not a length of time; write 20m, 1h30m or 45s"):
        parse_duration(text)
