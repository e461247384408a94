"""An ablation: what is taken out and put in, what may be claimed of it, and how it goes on."""

import math
import sqlite3

import numpy as np
import pytest
from scipy import stats
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.record import RunRecord, Store
from thalweg.study import ablate, compare, contributions
from thalweg.study.ablate import parts, recipes_of
from thalweg.study.contributions import contributions as judged
from thalweg.study.work import Work

PLAIN = Recipe(epochs=2, batch_size=30)
FULL = Recipe(
    tw.optim.adam(lr=0.02), epochs=2, batch_size=30, norm=tw.norm.layer(),
    gradient=tw.gradient.clip_value(1e6),  # so far off that it changes no bit
)  # fmt: skip


def mlp():
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def study(out, recipe=FULL, **more):
    arguments = {"plain": PLAIN, "seeds": 4, "processes": 1, "progress": False, **more}
    return ablate(small_digits(mlp), recipe, out=out, **arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablation")
    return study(out), out


# -- what is taken out ---------------------------------------------------------------------------------


def test_each_ingredient_is_taken_out_of_the_whole_alone_and_put_into_the_plain_one_alone():
    full = Recipe(tw.optim.momentum(), batch_size=32, norm=tw.norm.layer(), dropout=tw.dropout.gaussian(0.2))
    plain = Recipe()
    for part in parts(full, plain):
        role = part.label.partition(" ")[0]
        for other in ("optimizer", "batch_size", "norm", "dropout", "schedule", "epochs"):
            ours, theirs = (getattr(recipe.resolved(), other) for recipe in (full, plain))
            assert getattr(part.without, other) == (theirs if other == role else ours)
            assert getattr(part.alone, other) == (ours if other == role else theirs)
    assert [part.names()[0] for part in parts(full, plain)] == [
        "full with adam for momentum", "full with batch_size 64 for 32", "full without norm layer",
        "full without dropout gaussian",
    ]  # fmt: skip


def test_a_part_of_a_schedule_gives_way_to_a_constant_rate_as_long():
    full = Recipe(schedule=tw.schedule.warmup(10) >> tw.schedule.constant() >> tw.schedule.linear(0.2))
    warmup, linear = parts(full, Recipe())
    rates = {
        name: getattr(part, name).schedule.resolved(100) for part, name in [(warmup, "without"), (linear, "alone")]
    }
    whole = full.schedule.resolved(100)
    for step in range(100):
        for rate in rates.values():  # without the one is with the other alone
            assert rate(step) == pytest.approx(1.0 if step < 10 else whole(step))
        assert warmup.alone.schedule.resolved(100)(step) == pytest.approx(whole(step) if step < 80 else 1.0)
    assert warmup.names() == ("full with constant for warmup", "plain with warmup for constant")


def test_the_same_technique_with_other_values_is_told_by_them_and_its_defaults_are_no_ingredient():
    (part,) = parts(Recipe(tw.optim.adam(lr=0.02)), Recipe())
    assert part.names() == ("full with adam for adam(lr=0.02)", "plain with adam(lr=0.02) for adam")
    with pytest.raises(InputError, match=r"says nothing beyond the plain one \(adam, constant rate, batch size 64, "):
        parts(Recipe(tw.optim.adam(lr=0.001)), Recipe())


def test_recipes_that_are_the_same_are_run_once():
    two = Recipe(norm=tw.norm.layer(), wrapper=tw.wrapper.sam())
    assert list(recipes_of(two, Recipe(), parts(two, Recipe()))) == [
        "full", "full without wrapper sam", "full without norm layer", "plain",
    ]  # fmt: skip
    one = Recipe(norm=tw.norm.layer())
    assert list(recipes_of(one, Recipe(), parts(one, Recipe()))) == ["full", "plain"]


def test_a_recipe_that_cannot_do_without_an_ingredient_is_refused_by_name(tmp_path):
    full = Recipe(batch_size=64, accumulate=32)
    with pytest.raises(InputError, match="full with batch_size 16 for 64 is no recipe: accumulate takes at most one"):
        parts(full, Recipe(batch_size=16))
    with pytest.raises(InputError, match=r"the recipe is a str, not a thalweg\.Recipe"):
        ablate(small_digits(mlp), "adam", out=tmp_path / "new")
    with pytest.raises(InputError, match="seeds takes a whole number from 1 up, not 0"):
        study(tmp_path / "new", seeds=0)
    assert not (tmp_path / "new").exists()


# -- the study -----------------------------------------------------------------------------------------


def test_every_recipe_is_run_once_a_seed_and_nothing_is_tuned(finished):
    _, out = finished
    with Store(out) as store:
        names = [row.name for row in store.recipes()]
        runs, entries = store.runs(), store.entries()
    assert names == [
        "full", "full with adam for adam(lr=0.02)", "full without gradient clip_value", "full without norm layer",
        "plain", "plain with adam(lr=0.02) for adam", "plain with gradient clip_value", "plain with norm layer",
    ]  # fmt: skip
    assert len(runs) == 4 * len(names)
    assert {entry.arm for entry in entries} == {"defaults", "chosen"}
    by_seed = {name: [runs[e.run].seed for e in entries if (e.arm, e.recipe) == ("chosen", name)] for name in names}
    assert len(set(map(tuple, by_seed.values()))) == 1
    assert len(set(by_seed["full"])) == 4


def test_effects_are_those_of_the_records_and_what_changes_nothing_is_not_claimed(finished):
    done, out = finished
    with Store(out) as store:
        runs = store.runs(outcomes=True)
        mine = {e.recipe: [] for e in store.entries("chosen")}
        for entry in store.entries("chosen"):
            mine[entry.recipe].append(runs[entry.run])
    found = {part["label"]: part for part in done.verdict["ablation"]["parts"]}
    for part in found.values():
        for family in ("out", "in"):
            effect = part[family]
            ours, theirs = mine[effect["with"]], mine[effect["without"]]
            tests = np.array([run.outcomes.mean() for run in ours]) - [run.outcomes.mean() for run in theirs]
            assert effect["test"]["difference"] == pytest.approx(tests.mean())
            gaps = np.array([(a.train - a.test) - (b.train - b.test) for a, b in zip(ours, theirs, strict=True)])
            half = stats.t.isf(0.05 / 6 / 2, 3) * gaps.std(ddof=1) / 2  # six comparisons, four seeds
            assert effect["gap"]["seeds"] == pytest.approx([gaps.mean() - half, gaps.mean() + half], abs=1e-6)
    clip = found["gradient clip_value"]
    assert (clip["out"]["test"]["difference"], clip["in"]["test"]["claimed"]) == (0.0, False)
    assert found["optimizer adam(lr=0.02)"]["in"]["test"]["claimed"]
    assert "adam(lr=0.02) is worth" in str(done)
    nothing = next(line for line in str(done).splitlines() if "made no difference there" in line)
    assert "gradient clip_value" in nothing
    assert done.report.read_text().count('data-chart="ablation_') == 3


def test_costs_are_measured_once_alone_and_in_turn(finished):
    done, out = finished
    with Store(out) as store:
        costs = store.get("costs")
    assert {len(rounds) for rounds in costs.values()} == {8}
    norm = next(part for part in done.verdict["ablation"]["parts"] if part["label"] == "norm layer")["in"]["cost"]
    ours, theirs = (np.array(costs[name]) for name in ("plain with norm layer", "plain"))
    assert norm["ratio"] == pytest.approx(math.exp(np.log(ours / theirs).mean()))
    assert norm["rounds"][0] < norm["ratio"] < norm["rounds"][1]


def test_an_interrupted_ablation_goes_on_to_the_same_verdict_and_a_finished_one_does_nothing(
    finished, tmp_path, monkeypatch
):
    done, _ = finished
    make = Work._make

    def stopping(self, planned, what, **more):
        add, count = self.store.add_run, iter(range(9))

        def adding(run):
            add(run)
            if next(count) == 8:
                raise KeyboardInterrupt

        self.store.add_run = adding
        make(self, planned, what, **more)

    monkeypatch.setattr(Work, "_make", stopping)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path)
    with Store(tmp_path) as store:
        assert 9 <= len(store.finished()) < 32
    monkeypatch.undo()
    again = study(tmp_path)
    for key in ("recipes", "pairs"):
        assert again.verdict[key] == done.verdict[key]
    with sqlite3.connect(tmp_path / "study.db") as database:
        before = database.execute("SELECT * FROM run ORDER BY identity").fetchall()
    database.close()
    assert study(tmp_path).verdict == again.verdict  # costs too: they are not measured again
    with sqlite3.connect(tmp_path / "study.db") as database:
        assert database.execute("SELECT * FROM run ORDER BY identity").fetchall() == before
    database.close()


def test_another_study_in_its_directory_is_refused(finished):
    _, out = finished
    with pytest.raises(InputError, match="holds a study of other recipes"):
        study(out, Recipe(norm=tw.norm.layer(), epochs=2, batch_size=30))
    with pytest.raises(InputError, match="holds a study with seeds 4 and not 5"):
        study(out, seeds=5)
    with Store(out) as store:
        named = {row.name: Recipe.from_toml(row.declared) for row in store.recipes()}
    with pytest.raises(InputError, match="holds a study with trials 0 and not 2"):
        compare(small_digits(mlp), named, trials=2, seeds=4, out=out, processes=1, progress=False)


def test_a_run_that_diverges_is_a_failure_and_has_no_gap(tmp_path):
    wild = Recipe(tw.optim.sgd(lr=1e12), epochs=2, batch_size=30, penalty=tw.penalty.l2(1e-4))
    done = study(tmp_path, wild, seeds=2)
    found = {part["label"]: part for part in done.verdict["ablation"]["parts"]}
    assert found["optimizer sgd"]["out"]["gap"] is None
    assert found["penalty l2"]["in"]["gap"] is not None
    assert any("full was not judged: all its 2 runs diverged" in warning for warning in done.verdict["warnings"])


# -- the verdict ---------------------------------------------------------------------------------------


def records(rng, worth=0.0, *, seeds=8, examples=60, gap=0.1):
    """Runs of one recipe: outcomes of which ``worth`` is the mean above that of others."""
    outcomes = worth + rng.normal(0.5, 0.3, (seeds, examples)).astype(np.float32)
    scores = outcomes.mean(1)
    return [
        RunRecord(str(i), "", i, "finished", "", "", 10, 1.0, 8.0, float(x) + gap, 0.0, float(x), None, one)
        for i, (x, one) in enumerate(zip(scores, outcomes, strict=True))
    ]


def ingredients(count):
    return [
        {"label": f"x{i}", "said": f"x{i}", "instead": "", "out": ["full", f"full without x{i}"],
         "in": [f"plain with x{i}", "plain"]}
        for i in range(count)
    ]  # fmt: skip


def of(metric, runs, told, costs=()):
    return judged(runs, told, dict(costs), metric=metric, task="it")


ACCURACY = {"name": "accuracy", "higher_is_better": True, "unit": "%"}
ERROR = {"name": "error", "higher_is_better": False, "unit": ""}


def test_of_ingredients_without_effect_one_study_in_twenty_claims_any():
    rng, told = np.random.default_rng(0), ingredients(4)
    names = ["full", "plain", *(part["out"][1] for part in told), *(part["in"][0] for part in told)]
    wrong = 0
    for _ in range(80):
        found = of(ACCURACY, {name: records(rng, examples=20) for name in names}, told)
        wrong += any(
            part[family]["test"]["claimed"] for part in found["ablation"]["parts"] for family in ("out", "in")
        )
    assert wrong <= 10  # of 80; 4 are allowed, and chance exceeds 10 once in three hundred times


def test_effects_point_to_what_is_better_and_pairs_as_the_metric_does():
    rng, told = np.random.default_rng(1), ingredients(2)
    worth = {"full": -0.3, "full without x0": 0.0, "full without x1": -0.3}
    worth |= {"plain": 0.0, "plain with x0": -0.3, "plain with x1": 0.3}
    runs = {name: records(rng, value) for name, value in worth.items()}
    found = of(ERROR, runs, told)
    x0, x1 = found["ablation"]["parts"]
    assert x0["out"]["test"]["difference"] > 0.2
    assert x0["out"]["test"]["crossed"][0] > 0
    assert x1["in"]["test"]["difference"] < -0.2
    pair = found["pairs"][0]
    assert (pair["a"], pair["b"]) == ("full", "full without x0")
    assert pair["difference"] < -0.2
    assert pair["crossed"][0] < pair["difference"] < pair["crossed"][1] < 0
    assert found["sentences"][0].startswith("On it, in the full recipe, x0 is worth 0.3")
    assert any(
        "Put into the plain recipe alone, x0 is worth" in text and "x1 costs" in text for text in found["sentences"]
    )


def test_costs_and_gaps_are_said_where_they_are_shown():
    rng, told = np.random.default_rng(2), ingredients(1)
    runs = {"full": records(rng, gap=0.3), "full without x0": records(rng, gap=0.1)}
    told[0]["in"] = told[0]["out"]
    costs = {"full": [2.0, 2.1, 2.05, 1.95], "full without x0": [1.0, 1.1, 1.0, 1.0]}
    found = of(ACCURACY, runs, told, costs)
    (part,) = found["ablation"]["parts"]
    assert "in" not in part
    assert found["ablation"]["comparisons"] == 1
    assert part["out"]["cost"]["ratio"] == pytest.approx(1.97, abs=0.05)
    text = " ".join(found["sentences"])
    assert "x0 widens it by 20" in text
    assert "x0 takes 1.9" in text


def test_a_headline_with_much_to_say_names_it_and_the_numbers_follow():
    rng, told = np.random.default_rng(5), ingredients(4)
    worth = {"full": 0.5, "plain": 0.5, "full without x0": 0.1, "full without x1": 0.2, "full without x2": 0.9}
    names = [*worth, "full without x3", *(f"plain with x{i}" for i in range(4))]
    found = of(ACCURACY, {name: records(rng, worth.get(name, 0.5)) for name in names}, told)
    head, numbers, nothing, *_ = found["sentences"]
    assert head == "On it, in the full recipe, x0 and x1 are worth having; x2 is better left out."
    assert numbers.startswith("There, x0 is worth 38 points (")
    assert nothing.startswith("x3 made no difference there that could be shown (one of")


def test_what_would_have_been_seen_leaves_out_what_is_out_of_the_ordinary():
    rng, told = np.random.default_rng(4), ingredients(4)
    names = ["full", "plain", *(part["out"][1] for part in told), *(part["in"][0] for part in told)]
    found = of(ACCURACY, {name: records(rng) for name in names}, told)
    words = contributions._Words(found, "it")
    assert words._seen([0.01, 0.012, 0.011, 1000.0]) == " (one of 1.2 points would have been seen in 4 studies of 5)"
    assert words._seen([0.01, 0.02, None]) == " (one of 2.0 points would have been seen in 4 studies of 5)"
    assert words._seen([0.5, 1.2]).startswith(
        " (one of 50 points would have been seen in 4 studies of 5 for some, and"
    )
    assert words._seen([2.0, 3.0]) == " (so few seeds would have shown no effect, however large)"
    assert words._seen([None]) == ""


def test_one_seed_claims_nothing():
    rng, told = np.random.default_rng(3), ingredients(1)
    runs = {
        name: records(rng, i, seeds=1) for i, name in enumerate(("full", "full without x0", "plain", "plain with x0"))
    }
    found = of(ACCURACY, runs, told)
    assert found["sentences"] == ["On it, one seed shows no effect: any may be the seed's."]
    assert not any(part[family]["test"]["claimed"] for part in found["ablation"]["parts"] for family in ("out", "in"))


def test_a_study_that_lacks_a_run_has_no_verdict(finished, tmp_path):
    _, out = finished
    copy = tmp_path / "study.db"
    with sqlite3.connect(out / "study.db") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("DELETE FROM run WHERE identity = (SELECT run FROM entry WHERE arm = 'chosen' LIMIT 1)")
    source.close()
    target.close()
    with Store(tmp_path, checked=False) as store:
        assert contributions.from_store(store) is None
