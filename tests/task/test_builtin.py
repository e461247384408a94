"""Every built-in task can be studied: it passes its check, and trains under both executors."""

import functools

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.task import builtin_tasks, check, fingerprint
from thalweg.train import EXECUTORS, Member, train

SIZES = {
    "digits": (1079, 359, 359),
    "digits-cnn": (1079, 359, 359),
    "wine": (106, 36, 36),
    "breast_cancer": (343, 113, 113),
    "diabetes": (266, 88, 88),
    "docstrings": None,  # the standard library's, which grows
    "pysource": (1024, 192, 384),
}

load = functools.cache(tw.load_task)

every = pytest.mark.parametrize("name", builtin_tasks())


def recipe(task, epochs=1):
    return tw.Recipe(tw.optim.adam(lr=0.003), batch_size=task.batch_size, epochs=epochs).resolved()


def test_all_are_known_here():
    assert list(builtin_tasks()) == list(SIZES)


@every
def test_it_passes_its_check_and_says_where_it_comes_from(name):
    task = load(name)
    check(task)
    assert (task.name, task.origin.spec) == (name, name)
    assert task.origin.file.is_file()


@every
def test_its_splits_are_what_they_have_always_been(name):
    task = load(name)
    sizes = tuple(len(part) for part in (task.train, task.valid, task.test))
    assert sizes == (SIZES[name] or sizes)
    assert min(sizes) >= 36
    if task.metric is tw.accuracy:
        known = task.train.targets.unique()
        assert known.tolist() == list(range(len(known)))
        for part in (task.valid, task.test):
            assert part.targets.unique().equal(known)


@every
def test_no_example_is_in_two_splits(name):
    task = load(name)
    rows = [
        {part.inputs[i].numpy().tobytes() + part.targets[i].numpy().tobytes() for i in range(len(part))}
        for part in (task.train, task.valid, task.test)
    ]
    twice = len(rows[0] & rows[1]) + len(rows[0] & rows[2]) + len(rows[1] & rows[2])
    # Some docstrings are copied in the library, and some licences are.
    assert twice <= 0.03 * sum(map(len, rows))


@every
@pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=pytest.mark.slow) if name == "compiled" else name for name in EXECUTORS]
)
def test_it_trains_under_both_executors(name, executor):
    task = load(name)
    (result,) = train(task, [Member(recipe(task), 0)], executor)
    assert result.reason == ""
    before, after = result.curve.valid
    assert after > before if task.metric.higher_is_better else after < before


@pytest.mark.parametrize("name", ["wine", "docstrings"])
def test_it_is_the_same_when_made_again(name):
    assert fingerprint(tw.load_task(name)) == fingerprint(load(name))


def test_diabetes_is_scaled_so_that_the_training_mean_scores_1():
    task = load("diabetes")
    zeros = torch.zeros(len(task.train))
    assert task.metric.outcomes(zeros, task.train.targets).mean().item() == pytest.approx(1)
    assert task.train.targets.mean().item() == pytest.approx(0, abs=1e-6)


def test_the_next_byte_is_the_target_and_is_not_seen_beforehand():
    task = load("pysource")
    assert task.train.inputs[:, 1:].equal(task.train.targets[:, :-1])
    module, inputs = task.model(0).eval(), task.train.inputs[:2].clone()
    with torch.no_grad():
        one = module(inputs)
        inputs[:, 40:] = 0
        two = module(inputs)
    torch.testing.assert_close(one[:, :40], two[:, :40])
    assert not torch.allclose(one[:, 40:], two[:, 40:])


def test_an_even_guess_costs_8_bits_a_byte():
    task = load("pysource")
    even = torch.zeros(5, 64, 256)
    np.testing.assert_allclose(task.metric.outcomes(even, task.test.targets[:5]), 8, rtol=1e-5)
    assert task.loss(even, task.test.targets[:5]).item() == pytest.approx(8 * np.log(2))


def test_words_that_are_none_do_not_count():
    module = load("docstrings").model(0)
    words = torch.tensor([[5, 9, 0, 0], [5, 9, 5, 9], [0, 0, 0, 0]])
    short, long, none = module(words)
    torch.testing.assert_close(short, long)
    torch.testing.assert_close(none, module.out.bias)


def test_a_model_that_digits_does_not_have_is_refused():
    from thalweg.task.digits import digits

    with pytest.raises(tw.InputError, match='digits has the models mlp and cnn, not "resnet"'):
        digits("resnet")


@pytest.mark.parametrize("home", ["docstrings", "pysource"])
def test_a_python_without_its_source_is_refused(home, tmp_path, monkeypatch):
    module = __import__(f"thalweg.task.{home}", fromlist=[home])
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(tw.InputError, match="comes without the source of its standard library"):
        getattr(module, home)()
