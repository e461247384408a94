"""Classical baselines: fitted as scikit-learn does it, chosen on validation, judged as recipes are, fitted once."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.record import BaselineRecord, RecipeRow, Store
from thalweg.study import baselines as module
from thalweg.study.baselines import Baselines, against, chosen_setting
from thalweg.study.classical import CLASSICAL, MOST, fitted
from thalweg.study.examples import examples
from thalweg.study.plan import Protocol
from thalweg.study.statistics import over_examples
from thalweg.study.verdict import Arm

RECIPES = {"sgd": tw.Recipe(tw.optim.sgd(lr=0.1), epochs=2), "adam": tw.Recipe(tw.optim.adam(), epochs=2)}


def mlp():
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def study(out, task=None, **more):
    arguments = {"trials": 2, "seeds": 3, "processes": 1, "progress": False, **more}
    return tw.compare(task or small_digits(mlp), RECIPES, out=out, **arguments)


def fits(out):
    with Store(out) as store:
        return {(fit.name, fit.setting, fit.repeat): fit for fit in store.baselines()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return study(out, baselines=["knn", "trees"]), out


def quantities(**more):
    inputs, targets = load_diabetes(return_X_y=True)
    arguments = {"loss": F.mse_loss, "metric": tw.squared_error, "name": "diabetes", **more}
    return tw.Task(model=lambda: nn.Linear(10, 1), data=(inputs, targets[:, None].astype(np.float32)), **arguments)


# -- what is fitted ------------------------------------------------------------------------------------


def test_each_has_as_many_settings_as_recipes_have_trials_and_what_draws_a_fit_for_each_seed(finished):
    done, out = finished
    there = fits(out)
    (best,) = {setting for name, setting, repeat in there if (name, repeat) == ("trees", 2)}
    assert there.keys() - {("constant", 0, 0)} == {
        ("knn", 0, 0), ("knn", 1, 0), ("trees", 0, 0), ("trees", 1, 0), ("trees", best, 1), ("trees", best, 2),
    }  # fmt: skip
    assert all(fit.cpu_seconds > 0 for fit in there.values())
    assert done.verdict["baselines"]["settings"] == 2
    assert {len(model.settings) for model in CLASSICAL.values()} == {MOST}
    for model in CLASSICAL.values():
        assert len({tuple(sorted(setting.items())) for setting in model.settings}) == MOST


def test_what_is_recorded_is_what_scikit_learn_says(finished):
    _, out = finished
    task, fit = small_digits(mlp), fits(out)["knn", 1, 0]
    scale = StandardScaler().fit(task.train.inputs.numpy())
    model = KNeighborsClassifier(1).fit(scale.transform(task.train.inputs.numpy()), task.train.targets.numpy())
    right = model.predict(scale.transform(task.test.inputs.numpy())) == task.test.targets.numpy()
    np.testing.assert_array_equal(fit.outcomes, right)
    assert fit.test == pytest.approx(right.mean())
    assert (fit.train, fit.declared) == (1.0, "KNeighborsClassifier(n_neighbors=1)")


def test_quantities_get_the_regression_of_each_kind_and_ridge_is_said_openly(tmp_path):
    task = quantities()
    found = examples(task, list(CLASSICAL))
    model, declared = fitted("logistic", 0, 0, found.inputs["train"], found.targets["train"])
    assert declared == "Ridge()"
    scale = StandardScaler().fit(found.inputs["train"])
    ridge = Ridge().fit(scale.transform(found.inputs["train"]), found.targets["train"])
    said = ridge.predict(scale.transform(found.inputs["test"]))
    np.testing.assert_allclose(found.judged(model, "test"), (said - found.targets["test"]) ** 2, rtol=1e-4)
    with Store(tmp_path, write=True) as store:
        store.begin({"task": {}}, [RecipeRow("adam", "")])
        Baselines(["logistic"], task).fit(store, Protocol(trials=1, seeds=1), lambda _: None)
        metric = {"name": "squared error", "higher_is_better": False, "unit": ""}
        sentence = against(store, {}, None, metric)["sentences"][0]
    assert sentence.startswith("The line to beat, at one setting: logistic (as ridge) ")


def test_support_vectors_take_quantities_in_any_unit():
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    targets = inputs @ [1.0, -2.0, 0.5]
    one, two = (fitted("svm", 0, 0, inputs, unit * targets)[0].predict(inputs) for unit in (1.0, 1000.0))
    np.testing.assert_allclose(1000 * one, two, rtol=1e-6)
    both = np.stack([targets, -targets], 1)
    assert fitted("svm", 0, 0, inputs, both)[0].predict(inputs).shape == (60, 2)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("setting", [0, MOST - 1])
def test_all_learn_classes_and_quantities(name, setting):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    truth = x @ [2.0, -1.0, 0.0, 0.5]
    classes = (truth > 0).astype(int)
    model, _ = fitted(name, setting, 3, x[:150], classes[:150])
    assert (model.predict(x[150:]) == classes[150:]).mean() > (0.75 if setting == 0 else 0.5)
    model, _ = fitted(name, setting, 3, x[:150], truth[:150])
    error = np.mean((model.predict(x[150:]) - truth[150:]) ** 2)
    assert error < truth[150:].var() * (0.5 if setting == 0 else 1.1)


def test_one_score_an_example_gets_log_odds(tmp_path):
    x = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    metric = tw.Metric("right", lambda output, y: ((output.squeeze(-1) > 0) == (y > 0)).float(), True)
    task = tw.Task(
        model=lambda: nn.Linear(3, 1), data=(x, (x[:, 0] > 0).long()), metric=metric,
        loss=lambda output, y: F.binary_cross_entropy_with_logits(output.squeeze(-1), y.float()),
    )  # fmt: skip
    found = examples(task, ["knn"])
    model, _ = fitted("knn", 0, 0, found.inputs["train"], found.targets["train"])
    right = model.predict(found.inputs["test"]) == found.targets["test"]
    np.testing.assert_array_equal(found.judged(model, "test"), right)


def test_tokens_are_counted_wherever_they_stand_and_padding_is_not():
    rows = [[5, 3, 3, 0], [3, 5, 3, 0], [7, 7, 2, 1], [7, 5, 0, 0]] * 15
    task = tw.Task(
        model=lambda: nn.EmbeddingBag(8, 2, padding_idx=0), data=(torch.tensor(rows), [0, 0, 1, 1] * 15),
        loss=F.cross_entropy, metric=tw.accuracy,
    )  # fmt: skip
    found = examples(task, ["svm"])
    bags = {
        tuple(row.tolist()): bag for row, bag in zip(task.train.inputs, found.inputs["train"].toarray(), strict=True)
    }
    assert found.seen == "bags of tokens, weighted by tf-idf"
    np.testing.assert_array_equal(bags[5, 3, 3, 0], bags[3, 5, 3, 0])
    assert [set(np.flatnonzero(bags[row])) for row in ((7, 7, 2, 1), (7, 5, 0, 0))] == [{1, 2, 7}, {5, 7}]
    for name in CLASSICAL:
        model, _ = fitted(name, 0, 0, found.inputs["train"], found.targets["train"])
        assert found.judged(model, "test").mean() == 1.0


# -- chosen, and judged --------------------------------------------------------------------------------


def fit(setting, valid, test=0.5, *, name="knn", repeat=0, outcomes=None):
    return BaselineRecord(name, setting, repeat, "it", "", 0.1, 1.0, valid, test, outcomes)


def test_validation_chooses_the_first_of_equals_and_the_test_split_has_no_say():
    tried = [fit(0, 0.8, 0.9), fit(1, 0.9, 0.1), fit(2, 0.9, 0.2), fit(3, math.nan, 1.0)]
    assert chosen_setting(tried, higher=True) == 1
    assert chosen_setting(tried, higher=False) == 0
    assert chosen_setting([fit(0, math.nan)], higher=True) is None


def against_planted(tmp_path, recipes, baselines):
    with Store(tmp_path, write=True) as store:
        store.begin({"task": {}}, [RecipeRow("adam", "")])
        models = {name: [name, name] for name in baselines}
        store.put("baselines", {"settings": 2, "seen": "4 numbers", "version": "1", "models": models})
        for name, outcomes in baselines.items():
            store.add_baseline(fit(1, 0.9, name=name, outcomes=outcomes.astype(np.float32)))
        arms = {name: Arm(scores, runs=len(scores)) for name, scores in recipes.items()}
        return against(store, arms, next(iter(recipes)), {"name": "accuracy", "higher_is_better": True, "unit": "%"})


def test_recipes_are_held_against_baselines_example_by_example(tmp_path):
    rng = np.random.default_rng(0)
    hard = rng.random(400) < 0.2
    right = ~hard * 1.0
    turned = [np.concatenate([rng.choice(np.flatnonzero(hard == side), 4) for side in (0, 1)]) for _ in range(8)]
    recipe = np.stack([np.where(np.isin(np.arange(400), other), 1 - right, right) for other in turned])
    found = against_planted(
        tmp_path, {"adam": recipe}, {"knn": right * (rng.random(400) < 0.8), "svm": right, "trees": np.ones(400)}
    )
    pairs = {pair["baseline"]: pair for pair in found["baselines"]["pairs"]}
    assert {name: pair["claimed"] for name, pair in pairs.items()} == {"knn": True, "svm": False, "trees": True}
    assert pairs["trees"]["difference"] == pytest.approx(recipe.mean() - 1)
    assert pairs["trees"]["crossed"][0] < pairs["trees"]["seeds"][0] < pairs["trees"]["seeds"][1] < 0
    first, second = found["sentences"]
    assert first.startswith("Lines to beat, the best of 2 settings by validation: trees 100")
    assert second.startswith("adam is ahead of knn by ")
    assert "is behind trees by" in second
    assert second.endswith("cannot be told apart from svm.")


def test_one_model_that_is_right_on_every_example_may_be_wrong_on_another():
    low, high = over_examples(np.ones(36), 0.05)
    assert low < 1 - 2 / 36  # three in thirty-six is what 36 out of 36 cannot rule out
    assert high > 1
    assert over_examples([0.3], 0.05) is None
    np.testing.assert_allclose(over_examples(np.full(20, 0.3), 0.05), 0.3)
    rng = np.random.default_rng(0)
    inside = 0
    for scores in (rng.random((500, 200)) < 0.9).astype(float):
        low, high = over_examples(scores, 0.05)
        inside += low <= 0.9 <= high
    assert inside > 0.93 * 500


def test_a_baseline_that_cannot_be_fitted_is_a_warning_with_its_reason(tmp_path, monkeypatch):
    whole = module.fitted

    def failing(name, *given):
        if name == "knn":
            raise MemoryError("no room for all distances")
        return whole(name, *given)

    monkeypatch.setattr(module, "fitted", failing)
    done = study(tmp_path, baselines=["knn", "logistic"])
    assert "knn was not judged: MemoryError: no room for all distances." in done.verdict["warnings"]
    assert [row["name"] for row in done.verdict["baselines"]["rows"] if row["mean"] is not None] == ["logistic"]
    assert "no room" in done.report.read_text()


# -- going on ------------------------------------------------------------------------------------------


def refuse(*_):
    raise AssertionError("it was fitted before")


def test_a_finished_study_fits_nothing_again_and_keeps_its_baselines_without_being_asked(finished, monkeypatch):
    done, out = finished
    monkeypatch.setattr(module, "fitted", refuse)
    for named in (["knn", "trees"], [], ["trees"]):
        assert study(out, baselines=named).verdict == done.verdict


def test_a_study_stopped_between_two_fits_goes_on_there(finished, tmp_path, monkeypatch):
    done, _ = finished
    whole, count = module.fitted, iter(range(99))

    def stopping(*given):
        if next(count) == 3:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(module, "fitted", stopping)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, baselines=["knn", "trees"])
    kept = fits(tmp_path)
    assert len(kept) == 3
    again = study(tmp_path)  # they are still asked for
    assert {key: one.cpu_seconds for key, one in fits(tmp_path).items() if key in kept} == {
        key: one.cpu_seconds for key, one in kept.items()
    }
    for key in ("pairs", "settings", "lead"):
        assert again.verdict["baselines"][key] == done.verdict["baselines"][key]


def test_a_finished_study_can_be_asked_for_more(tmp_path, monkeypatch):
    first = study(tmp_path, baselines=["knn"])
    whole, fitted_now = module.fitted, []
    monkeypatch.setattr(module, "fitted", lambda name, *given: fitted_now.append(name) or whole(name, *given))
    then = study(tmp_path, baselines=["logistic"])
    assert fitted_now == ["logistic"] * 2
    assert [row["name"] for row in then.verdict["baselines"]["rows"]] == ["knn", "logistic"]
    assert then.verdict["pairs"] == first.verdict["pairs"]


# -- what is refused -----------------------------------------------------------------------------------


class Two(nn.Linear):
    def forward(self, a, b):
        return super().forward(a + b)


class Columns(nn.Module):
    """A table for each of three columns of categories."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(9, 2) for _ in range(3))

    def forward(self, x):
        return sum(table(x[:, i]) for i, table in enumerate(self.tables))


X = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long()
PLAIN = {"model": lambda: nn.Linear(4, 2), "data": (X, Y), "loss": F.cross_entropy, "metric": tw.accuracy}
OWN = tw.Metric("log likelihood", lambda output, y: -F.cross_entropy(output, y, reduction="none"), True)
SIGN = tw.Metric("right", lambda output, y: ((output > 0) == (y > 0)).float().squeeze(-1), True)
UNFIT = {
    "unknown": (PLAIN, ["knm"], r'unknown baseline "knm"; did you mean "knn"\?'),
    "twice": (PLAIN, ["knn", "knn"], 'the baseline "knn" is named twice; each is fitted once'),
    "nameless": (PLAIN, [""], "a baseline without a name; write knn,svm,logistic,trees, or some of them"),
    "several": (
        PLAIN | {"model": lambda: Two(4, 2), "data": ((X, X), Y)}, ["knn"],
        "an example of it is made of several inputs",
    ),
    "tables": (
        PLAIN | {"model": lambda: Columns(), "data": (torch.arange(180).reshape(60, 3) % 9, Y)}, ["knn"],
        "looks up in several tables",
    ),
    "sequences": (
        {"model": lambda: nn.Linear(4, 4), "data": (X, (X > 0).long()), "metric": tw.squared_error,
         "loss": lambda output, y: F.mse_loss(output, y.float())},
        ["knn"], "its targets are sequences or structures",
    ),
    "shares": (
        PLAIN | {"model": lambda: nn.Linear(4, 1), "data": (X, Y[:, None].float()), "metric": SIGN,
                 "loss": F.binary_cross_entropy_with_logits},
        ["knn"], "zeros and ones with fractions",
    ),
    "likelihood": (PLAIN | {"metric": OWN}, ["knn", "svm"], "the baseline svm gives classes without probabilities"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_what_baselines_cannot_take_is_refused_before_anything_is_written(case, tmp_path):
    arguments, names, message = UNFIT[case]
    with pytest.raises(InputError, match=message):
        study(tmp_path / "new", tw.Task(**arguments), baselines=names)
    assert not (tmp_path / "new").exists()


def test_a_metric_that_asks_for_the_likeliest_class_takes_what_gives_classes_alone_whatever_it_is_called():
    """And one that asks for more takes none, though it be called balanced accuracy."""
    macro = tw.Metric("macro F1", lambda output, y: _f1(output.argmax(-1), y), True)
    sign = tw.Metric("right", lambda output, y: ((output > 0) == (y > 0)[:, None]).float().squeeze(-1), True)
    for more in ({"metric": macro}, {"metric": sign, "model": lambda: nn.Linear(4, 1), "loss": one_score}):
        found = examples(tw.Task(**PLAIN | more), ["svm"])
        model, _ = fitted("svm", 0, 0, found.inputs["train"], found.targets["train"])
        assert found.judged(model, "test").mean() > 0.7
    sure = tw.Metric("balanced accuracy", lambda output, y: (output.softmax(-1).amax(-1) > 0.9).float(), True)
    with pytest.raises(InputError, match="svm gives classes without probabilities"):
        examples(tw.Task(**PLAIN | {"metric": sure}), ["svm"])


def one_score(output, y):
    return F.binary_cross_entropy_with_logits(output.squeeze(-1), y.float())


def _f1(said, y):
    hits = [((said == c) & (y == c)).sum() / ((said == c).sum() + (y == c).sum()).clamp(min=1) for c in (0, 1)]
    return torch.stack(hits).sum()


def test_a_metric_of_likelihoods_takes_those_that_have_probabilities():
    found = examples(tw.Task(**PLAIN | {"metric": OWN}), ["knn", "logistic", "trees"])
    model, _ = fitted("logistic", 0, 0, found.inputs["train"], found.targets["train"])
    shares = model.predict_proba(found.inputs["test"])
    own = np.log(shares[np.arange(len(shares)), found.targets["test"]])
    np.testing.assert_allclose(found.judged(model, "test"), own, rtol=1e-4, atol=1e-6)
