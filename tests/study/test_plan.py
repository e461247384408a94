"""Who gets what: the same for every recipe, on seeds that never serve two purposes."""

import pytest

import thalweg as tw
from thalweg.errors import InputError
from thalweg.optim import CATALOGUE
from thalweg.record import Curve, RunRecord
from thalweg.schedule import cosine
from thalweg.study.plan import Protocol, best_trial, chosen_arm, first_arms, identity, rates, trial_settings

PRINTS = {"data": "d", "model": "m", "loss": "l", "metric": "x"}


@pytest.fixture
def recipes():
    return {name: tw.Recipe(optimizer(), epochs=3) for name, optimizer in CATALOGUE.items()}


def arm(planned, name, kind):
    return [e for e in planned.entries if e.arm == kind and e.recipe == name]


def test_every_recipe_gets_the_same_number_of_runs_in_every_arm(recipes):
    protocol = Protocol(trials=5, seeds=4)
    first = first_arms(recipes, protocol, PRINTS)
    chosen = chosen_arm(recipes, protocol, PRINTS, dict.fromkeys(recipes, 2))
    for name in recipes:
        counts = [len(arm(first, name, kind)) for kind in ("tuning", "defaults", "sensitivity")]
        assert [*counts, len(arm(chosen, name, "chosen"))] == [5, 4, 21, 4]
    assert len({**first.jobs, **chosen.jobs}) == protocol.runs(recipes)


def test_seeds_are_paired_across_recipes_and_never_serve_two_purposes(recipes):
    protocol = Protocol(trials=5, seeds=4)
    first = first_arms(recipes, protocol, PRINTS)
    chosen = chosen_arm(recipes, protocol, PRINTS, dict.fromkeys(recipes, 2))
    jobs = {**first.jobs, **chosen.jobs}

    def seeds(planned, name, kind):
        return [jobs[e.run].member.seed for e in arm(planned, name, kind)]

    names = list(recipes)
    for kind in ("tuning", "defaults", "sensitivity"):
        assert all(seeds(first, name, kind) == seeds(first, names[0], kind) for name in names)
    assert seeds(chosen, "sgd", "chosen") == seeds(first, "sgd", "defaults")
    purposes = [set(seeds(first, "sgd", kind)) for kind in ("tuning", "defaults", "sensitivity")]
    assert sum(map(len, purposes)) == len(set.union(*purposes))


def test_the_first_trial_is_the_defaults_and_the_others_are_draws_of_the_recipes_own(recipes):
    protocol = Protocol(trials=4)
    drawn = {name: trial_settings(name, recipe, protocol) for name, recipe in recipes.items()}
    for name, settings in drawn.items():
        assert settings[0] == {}
        assert len({str(s) for s in settings}) == 4
        space = recipes[name].space()
        assert all(set(s) == set(space) for s in settings[1:])
    assert drawn["adam"][1]["optimizer.lr"] != drawn["amsgrad"][1]["optimizer.lr"]
    assert trial_settings("adam", recipes["adam"], Protocol(trials=9))[:4] == drawn["adam"], (
        "more trials add to these"
    )


def test_another_recipe_beside_it_does_not_change_what_a_recipe_is_given(recipes):
    alone = first_arms({"adam": recipes["adam"]}, Protocol(), PRINTS)
    among = first_arms(recipes, Protocol(), PRINTS)
    assert alone.entries == [e for e in among.entries if e.recipe == "adam"]


def test_a_recipe_without_anything_to_search_is_tried_once():
    fixed = tw.Recipe(tw.optim.sgd(lr=0.1), cosine(end=0.0))
    assert trial_settings("sgd", fixed, Protocol()) == [{}]


def test_an_identity_depends_on_task_recipe_and_seed_and_on_nothing_else():
    recipe = tw.Recipe(tw.optim.adam(), epochs=3).resolved()
    same = tw.Recipe(tw.optim.adam(lr=1e-3), epochs=3).resolved()
    own = identity(PRINTS, recipe, 1)
    assert own == identity(dict(reversed(PRINTS.items())), same, 1)
    others = {
        identity({**PRINTS, "data": "e"}, recipe, 1),
        identity(PRINTS, recipe, 2),
        identity(PRINTS, tw.Recipe(tw.optim.adam(lr=2e-3), epochs=3).resolved(), 1),
        identity(PRINTS, tw.Recipe(tw.optim.adam(), epochs=4).resolved(), 1),
    }
    assert own not in others
    assert len(others) == 4


def test_a_run_that_serves_two_arms_is_run_once():
    recipes = {"sgd": tw.Recipe(tw.optim.sgd(lr=0.1))}
    first = first_arms(recipes, Protocol(seeds=3), PRINTS)
    chosen = chosen_arm(recipes, Protocol(seeds=3), PRINTS, {"sgd": 0})
    assert {e.run for e in chosen.entries} == {e.run for e in first.entries if e.arm == "defaults"}


def ran(identity, valid, status="finished"):
    curve = Curve(*[[0]] * 4)
    return RunRecord(identity, "", 0, status, "", "one by one", 1, 0.0, 0.0, 0.0, valid, 0.0, curve)


@pytest.mark.parametrize(
    ("higher", "valids", "best"),
    [
        (True, [0.5, 0.9, 0.7], 1),
        (False, [0.5, 0.9, 0.4], 2),
        (True, [float("nan"), float("nan"), -3.0], 2),
        (False, [float("nan"), float("inf"), 3.0], 2),
        (True, [float("nan")] * 3, 0),
        (True, [0.5, 0.5, 0.5], 0),
    ],
)
def test_the_best_trial_is_chosen_by_the_validation_metric_and_the_defaults_win_ties(higher, valids, best):
    first = first_arms({"a": tw.Recipe()}, Protocol(trials=3, seeds=1, rates=0), PRINTS)
    entries = arm(first, "a", "tuning")
    runs = {e.run: ran(e.run, valid) for e, valid in zip(entries, valids, strict=True)}
    assert best_trial(entries, runs, higher_is_better=higher) == {"a": best}


def test_the_rates_of_the_sensitivity_curve_span_the_space(recipes):
    for name, recipe in recipes.items():
        found = rates(recipe, 7)
        place = recipe.optimizer.technique.space["lr"]
        assert (found[0], found[-1], len(found)) == (pytest.approx(place.low), pytest.approx(place.high), 7), name
    assert rates(tw.Recipe(tw.optim.sgd(lr=tw.Choice((0.1, 0.2)))), 7) == []
    assert rates(tw.Recipe(), 0) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials": -1}, "trials takes a whole number from 0 up, not -1"),
        ({"seeds": 0}, "seeds takes a whole number from 1 up, not 0"),
        ({"seeds": 2.0}, "seeds takes a whole number from 1 up, not 2.0"),
        ({"trials": True}, "trials takes a whole number from 0 up, not True"),
        ({"seed": -1}, "seed takes a whole number from 0 up, not -1"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Protocol(**wrong)
