"""The task of a file or folder is judged by the metric that is asked for, by name; and by what each counts."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from test_tabular import PRICES, SIZES, load, table  # noqa: F401

import thalweg as tw
from thalweg import InputError, load_task, split
from thalweg.study import facts
from thalweg.task import fingerprint
from thalweg.task.judged import OF_QUANTITIES, judge
from thalweg.task.loading import task_of

DRAWS = np.random.default_rng(0)
RARE = ["yes" if i % 12 == 0 else "no" for i in range(60)]


def scores(n, classes, seed=0):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.945, 0.055), (0.7, 0.2, 0.1)])
def test_balanced_accuracy_of_a_stratified_split_is_the_mean_recall(shares):
    y = np.repeat(np.arange(len(shares)), (2000 * np.array(shares)).round().astype(int))
    metric = tw.balanced_accuracy(y)
    for rows in split(len(y), (0.6, 0.2, 0.2), 0, y):
        output, targets = scores(len(rows), len(shares)), torch.tensor(y[rows])
        values = metric.outcomes(output, targets)
        assert values.shape == (len(rows),)
        assert values.mean().item() == pytest.approx(balanced_accuracy_score(targets, output.argmax(1)), rel=1e-5)


def test_always_saying_one_class_is_one_over_the_classes_and_no_example_weighs_by_its_neighbours():
    y = torch.tensor([0] * 90 + [1] * 10)
    metric = tw.balanced_accuracy(y)
    said = torch.tensor([[1.0, 0.0]]).expand(100, 2)
    assert metric.outcomes(said, y).mean().item() == pytest.approx(0.5)
    output = scores(100, 2)
    pieces = [metric.outcomes(output[i : i + 7], y[i : i + 7]) for i in range(0, 100, 7)]
    assert torch.equal(torch.cat(pieces), metric.outcomes(output, y))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0.0, 1.0], r"takes the classes of all examples, .* of float32"),
        ([], "takes the classes of all examples"),
        ([0, 0], "got one class alone"),
        ([0, 2], "got no example of class 1"),
        ([-1, 0], "whole numbers"),
    ],
)
def test_balanced_accuracy_refuses_what_are_no_classes(targets, message):
    with pytest.raises(InputError, match=message):
        tw.balanced_accuracy(targets)


def test_balanced_accuracy_refuses_a_class_that_it_was_not_given():
    with pytest.raises(InputError, match="was given 2 classes, and targets have the class 2"):
        tw.balanced_accuracy([0, 1]).outcomes(scores(1, 3), torch.tensor([2]))


def test_without_classes_it_is_no_metric():
    x = scores(60, 4)
    with pytest.raises(InputError, match=r"given the classes of all examples: balanced_accuracy\(y\)"):
        tw.Task(
            model=lambda: torch.nn.Linear(4, 2), data=(x, (x[:, 0] > 0).long()), metric=tw.balanced_accuracy,
            loss=torch.nn.functional.cross_entropy,
        )  # fmt: skip


def test_a_table_of_classes_is_judged_as_asked(load):  # noqa: F811
    task = load(table(price=RARE), metric="balanced_accuracy")
    assert task.metric.name == "balanced accuracy"
    for part in (task.valid, task.test):
        said = torch.nn.functional.one_hot(torch.zeros(len(part), dtype=torch.long), 2)
        assert task.metric.outcomes(said, part.targets).mean().item() == pytest.approx(0.5)
    usual = load(table(price=RARE))
    assert usual.metric is tw.accuracy
    one, other = fingerprint(task), fingerprint(usual)
    assert [word for word in one if one[word] != other[word]] == ["metric"]
    assert "metric='balanced_accuracy'" in task.origin.expression
    assert fingerprint(task_of(task.origin.file, task.origin.expression)) == one


@pytest.mark.parametrize(("name", "power"), [("squared_error", 2), ("absolute_error", 1)])
def test_errors_of_a_quantity_are_in_its_own_units(load, name, power):  # noqa: F811
    task = load(table(price=7 * PRICES + 100), metric=name)
    usual = load(table(price=7 * PRICES + 100))
    assert usual.metric.name == "relative squared error"
    rows = split(60, (0.6, 0.2, 0.2), 0)
    mean = float((7 * PRICES[rows[0]]).mean())
    expected = np.abs(7 * PRICES[rows[2]] - mean) ** power
    found = task.metric.outcomes(torch.zeros(len(task.test)), task.test.targets)
    assert found.numpy() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("price", "metric", "message"),
    [
        (
            RARE,
            "squared_error",
            "the metric squared_error is for a quantity, and what is predicted is classes; choose",
        ),
        (
            PRICES,
            "accuracy",
            "the metric accuracy is for classes, and what is predicted is a quantity; choose one of",
        ),
        (RARE, "auc", "the metric auc is not known; choose one of accuracy, balanced_accuracy"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(load, price, metric, message):  # noqa: F811
    with pytest.raises(InputError, match=message):
        load(table(price=price), metric=metric)


def test_arrays_are_judged_as_asked(tmp_path):
    y = np.array([0] * 50 + [1] * 10)
    np.savez(tmp_path / "some.npz", x=DRAWS.normal(size=(60, 3)), y=y)
    task = load_task(tmp_path / "some.npz", metric="balanced_accuracy")
    assert task.metric.outcomes(torch.tensor([[0.0, 1.0]]), torch.tensor([1])).item() == pytest.approx(3)
    np.savez(tmp_path / "more.npz", x=DRAWS.normal(size=(60, 3)), y=DRAWS.normal(size=60))
    assert load_task(tmp_path / "more.npz", metric="absolute_error").metric.name == "absolute error"


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("wine", {"metric": "accuracy"}, "--metric is that of a file or folder of data; the task wine says its own"),
        ("mine.py:task", {"metric": "accuracy"}, "the task mine.py:task says its own, as metric="),
        ("wine", {"missing": "fill"}, "--missing is about the values of a CSV file, and wine is not one"),
    ],
)
def test_what_has_no_choice_of_it_says_so(spec, options, message):
    with pytest.raises(InputError, match=message):
        load_task(spec, **options)


@pytest.mark.parametrize("name", OF_QUANTITIES)
def test_errors_say_that_they_are_not_below_0_and_records_keep_it(name):
    metric = judge(name, deviation=2.0)
    assert metric.least == 0.0
    assert facts.task_facts(quantity(metric))["metric"]["least"] == 0.0
    assert facts.task_facts(quantity(tw.Metric("gain", metric.outcomes, True)))["metric"]["least"] is None


@pytest.mark.parametrize("least", [math.nan, -math.inf, "0"])
def test_what_no_value_is_below_is_a_number(least):
    with pytest.raises(InputError, match="least= of a metric takes a number that it cannot be below, or None, not"):
        tw.Metric("mine", tw.squared_error.outcomes, False, least=least)


def quantity(metric):
    data = torch.rand(30, 4), torch.rand(30, 1)
    return tw.Task(model=lambda: torch.nn.Linear(4, 1), data=data, loss=torch.nn.MSELoss(), metric=metric)
