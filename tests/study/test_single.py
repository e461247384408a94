"""One recipe, trained once, leaves all that it takes to use and to repeat it."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.record import Store
from thalweg.study import train


def net():
    return nn.Sequential(nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


RECIPE = tw.Recipe(tw.optim.adam(lr=0.02), tw.schedule.cosine(), epochs=3)


def test_weights_recipe_and_record_are_there_and_agree(tmp_path):
    task = small_digits(net)
    trained = train(task, RECIPE, out=tmp_path, seed=5, progress=False)
    model = net()
    model.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        outcomes = task.metric.outcomes(model.eval()(task.test.inputs), task.test.targets)
    assert trained.record.test == pytest.approx(outcomes.mean().item())
    assert tw.Recipe.from_file(tmp_path / "recipe.toml") == RECIPE.resolved()
    assert (tmp_path / "report.html").exists()
    assert not list(tmp_path.glob("*.tmp"))
    with Store(tmp_path) as store:
        (kept,) = store.runs().values()
    assert (kept.seed, kept.test, kept.status) == (5, trained.record.test, "finished")
    words = str(trained)
    assert f"test {100 * kept.test:.2f} %" in words
    assert str(tmp_path) in words


def test_the_same_again_is_not_trained_twice_and_another_is_refused(tmp_path):
    task = small_digits(net)
    first = train(task, RECIPE, out=tmp_path, progress=False)
    again = train(task, RECIPE, out=tmp_path, progress=False)
    assert again.record.cpu_seconds == first.record.cpu_seconds
    weights = (tmp_path / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds another run or study; choose another --out"):
        train(task, RECIPE, out=tmp_path, seed=1, progress=False)
    assert (tmp_path / "weights.safetensors").read_bytes() == weights


def test_a_run_that_diverged_says_so(tmp_path):
    trained = train(small_digits(net), tw.Recipe(tw.optim.sgd(lr=3e38), epochs=1), out=tmp_path, progress=False)
    assert str(trained).startswith("diverged: the loss or the weights stopped being finite in epoch 1 of 1")


@pytest.mark.parametrize(
    ("recipe", "seed", "message"),
    [
        (RECIPE, -1, "seed takes a whole number from 0 up, not -1"),
        (tw.Recipe(schedule=tw.schedule.warmup(99), epochs=1), 0, "recipe adam: the schedule .* lasts 99 steps"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(tmp_path, recipe, seed, message):
    with pytest.raises(InputError, match=message):
        train(small_digits(net), recipe, out=tmp_path / "new", seed=seed, progress=False)
    assert not (tmp_path / "new").exists()
