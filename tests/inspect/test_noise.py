"""The noise of mini-batches' gradients: exact where it is known, and the law 1/B holds."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg import inspect, optim
from thalweg.errors import InputError
from thalweg.key import Key
from untouched import facts, same

SQUARED = nn.functional.mse_loss


def line():
    """Return a linear model of three numbers, with inputs, targets, and the gradient of each example by hand."""
    generator = np.random.default_rng(0)
    x, t = generator.normal(size=(40, 3)), generator.normal(size=40)
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Flatten(0)).double()
    w = model[0].weight.detach().numpy()[0]
    return model, (torch.from_numpy(x), torch.from_numpy(t)), 2 * (x @ w - t)[:, None] * x


def test_of_a_line_everything_is_known():
    model, data, g = line()
    found = inspect.noise(model, data, SQUARED, sizes=(1, 4, 16), draws=5)
    mean = g.mean(0)
    assert found.gradient == pytest.approx(np.linalg.norm(mean))
    assert found.trace == pytest.approx(np.trace(np.cov(g.T, bias=True)))
    assert found.scale == pytest.approx(found.trace / (mean @ mean))
    np.testing.assert_allclose(found.law, found.trace / np.array([1, 4, 16]))
    for row, size in enumerate((1, 4, 16)):
        for draw in range(5):
            rows = (Key(0) / "noise" / size / draw).generator().integers(0, 40, size)
            drawn = g[rows].mean(0)
            assert found.squares[row, draw] == pytest.approx(((drawn - mean) ** 2).sum())
            cosine = drawn @ mean / np.linalg.norm(drawn) / np.linalg.norm(mean)
            assert found.cosines[row, draw] == pytest.approx(cosine)


def test_the_law_holds_of_a_network():
    found = inspect.noise(small_digits(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))), draws=60)
    ratio = found.squares.mean(1) / found.law
    spread = found.squares.std(1) / found.law / np.sqrt(60)
    assert (np.abs(ratio - 1) < 4 * spread).all()
    assert found.slope == pytest.approx(-1, abs=0.1)


def test_noise_grows_against_the_gradient_as_a_task_is_learned():
    task = small_digits(lambda: nn.Linear(64, 10))
    recipe = tw.Recipe(optimizer=optim.adam(lr=0.01))
    before, after = (
        inspect.noise(task, recipe=recipe, steps=steps, sizes=(1, 8), draws=3, examples=100) for steps in (0, 60)
    )
    assert (before.examples, after.examples, after.steps) == (100, 100, 60)
    assert after.scale > 2 * before.scale


def test_dropout_and_batch_norm_add_nothing():
    model = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 10))
    x, y = load_digits(return_X_y=True)
    data = (torch.tensor(x[:30] / 16, dtype=torch.float32), torch.tensor(y[:30]))
    before = facts(model)
    one, other = (
        inspect.noise(model, data, nn.functional.cross_entropy, sizes=(1, 30), draws=4, seed=seed) for seed in (0, 1)
    )
    assert (one.trace, one.gradient) == (other.trace, other.gradient)
    assert not np.array_equal(one.squares, other.squares)
    assert same(before, facts(model))


def test_it_is_a_table_and_a_picture(tmp_path):
    model, data, _ = line()
    found = inspect.noise(model, data, SQUARED, sizes=(1, 4, 16, 256), draws=5)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["1", "4", "16", "256"]
    assert "means over 5 batches, of 40 examples; noise falls as B to the power" in lines[5]
    assert f"= {found.scale:.3g}: batches" in lines[6]
    assert len(found.chart().to_dict()["layer"]) == 4
    found.save(tmp_path / "a.svg")
    assert "batch size B" in (tmp_path / "a.svg").read_text()
    still = inspect.noise(model, (data[0], data[0] @ model[0].weight.detach()[0]), SQUARED, sizes=(1, 4), draws=3)
    assert still.gradient == pytest.approx(0, abs=1e-12)
    assert str(still)
    still.save(tmp_path / "b.svg")


MODEL, DATA, _ = line()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.noise(3), "noise takes a Task or an nn.Module, not int"),
        (lambda: inspect.noise(MODEL), "give noise(model, (inputs, targets), loss)"),
        (lambda: inspect.noise(MODEL, DATA, SQUARED, steps=3), "recipe and steps are for tasks"),
        (lambda: inspect.noise(MODEL, (DATA[0], DATA[1][:5]), SQUARED), "differ in length"),
        (lambda: inspect.noise(MODEL, DATA, SQUARED, sizes=(4, 2)), "sizes takes at least two whole numbers, rising"),
        (lambda: inspect.noise(MODEL, DATA, SQUARED, sizes=(1.5, 2)), "each of sizes takes a whole number"),
        (lambda: inspect.noise(MODEL, DATA, SQUARED, draws=1), "draws takes a whole number from 2 up"),
        (lambda: inspect.noise(MODEL, (DATA[0][:, :2], DATA[1]), SQUARED), "cannot take 40 examples"),
        (lambda: inspect.noise(nn.Flatten(), DATA, SQUARED), "has no parameter that is trained"),
        (lambda: inspect.noise(tw.load_task("wine"), loss=SQUARED), "a task brings its data and loss along"),
        (lambda: inspect.noise(tw.load_task("wine"), recipe=optim.adam()), "recipe takes a Recipe, not"),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
