"""What a constant answer scores, and of which recipes the verdict says that they are no better."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.record import BaselineRecord, Store
from thalweg.report.lines import best
from thalweg.report.reading import read
from thalweg.report.scale import scale_of
from thalweg.study import ablate
from thalweg.study.constant import against, constant, kept, said, told
from thalweg.task import Metric, absolute_error, accuracy, squared_error

ACCURACY = {"name": "accuracy", "higher_is_better": True, "unit": "%"}


def made(targets, model, metric, loss=nn.functional.mse_loss, **more):
    inputs = torch.randn(len(targets), 4, generator=torch.Generator().manual_seed(0))
    return tw.Task(model=model, data=(inputs, targets), loss=loss, metric=metric, **more)


@pytest.fixture
def rare():
    """A task with one class in sixteen, and inputs that say nothing of it."""
    targets = (torch.arange(800) % 16 == 0).long()
    return made(targets, lambda: nn.Linear(4, 2), accuracy, nn.functional.cross_entropy, name="rare", epochs=1)


# -- what it scores ------------------------------------------------------------------------------------


def test_of_classes_it_is_the_commonest_of_train_judged_on_test(rare):
    found = constant(rare)
    assert found.declared == "class 0, the commonest"
    assert found.outcomes.tolist() == (rare.test.targets == 0).float().tolist()
    assert (found.train, found.test) == pytest.approx((0.9375, float((rare.test.targets == 0).float().mean())))
    named = made((torch.arange(80) % 4 == 0).long(), lambda: nn.Linear(4, 2), accuracy, nn.functional.cross_entropy)
    named.classes = ("no", "yes")
    assert constant(named).declared == "'no', the commonest class"


def test_a_metric_of_probabilities_gets_the_shares_of_the_classes():
    bits = Metric("nats", lambda z, y: nn.functional.cross_entropy(z, y, reduction="none"), higher_is_better=False)
    targets = (torch.arange(400) % 4 == 0).long()
    found = constant(made(targets, lambda: nn.Linear(4, 2), bits, nn.functional.cross_entropy))
    assert found.train == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), rel=1e-3)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("metric", "word"), [(squared_error, "mean"), (absolute_error, "median")])
def test_of_quantities_it_is_what_the_metric_prefers_of_mean_and_median(metric, word, outputs):
    values = torch.rand(200, outputs, generator=torch.Generator().manual_seed(1)) ** 4
    task = made(values, lambda: nn.Linear(4, outputs), metric)
    found, train = constant(task), task.train.targets.numpy()
    middle = train.mean(0) if word == "mean" else np.median(train, 0)
    assert found.declared == f"the {word}{'s' * (outputs > 1)} of the training targets"
    assert found.outcomes == pytest.approx(metric.outcomes(torch.tensor(middle).expand(task.test.targets.shape),
                                                           task.test.targets).numpy(), rel=1e-5)  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1], ids=["mostly 1", "mostly 0"])
@pytest.mark.parametrize(("dtype", "shape"), [(torch.int64, (-1,)), (torch.float32, (-1, 1))])
def test_where_one_score_decides_between_two_its_sign_is_that_of_the_commoner(sign, dtype, shape):
    targets = ((torch.arange(400) % 4 == 0) == (sign < 0)).to(dtype).reshape(shape)
    right = Metric("right", lambda z, y: ((z.reshape(y.shape) > 0) == (y > 0.5)).float().reshape(-1), True, "%")

    def loss(z, y):
        return nn.functional.binary_cross_entropy_with_logits(z.reshape(y.shape), y.float())

    task = made(targets, lambda: nn.Linear(4, 1), right, loss)
    found = constant(task)
    share = float((task.train.targets > 0.5).float().mean())
    assert found.train == pytest.approx(max(share, 1 - share))
    assert str(int(sign > 0)) in found.declared


def test_a_metric_that_takes_no_such_outputs_is_let_be():
    def picky(output, targets):
        if output.std() == 0:
            raise ValueError("no")
        return (output.argmax(1) == targets).float()

    targets = (torch.arange(400) % 4 == 0).long()
    loss = nn.functional.cross_entropy
    assert constant(made(targets, lambda: nn.Linear(4, 2), Metric("picky", picky, True), loss)) is not None
    nan = Metric("nan", lambda z, y: torch.full((len(y),), float("nan")), True)
    assert constant(made(targets, lambda: nn.Linear(4, 2), nan, loss)) is None
    broken = Metric("broken", lambda z, y: z.no_such_thing, True)
    assert constant(made(targets, lambda: nn.Linear(4, 2), broken, loss)) is None


def test_a_class_at_each_place_says_nothing_and_breaks_nothing():
    places = torch.arange(400).reshape(100, 4) % 3
    right = Metric("right", lambda z, y: (z.argmax(-1) == y).float().mean(1), True)

    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(1, 3)

        def forward(self, x):
            return self.inner(x[..., None])

    task = made(places, Places, right, lambda z, y: nn.functional.cross_entropy(z.flatten(0, 1), y.flatten()))
    assert constant(task) is None


# -- what is said --------------------------------------------------------------------------------------


def answer(outcomes, declared="'no', the commonest class"):
    outcomes = np.asarray(outcomes, np.float32)
    return BaselineRecord("constant", 0, 0, declared, "", 0.0, 0.9, 0.9, float(outcomes.mean()), outcomes)


BASE = np.arange(400) % 16 > 0
"""Outcomes of the constant answer: 93.75 %."""

NONE = {"sentences": ["a", "b"], "warnings": ["c"], "unit": "%"}


def held(arms, metric=ACCURACY, outcomes=BASE):
    return against(answer(outcomes), arms, metric, 0.05)


def same(seeds=3, but=0):
    """Scores of runs that answer as the constant does, and are right on some examples more."""
    scores = np.tile(BASE, (seeds, 1)).astype(float)
    scores[:, np.flatnonzero(~BASE)[:but]] = 1.0
    return scores


def test_where_no_recipe_is_better_the_second_sentence_says_so():
    found = said(NONE, held({"adam": same(), "sgd": same()}))
    text = "No recipe is better than always answering 'no', the commonest class: 93.75\xa0%."
    assert found["sentences"] == ["a", text, "b"]
    assert found["warnings"] == ["c"]
    assert told(held({"adam": same()}), "%")[0].startswith("adam is no better than always answering 'no', the")


def test_where_some_are_a_warning_names_the_others():
    found = said(NONE, held({"adam": same(but=20), "sgd": same(), "lion": same()}))
    text = "sgd and lion are no better than always answering 'no', the commonest class: 93.75\xa0%."
    assert (found["sentences"], found["warnings"]) == (["a", "b"], [text, "c"])
    assert found["constant"]["recipes"][0]["better"] is True


def test_a_little_better_is_not_better_yet_and_is_said_so():
    found = told(held({"adam": same(but=1), "sgd": same()}), "%")
    assert found[0].startswith("No recipe was shown to be better than always answering")


def test_of_recipes_that_all_are_better_nothing_is_said():
    found = said(NONE, held({"adam": same(but=25), "sgd": same(but=24)}))
    assert (found["sentences"], found["warnings"]) == (NONE["sentences"], NONE["warnings"])
    assert told(None, "%") == ("", False)


def test_an_error_is_better_where_it_is_smaller():
    noise = np.random.default_rng(0).random((5, 300))
    metric = {"name": "squared error", "higher_is_better": False, "unit": ""}
    arms = {"good": 0.2 * noise, "bad": 2 + noise}
    found = against(answer(noise[0] + 1, "the mean of the training targets"), arms, metric, 0.05)
    text, every = told(found, "")
    assert (text.partition(":")[0], every) == (
        "bad is no better than always answering the mean of the training targets", False
    )  # fmt: skip


def test_with_one_seed_the_mean_decides_and_scores_of_another_shape_say_nothing():
    found = held({"adam": same(1, but=2), "sgd": same(1)})
    assert [row["better"] for row in found["recipes"]] == [True, False]
    assert held({"adam": same()[:, :1]}) is None
    assert against(None, {"adam": same()}, ACCURACY, 0.05) is None


# -- in studies ----------------------------------------------------------------------------------------


@pytest.fixture
def recipes():
    return {name: tw.Recipe(tw.optim.sgd(lr=rate), epochs=1) for name, rate in (("a", 0.01), ("b", 0.02))}


def test_a_study_of_recipes_that_always_answer_the_same_says_so_and_shows_the_line(rare, recipes, tmp_path):
    rare.classes = ("no", "yes")
    study = tw.compare(rare, recipes, trials=1, seeds=3, out=tmp_path, processes=1, progress=False)
    text = study.verdict["sentences"][1]
    assert text.startswith("No recipe "), study.verdict["sentences"]
    assert "better than always answering 'no', the commonest class: " in text
    shown = read(tmp_path)
    line = best(shown, scale_of(shown))
    assert line["label"] == ["always 'no'"]
    assert line["at"] == pytest.approx([100 * study.verdict["constant"]["mean"]], rel=1e-4)
    assert "always answering" in (tmp_path / "report.html").read_text()


def test_a_study_that_an_older_version_began_goes_on(rare, recipes, tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.study.constant.keep", lambda task, store: None)
    old = tw.compare(rare, recipes, trials=1, seeds=2, out=tmp_path, processes=1, progress=False)
    assert old.verdict["constant"] is None
    monkeypatch.undo()
    new = tw.compare(rare, recipes, trials=1, seeds=2, out=tmp_path, processes=1, progress=False)
    assert new.verdict["constant"]["said"] == "class 0, the commonest"
    with Store(tmp_path) as store:
        assert kept(store).test == pytest.approx(new.verdict["constant"]["mean"])


def test_an_ablation_says_so_too(rare, tmp_path):
    recipe = tw.Recipe(tw.optim.sgd(lr=0.01), loss=tw.loss.cross_entropy(smoothing=0.1), epochs=1)
    study = ablate(rare, recipe, plain=tw.Recipe(tw.optim.sgd(lr=0.01), epochs=1), seeds=3, out=tmp_path,
                   processes=1, progress=False)  # fmt: skip
    assert "better than always answering class 0, the commonest" in " ".join(study.verdict["sentences"][:2])
