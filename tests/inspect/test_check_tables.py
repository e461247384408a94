"""Tables with what makes checks cry wolf: rare classes, noise, few columns, categories and rounded numbers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from checked import found
from thalweg import inspect
from thalweg.inspect._checks.sharing import _near
from thalweg.task import Split


def categories(draws, n, count):
    """Return one input a category, of which the first are the most frequent."""
    shares = 1 / np.arange(1, count + 1)
    return np.eye(count)[draws.choice(count, n, p=shares / shares.sum())]


NUMBERS = {
    "normal": lambda draws, shape: draws.standard_normal(shape),
    "skewed": lambda draws, shape: np.exp(1.5 * draws.standard_normal(shape)),
    "even": lambda draws, shape: draws.random(shape),
    "dependent": lambda draws, shape: np.cumsum(draws.standard_normal(shape) * np.geomspace(1, 0.1, shape[1]), 1),
    "far out": lambda draws, shape: draws.standard_cauchy(shape),
}


def independent(n, numbers, kinds, rounded, shape, seed):
    draws = np.random.default_rng([seed, n, numbers, *kinds])
    x = NUMBERS[shape](draws, (n, numbers))
    x = x if rounded is None else np.round(x, rounded)
    return np.concatenate([x, *(categories(draws, n, count) for count in kinds)], 1)


def copied(x, numbers, share, size, seed):
    """Return a table with a share of its rows again, their numbers a little changed, in another order."""
    draws = np.random.default_rng(seed)
    again = x[: int(share * len(x))].copy()
    again[:, :numbers] += size * again[:, :numbers].std(0) * draws.standard_normal((len(again), numbers))
    return draws.permutation(np.concatenate([x, again]))


def near(x):
    x = torch.tensor(x)
    parts = [Split(part, torch.zeros(len(part))) for part in (x[: int(0.6 * len(x))], x[int(0.8 * len(x)) :])]
    return _near(*parts)


@pytest.mark.parametrize("n", [200, 1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_rows_of_an_independent_table_are_no_copies_of_each_other(n):
    alarms = []
    for numbers in (1, 2, 3, 6):
        for kinds in ((), (3, 4), (30,), (300,)):
            for rounded in (None, 1, 3):
                for shape in NUMBERS:
                    x = independent(n, numbers, kinds, rounded, shape, 0)
                    seen = set(map(bytes, x[: int(0.6 * n)]))
                    if not any(bytes(row) in seen for row in x[int(0.8 * n) :]) and near(x) > 0.05:
                        alarms.append((numbers, kinds, rounded, shape))
    assert alarms == []


@pytest.mark.parametrize(
    ("n", "numbers", "kinds"), [(300, 6, ()), (1000, 3, (3, 4)), (2000, 4, (30,)), (1000, 6, ())]
)
@pytest.mark.parametrize("shape", ["normal", "even", "dependent"])
@pytest.mark.parametrize("share", [0.15, 0.5])
def test_copies_with_small_changes_are_seen(n, numbers, kinds, shape, share):
    x = copied(independent(n, numbers, kinds, None, shape, 1), numbers, share, 0.001, 2)
    expected = 2 * share / (1 + share) * 0.6
    assert 0.05 < near(x) < 1.5 * expected + 0.05


def related(n, share, noise, seed, *, bent=False, shuffled=False):
    """Return the task of a table whose target follows its numbers, more or less; a class of so large a share."""
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((n, 6))
    y = x @ draws.standard_normal(6) + (6 * np.abs(x[:, 0]) if bent else 0)
    y = (y - y.mean()) / y.std() + noise * draws.standard_normal(n)
    y = (y - y.mean()) / y.std() if share is None else (y > np.quantile(y, 1 - share)).astype(int)
    y = draws.permutation(y) if shuffled else y
    loss, metric = (F.mse_loss, tw.squared_error) if share is None else (F.cross_entropy, tw.accuracy)
    model = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1 if share is None else 2)
    )
    targets = y.astype(np.float32)[:, None] if share is None else y
    return tw.Task(model=model, data=(x.astype(np.float32), targets), loss=loss, metric=metric)


FAIRLY_SURE = [(1000, 0.2, 1), (2000, 0.055, 1), (1000, None, 3), (2000, 0.5, 3), (2000, 0.055, 3), (2000, 0.1, 3)]
"""Examples, share of the rarer class (None: a quantity), and noise in parts of what the target follows."""


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize(("n", "share", "noise"), FAIRLY_SURE)
def test_a_relation_is_not_missed_where_classes_are_rare_or_noise_is_large(n, share, noise, bent):
    levels = {found(related(n, share, noise, seed, bent=bent), "signal").level for seed in range(2)}
    assert "wrong" not in levels


@pytest.mark.parametrize("share", [0.5, 0.055, 0.02, None])
@pytest.mark.parametrize("n", [300, 1000])
def test_a_weak_relation_in_few_examples_is_no_mistake(n, share):
    assert found(related(n, share, 3, 0), "signal").level != "wrong"


@pytest.mark.parametrize(("n", "share"), [(1000, 0.5), (1000, 0.2), (1000, None), (2000, 0.1)])
def test_shuffled_targets_are_a_mistake_where_there_are_enough_examples(n, share):
    assert [found(related(n, share, 1, seed, shuffled=True), "signal").level for seed in range(2)] == ["wrong"] * 2


@pytest.mark.parametrize(("n", "share"), [(300, 0.5), (1000, 0.055)])
def test_of_shuffled_targets_in_few_examples_it_is_said_that_nothing_is_found(n, share):
    seen = found(related(n, share, 1, 0, shuffled=True), "signal")
    assert (seen.level, "a weak one would not be seen in so few examples" in seen.what) in (
        ("note", True),
        ("skipped", False),
    )


def test_targets_of_valid_that_do_not_go_with_their_inputs_are_a_mistake():
    whole = related(2000, 0.3, 1, 0)
    order = torch.randperm(len(whole.valid), generator=torch.Generator().manual_seed(0))
    parts = {word: (getattr(whole, word).inputs, getattr(whole, word).targets) for word in ("train", "valid", "test")}
    parts["valid"] = (parts["valid"][0], parts["valid"][1][order])
    task = tw.Task(model=whole.factory, loss=whole.loss, metric=whole.metric, **parts)
    seen = found(task, "signal")
    assert (seen.level, "does not hold of valid" in seen.what) == ("wrong", True)


def test_nothing_is_wrong_with_a_table_of_a_rare_class_and_few_columns():
    draws = np.random.default_rng(0)
    x = independent(2000, 3, (3, 4), None, "normal", 0)
    y = x[:, 0] + x[:, 1] + x[:, 3] + 2.5 * draws.standard_normal(2000)
    y = (y > np.quantile(y, 0.945)).astype(int)
    model = lambda: nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 2))  # noqa: E731
    task = tw.Task(model=model, data=(x.astype(np.float32), y), loss=F.cross_entropy, metric=tw.accuracy)
    assert inspect.check(task).wrong == ()
