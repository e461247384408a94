"""What a study may claim, in numbers and in words; and what it warns of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from thalweg.record import Curve, Entry, RecipeRow, RunRecord, Store
from thalweg.study.cautions import edges
from thalweg.study.verdict import Arm, from_store, verdict
from thalweg.study.wording import Face

ACCURACY = {"name": "accuracy", "higher_is_better": True, "unit": "%"}
ERROR = {"name": "squared error", "higher_is_better": False, "unit": ""}


def arm(mean, spread=0.01, seeds=10, examples=50, seed=0, **more):
    """Scores of exactly this mean; the noise of an example is small beside that of a seed."""
    rng = np.random.default_rng([seed, int(1e6 * abs(mean))])
    scores = spread * rng.normal(size=(seeds, 1)) + spread * rng.normal(size=(seeds, examples))
    return Arm(mean + scores - scores.mean(), more.pop("failures", 0), seeds, **more)


def judge(arms, defaults=None, metric=ACCURACY, task="digits"):
    found = verdict(arms, defaults, metric=metric, task=task)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


# -- who is ahead --------------------------------------------------------------------------------------


def test_who_cannot_be_told_apart_is_said_first_with_what_would_have_been_seen():
    found = judge({"sgd": arm(0.8), "adam": arm(0.951), "adamw": arm(0.95)})
    assert found["tied"] == ["adam", "adamw"]
    assert found["best"] == found["tied"][0]
    first, second, *_ = found["sentences"]
    assert first == "On digits, adam and adamw cannot be told apart."
    assert (
        second
        == f"A difference of {Face('%').difference(found['detectable'])} would have been seen in 4 studies of 5."
    )
    (behind,) = found["behind"]
    assert behind["name"] == "sgd"
    assert behind["difference"] == pytest.approx(0.15, abs=0.02)
    assert behind["crossed"][0] < behind["difference"] < behind["crossed"][1]
    ahead = next(s for s in found["sentences"] if "is ahead of sgd by" in s)
    assert ahead.endswith("; so is adamw."), "both pairs with sgd are claimed"


def test_where_recipes_vary_unlike_what_is_said_would_have_been_seen_whichever_it_is():
    arms = {"a": arm(0.951, 0.01), "b": arm(0.95, 0.01), "c": arm(0.949, 0.018)}
    second = judge(arms)["sentences"][1]
    least, most = sorted(p["detectable"] for p in judge(arms)["pairs"] if "a" in (p["a"], p["b"]))
    assert most > 1.5 * least
    assert second == f"A difference of {Face('%').difference(most)} would have been seen in 4 studies of 5."


def test_shares_do_not_reach_beyond_0_and_100_percent_in_words():
    """Two seeds far apart: the intervals are wider than shares can be."""
    rng = np.random.default_rng(0)
    levels = {"a": [[0.2], [0.7]], "b": [[0.6], [0.3]]}
    wide = {name: Arm(np.array(level) + 0.1 * rng.random((2, 50)), 0, 2) for name, level in levels.items()}
    first, second, third, *_ = judge(wide)["sentences"]
    assert first.endswith("cannot be told apart.")
    assert second == "So few seeds would have shown no difference, however large."
    assert "(0 to 100)" in third


def test_of_many_that_cannot_be_told_apart_the_headline_gives_the_number_and_a_later_sentence_the_names():
    near = {f"r{i}": arm(0.95 + 0.0001 * i) for i in range(6)}
    first, _, third, *_ = judge({"sgd": arm(0.8), **near})["sentences"]
    assert first == "On digits, 6 of 7 recipes cannot be told apart."
    assert third.endswith("; beside it stand r4, r3, r2, r1 and r0.")


@pytest.mark.parametrize("metric", [ACCURACY, ERROR])
def test_better_follows_the_metrics_direction(metric):
    arms = {"low": arm(0.2), "high": arm(0.9), "middle": arm(0.5)}
    found = judge(arms, metric=metric)
    higher = metric["higher_is_better"]
    assert found["best"] == ("high" if higher else "low")
    assert found["tied"] == [found["best"]]
    assert [row["name"] for row in found["behind"]] == ["middle", "low" if higher else "high"]
    assert all(row["difference"] > 0 and row["crossed"][0] > 0 for row in found["behind"])
    assert found["sentences"][0] == f"On digits, {found['best']} is ahead of all 2 others."
    assert f"has the {'highest' if higher else 'lowest'} mean test {metric['name']}" in found["sentences"][1]


def test_a_pairs_difference_is_a_minus_b_and_is_claimed_where_the_crossed_interval_leaves_out_0():
    arms = {"a": arm(0.5), "b": arm(0.503), "c": arm(0.7)}
    found = judge(arms)
    assert [(p["a"], p["b"]) for p in found["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in found["pairs"]:
        difference = arms[pair["a"]].scores.mean() - arms[pair["b"]].scores.mean()
        assert pair["difference"] == pytest.approx(difference)
        assert pair["claimed"] == (pair["crossed"][0] > 0 or pair["crossed"][1] < 0)
    assert [p["claimed"] for p in found["pairs"]] == [False, True, True]


def test_being_tied_is_not_taken_for_transitive():
    rng = np.random.default_rng(0)
    steady = {name: mean + 0.001 * rng.normal(size=(10, 40)) for name, mean in (("b", 0.50), ("c", 0.45))}
    wild = 0.53 + 0.2 * rng.normal(size=(10, 1)) + np.zeros((10, 40))
    found = judge({"wild": Arm(wild - wild.mean() + 0.53), **{name: Arm(s) for name, s in steady.items()}})
    assert found["tied"] == ["wild", "b", "c"]
    assert "b and c cannot be told apart from wild" in found["sentences"][0], "b and c can, from each other"
    assert any(s.startswith("Yet b is ahead of c by ") for s in found["sentences"])


def test_what_is_not_claimed_of_the_others_at_the_front_is_not_said_of_them():
    rng = np.random.default_rng(0)
    wild = 0.49 + 0.1 * rng.normal(size=(10, 1)) + np.zeros((10, 40))
    arms = {"best": Arm(0.5 + 0.001 * rng.normal(size=(10, 40))), "wild": Arm(wild - wild.mean() + 0.49)}
    arms["last"] = Arm(0.45 + 0.001 * rng.normal(size=(10, 40)))
    found = judge(arms)
    assert (found["tied"], found["behind"][0]["name"]) == (["best", "wild"], "last")
    assert any(s.endswith("that is said of best alone.") for s in found["sentences"])


def test_thirteen_recipes_stay_readable():
    names = [f"r{i}" for i in range(13)]
    same = judge({name: arm(0.9 + 1e-5 * i) for i, name in enumerate(names)})
    assert same["sentences"][0].startswith("On digits, none of the 13 recipes can be told apart from another.")
    apart = judge({name: arm(0.9 - 0.05 * i) for i, name in enumerate(names)})
    assert apart["sentences"][0] == "On digits, r0 is ahead of all 12 others."
    line = next(s for s in apart["sentences"] if s.startswith("r0 is ahead of r1, r2"))
    assert "the nearest, r1, by 5" in line
    assert "the farthest, r12, by 60" in line
    assert max(map(len, apart["sentences"])) < 250


def test_a_recipe_whose_scores_vary_more_does_not_hide_what_would_have_been_seen_of_the_others():
    steady = {name: arm(0.9 + 1e-6 * i) for i, name in enumerate("abc")}
    diverged = arm(0.9 - 1e-6)
    diverged.scores[4] = 0.1
    found = judge({**steady, "d": Arm(diverged.scores, 1, 10, "the loss became NaN at step 7")})
    assert "d" in found["tied"]
    assert found["detectable"] < 0.05
    assert f"; between {found['best']} and d, whose scores vary more, only one of" in found["sentences"][1]
    assert "1 run diverged (1 of 10 of d)" in " ".join(found["sentences"])


def untrained(mean=0.48, seeds=10, examples=50):
    """Scores of a recipe whose every run diverged."""
    return Arm(arm(mean, seeds=seeds, examples=examples).scores, seeds, seeds, "the loss became NaN at step 3")


def test_where_every_run_diverged_nothing_was_learned_and_nobody_is_named_ahead():
    found = judge({"a": untrained(0.48), "b": untrained(0.2)}, {"a": untrained(0.48), "b": untrained(0.2)})
    assert found["sentences"] == [
        "On digits, every run diverged: nothing was learned, and no recipe is ahead of another."
    ]
    assert (found["best"], found["tied"], found["behind"], found["pairs"]) == (None, [], [], [])
    assert {row["mean"] for row in found["recipes"] if row["arm"] == "chosen"} == {None}
    assert {row["mean"] for row in found["recipes"] if row["arm"] == "defaults"} == {None}
    assert found["warnings"][0].startswith(
        "a was not judged: all its 10 runs diverged (the loss became NaN at step 3)"
    )
    partly = judge({"a": untrained(), "b": untrained()}, {"a": arm(0.9), "b": arm(0.9)})
    assert partly["sentences"][0].startswith("On digits, every run of the chosen settings diverged: ")
    assert judge({"a": untrained()})["sentences"] == ["On digits, every run diverged: nothing was learned."]


def test_a_recipe_whose_every_run_diverged_is_not_named_beside_the_best():
    """Two seeds can tell nothing apart, and an untrained model may even score best."""
    two = {"adam": arm(0.5, seeds=2), "sgd": untrained(0.9, seeds=2), "lion": arm(0.501, seeds=2)}
    found = judge(two)
    assert found["tied"] == ["lion", "adam"]
    assert found["diverged"] == ["sgd"]
    first, second, *_ = found["sentences"]
    assert "sgd" not in first
    assert second == "Every run of sgd diverged: it learned nothing and is not judged."
    alone = judge({"adam": arm(0.5), "sgd": untrained()})
    assert alone["sentences"][0] == "On digits, adam alone was judged: every run of sgd diverged."
    assert not any("is ahead" in sentence or "told apart" in sentence for sentence in alone["sentences"])


def test_what_tuning_bought_over_defaults_that_all_diverged_is_still_said():
    found = judge({"a": arm(0.9), "b": arm(0.5)}, {"a": untrained(0.1), "b": arm(0.5)})
    assert any(sentence.startswith("Tuning bought a 80") for sentence in found["sentences"])


def test_a_metric_with_one_value_is_judged_over_seeds_and_says_so():
    found = judge({"a": arm(0.9, examples=1), "b": arm(0.5, examples=1)}, metric=ERROR)
    assert (found["pairs"][0]["crossed"], found["recipes"][0]["crossed"]) == (None, None)
    assert found["best"] == "b"
    assert found["behind"][0]["seeds"][0] > 0
    assert "not resampled" in found["sentences"][-1]


def test_one_seed_claims_nothing_and_few_seeds_are_warned_of():
    found = judge({"a": arm(0.1, seeds=1), "b": arm(0.9, seeds=1)})
    assert found["sentences"][0].startswith("On digits, one seed tells no recipes apart")
    assert (found["behind"], found["detectable"], found["pairs"][0]["claimed"]) == ([], None, False)
    assert "one seed" in found["warnings"][0]
    assert "4 seeds" in judge({"a": arm(0.1, seeds=4), "b": arm(0.9, seeds=4)})["warnings"][0]
    assert judge({"a": arm(0.1, seeds=5), "b": arm(0.9, seeds=5)})["warnings"] == []


def test_one_recipe_is_told_with_its_mean():
    found = judge({"a": arm(0.9)})
    assert (found["best"], found["tied"], found["pairs"], found["detectable"]) == ("a", ["a"], [], None)
    assert found["sentences"][0].startswith("On digits, a alone was judged")


def test_a_recipe_that_left_no_scores_is_not_judged_and_named_with_its_reason():
    broken = Arm(None, 3, 10, "the model's output does not fit the loss.")
    found = judge({"a": arm(0.9), "b": broken, "c": arm(0.5)})
    assert [(p["a"], p["b"]) for p in found["pairs"]] == [("a", "c")]
    assert found["warnings"] == ["b was not judged: the model's output does not fit the loss."]
    assert {
        "name": "b",
        "arm": "chosen",
        "mean": None,
        "seeds": None,
        "crossed": None,
        "failures": 3,
        "runs": 10,
    } in (found["recipes"])
    none = judge({"b": broken})
    assert none["best"] is None
    assert none["sentences"] == [
        "On digits, no recipe could be judged: b (the model's output does not fit the loss)."
    ]


def test_what_tuning_bought_is_claimed_only_where_it_can_be_shown():
    chosen = {"a": arm(0.9), "b": arm(0.8), "c": arm(0.7)}
    found = judge(chosen, {"a": arm(0.6), "b": arm(0.8001), "c": chosen["c"]})
    assert [(g["name"], g["claimed"]) for g in found["gains"]] == [("a", True), ("b", False)], "c kept its defaults"
    assert found["gains"][0]["difference"] == pytest.approx(0.3, abs=0.02)
    line = next(s for s in found["sentences"] if s.startswith("Tuning"))
    assert line.startswith("Tuning bought a 30")
    assert "b" not in line.split()
    worse = judge(chosen, {"a": arm(0.95), "b": arm(0.8001), "c": chosen["c"]}, metric=ACCURACY)
    assert any(s.startswith("Tuning cost a 5") for s in worse["sentences"])
    assert any(s.startswith("Tuning bought a 0.3") for s in judge(chosen, {"a": arm(1.2)}, metric=ERROR)["sentences"])


def test_scores_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        verdict({"a": arm(0.9), "b": arm(0.9, examples=40)}, metric=ACCURACY)


def test_an_end_that_is_not_0_is_not_written_as_0():
    assert Face("%").difference(0.0352, [0.0003, 0.07]) == "3.52 points (0.03 to 7.00)"
    assert Face("").difference(-1234.6, [-2000.0, -469.0]) == "−1235 (−2000 to −469)"
    assert Face("%").difference(0.01, [0.005, 0.015]).startswith("1.0 points")
    assert Face("%").difference(0.01, [-0.2, 0.22]) == "1 point (\u221220 to 22)"
    assert Face("%").difference(0.012, [-0.2, 0.23]) == "1 point (\u221220 to 23)"
    assert Face("%").value(0.01) == "1.0\xa0%"
    assert Face("bits").difference(0.0, [0.0, 0.0]) == "0.0 bits (0.0 to 0.0)"


def test_an_errors_interval_ends_at_0_and_that_of_what_may_be_less_does_not():
    scores = {name: [[mean - 0.9], [mean], [mean + 0.9]] for name, mean in (("a", 1.0), ("b", 1.5))}

    def told(name, **more):
        metric = {"name": name, "higher_is_better": False, "unit": "", **more}
        judged = verdict({key: Arm(np.array(rows), runs=3) for key, rows in scores.items()}, metric=metric)
        assert judged["recipes"][0]["seeds"][0] < 0
        return next(s for s in judged["sentences"] if "mean test" in s)

    assert "1.0 (0.0 to " in told("regret", least=0.0)
    assert "1.0 (\u22121.2 to " in told("squared error", least=None), "what it is called says nothing"
    assert "1.0 (0.0 to " in told("squared error"), "in stores from before its least was kept"
    assert "1.0 (\u22121.2 to " in told("score")
    assert Face("", 0.0).difference(0.5, [-0.5, 1.5]) == "0.5 (\u22120.5 to 1.5)"
    assert Face("", 0.0).value(-1.0, [-2.0, 0.0]) == "\u22121.0 (\u22122.0 to 0.0)"


# -- from records --------------------------------------------------------------------------------------

SPACE = '{low = 1e-4, high = 1.0, scale = "log"}'


def toml(optimizer, lr, epochs=5):
    return f'epochs = {epochs}\n[optimizer]\nname = "{optimizer}"\nlr = {lr}\n[[schedule]]\nname = "constant"\n'


class Records:
    """A study's records, written as the engine writes them."""

    def __init__(self, directory, optimizers, *, rate=0.01, seeds=5, trials=4, epochs=None):
        self.store = Store(directory, write=True)
        rows = [RecipeRow(name, toml(o, SPACE, (epochs or {}).get(name, 5))) for name, o in optimizers.items()]
        self.store.begin({"task": {"name": "wine", "metric": ACCURACY}}, rows)
        for name, optimizer in optimizers.items():
            for trial in range(trials):
                lr = 0.02 if trial == 0 else rate * (1 + trial / 10)
                self.run("tuning", name, trial, 0, toml(optimizer, lr), valid=0.5 + trial / 100)
            for repeat in range(seeds):
                self.run("defaults", name, 0, repeat, toml(optimizer, 0.02), outcomes=arm(0.5, seed=repeat).scores[0])

    def run(self, arm_name, name, setting, repeat, recipe, *, status="finished", reason="", valid=0.5, outcomes=None):
        identity = f"{arm_name} {name} {setting} {repeat}"
        self.store.add_entries([Entry(arm_name, name, setting, repeat, identity)])
        test = float("nan") if outcomes is None else float(np.mean(outcomes))
        curve = Curve(np.arange(2), np.arange(2), np.full(2, np.nan), np.array([0.1, valid]))
        self.store.add_run(
            RunRecord(
                identity, recipe, repeat, status, reason, "one by one", 1, 1.0, 0.0, 0.5, valid, test, curve, outcomes
            )
        )

    def chosen(self, name, optimizer, mean, seeds=5, but=(), **more):
        for repeat, scores in enumerate(arm(mean, seeds=seeds).scores):
            if repeat in but:
                continue
            self.run("chosen", name, 0, repeat, toml(optimizer, 0.01), outcomes=scores, **more)


def test_a_study_is_judged_from_its_records_alone(tmp_path):
    records = Records(tmp_path, {"sgd": "sgd", "adam": "adam"})
    records.chosen("sgd", "sgd", 0.7)
    records.chosen("adam", "adam", 0.9)
    found = from_store(records.store)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["best"], found["seeds"], found["examples"]) == ("adam", 5, 50)
    assert found["recipes"][1]["mean"] == pytest.approx(arm(0.9, seeds=5).scores.mean(), abs=1e-6)
    assert {(row["name"], row["arm"]) for row in found["recipes"]} == {
        (name, kind) for name in ("sgd", "adam") for kind in ("chosen", "defaults")
    }
    assert found["sentences"][0] == "On wine, adam is ahead of sgd."
    assert [curve["name"] for curve in found["tuning"]] == ["sgd", "adam"]
    assert found["tuning"][0]["trials"] == [1, 2, 3, 4]
    assert found["tuning"][0]["best"][-1] == pytest.approx(0.53)


def test_an_unfinished_study_has_no_verdict(tmp_path):
    records = Records(tmp_path, {"sgd": "sgd", "adam": "adam"})
    assert from_store(records.store) is None
    records.chosen("sgd", "sgd", 0.7)
    assert from_store(records.store) is None
    records.store.add_entries([Entry("chosen", "adam", 0, repeat, f"chosen adam 0 {repeat}") for repeat in range(5)])
    records.chosen("adam", "adam", 0.9, seeds=4)
    assert from_store(records.store) is None, "one run is still missing"
    records.chosen("adam", "adam", 0.9)
    assert from_store(records.store) is not None


def test_runs_that_diverged_stay_in_the_scores_and_are_counted(tmp_path):
    records = Records(tmp_path, {"sgd": "sgd", "adam": "adam"})
    records.chosen("adam", "adam", 0.9)
    records.run("chosen", "sgd", 0, 0, toml("sgd", 1), status="diverged", reason="the loss became NaN at step 7",
                valid=float("nan"), outcomes=np.full(50, 0.1))  # fmt: skip
    records.chosen("sgd", "sgd", 0.9)
    found = from_store(records.store)
    row = found["recipes"][0]
    assert (row["name"], row["failures"], row["runs"]) == ("sgd", 1, 5)
    assert row["mean"] < 0.8
    assert found["warnings"] == ["sgd diverged in 1 of 5 runs at its chosen setting (the loss became NaN at step 7)."]


def test_a_recipe_with_a_run_that_failed_is_not_judged(tmp_path):
    records = Records(tmp_path, {"sgd": "sgd", "adam": "adam"})
    records.chosen("adam", "adam", 0.9)
    records.run(
        "chosen", "sgd", 0, 2, toml("sgd", 1), status="failed", reason="no memory was left", valid=float("nan")
    )
    records.chosen("sgd", "sgd", 0.9, but=[2])
    found = from_store(records.store)
    assert (found["best"], found["pairs"]) == ("adam", [])
    assert "sgd was not judged: no memory was left." in found["warnings"]


def test_a_trial_that_diverged_is_worth_what_its_untrained_model_was(tmp_path):
    records = Records(tmp_path, {"sgd": "sgd"}, trials=0)
    records.run("tuning", "sgd", 0, 0, toml("sgd", 0.1), valid=float("nan"), status="diverged", reason="NaN")
    records.run("tuning", "sgd", 1, 0, toml("sgd", 0.1), valid=0.6)
    records.chosen("sgd", "sgd", 0.9)
    assert from_store(records.store)["tuning"][0]["best"] == [0.1, 0.6]


@pytest.mark.parametrize(
    ("rate", "said"), [(1e-4, "the low end"), (0.7, "the high end"), (0.01, None)], ids=["low", "high", "inside"]
)
def test_a_setting_on_the_edge_of_its_space_is_warned_of(tmp_path, rate, said):
    records = Records(tmp_path, {"sgd": "sgd"}, rate=rate)
    records.chosen("sgd", "sgd", 0.9)
    found = from_store(records.store)["warnings"]
    if said is None:
        assert found == []
    else:
        assert f"sgd (lr {1.3 * rate:.3g}, {said} of 0.0001 to 1)" in found[0]


def test_one_good_trial_at_the_edge_is_luck(tmp_path):
    records = Records(tmp_path, {"sgd": "sgd"}, trials=0)
    for trial, (rate, valid) in enumerate([(0.01, 0.6), (0.9, 0.7), (0.02, 0.65), (0.5, 0.1)]):
        records.run("tuning", "sgd", trial, 0, toml("sgd", rate), valid=valid)
    records.chosen("sgd", "sgd", 0.9)
    assert from_store(records.store)["warnings"] == []


def shaped(role, technique, name, value):
    """A recipe with one more technique than its optimizer."""
    return f'[optimizer]\nname = "sgd"\nlr = 0.1\n[[{role}]]\nname = "{technique}"\n{name} = {value}\n'


@pytest.mark.parametrize(
    ("part", "space", "values", "said"),
    [
        (("augment", "cutmix", "alpha"), (0.1, 1.0), (1.0, 0.98, 0.9), False),
        (("augment", "cutmix", "alpha"), (0.1, 1.0), (0.5, 0.98, 0.9), True),
        (("augment", "cutout", "side"), (0.1, 1.0), (0.5, 0.98, 0.9), False),
        (("augment", "cutout", "side"), (0.1, 0.7), (0.5, 0.69, 0.65), True),
        (("augment", "cutout", "side"), (0.0, 0.7), (0.5, 0.01, 0.02), False),
    ],
    ids=["the default", "beyond it is more", "nothing beyond 1", "more beyond 0.7", "nothing below 0"],
)
def test_neither_a_default_nor_an_end_of_nature_is_a_reason_to_search_farther(part, space, values, said):
    """Trials come with the defaults first; of the first case these are the best."""
    low, high = space
    declared = shaped(*part, f'{{low = {low}, high = {high}, scale = "linear"}}')
    best = values if values[0] == 1.0 else (values[1], values[2], values[0])
    tried = [(shaped(*part, value), 1.0 - best.index(value) / 10) for value in values]
    assert bool(edges({"a": declared}, {"a": tried})) == said


@pytest.mark.parametrize(
    ("sgd", "momentum", "epochs", "warned"),
    [(0.9, 0.7, 5, True), (0.7, 0.9, 5, False), (0.9, 0.9, 5, False), (0.9, 0.7, 9, False)],
    ids=["special ahead", "general ahead", "tied", "other epochs"],
)
def test_a_special_case_that_beats_its_generalisation_is_warned_of(tmp_path, sgd, momentum, epochs, warned):
    records = Records(tmp_path, {"plain": "sgd", "heavy": "momentum"}, epochs={"heavy": epochs})
    records.chosen("plain", "sgd", sgd)
    records.chosen("heavy", "momentum", momentum)
    found = from_store(records.store, {"momentum": ["sgd"]})["warnings"]
    assert any(w.startswith("plain is ahead of heavy, of which it is a special case") for w in found) == warned
