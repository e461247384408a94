"""Gradients of deep networks at initialisation grow with batch norm as its mean field theory says."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from thalweg import Key, activation, init, inspect, norm
from thalweg.errors import InputError

X = torch.randn(128, 30, generator=torch.Generator().manual_seed(0))


def test_with_batch_norm_and_relu_by_the_root_of_pi_over_pi_minus_1():
    """Yang et al. 2019: π / (π − 1) in the square; other norms, and none with He's gain, keep gradients."""
    found = inspect.gradient_growth(X, depth=30, norms=(None, norm.batch(), norm.layer(), norm.rms())).networks
    assert [x.norm for x in found] == ["none", "batch", "layer", "rms"]
    assert [x.predicted for x in found] == [
        None, pytest.approx(math.sqrt(math.pi / (math.pi - 1)), rel=1e-6), pytest.approx(1), pytest.approx(1),
    ]  # fmt: skip
    assert found[1].factor == pytest.approx(found[1].predicted, rel=0.02)
    for x in (found[0], *found[2:]):
        assert x.factor == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", ["tanh", "gelu", "elu"])
def test_predictions_hold_for_other_activations(kind):
    norms = (norm.batch(), norm.layer())
    found = inspect.gradient_growth(X, depth=20, norms=norms, activation=activation.CATALOGUE[kind]()).networks
    for x in found:
        assert x.factor == pytest.approx(x.predicted, rel=0.03)


def test_what_is_measured_is_the_gradient_by_the_weights():
    growth = inspect.gradient_growth(X, depth=4, width=16, norms=(None,), activation=activation.tanh(), seed=3)
    (found,) = growth.networks
    parts = [
        nn.Linear(30, 16),
        nn.Tanh(),
        nn.Linear(16, 16),
        nn.Tanh(),
        nn.Linear(16, 16),
        nn.Tanh(),
        nn.Linear(16, 16),
    ]
    model = nn.Sequential(*parts)
    init.he_normal().apply(model, Key(3) / "gradient growth")
    y = model(X)
    y.backward(torch.tensor((Key(3) / "gradient").generator().standard_normal(y.shape)).float())
    np.testing.assert_allclose(found.norms, [model[i].weight.grad.norm().item() for i in (0, 2, 4, 6)], rtol=1e-5)
    assert found.factor == pytest.approx(found.norms[1] / found.norms[2], rel=1e-6)


def test_the_seed_says_all_and_generators_stay():
    state = torch.get_rng_state()
    one, again, other = (str(inspect.gradient_growth(X, depth=5, width=8, seed=seed)) for seed in (0, 0, 1))
    assert one == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_a_table_and_a_picture(tmp_path):
    found = inspect.gradient_growth(X, depth=5, width=16)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["norm", "none", "batch", "norms"]
    assert lines[2].endswith("1.211")
    found.save(tmp_path / "a.svg")
    assert "layer, from the input" in (tmp_path / "a.svg").read_text()
    dead = inspect.gradient_growth(X, depth=5, width=16, norms=(None,), init=init.zeros())
    assert not dead.networks[0].norms[:-1].any()
    dead.save(tmp_path / "b.svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": X[:1]}, "takes inputs"),
        ({"batch": X.long()}, "takes inputs"),
        ({"depth": 2}, "depth takes a whole number from 4 up, not 2"),
        ({"width": 1.5}, "width takes a whole number from 2 up, not 1.5"),
        ({"norms": ()}, "norms takes at least one ingredient"),
        ({"norms": (norm.instance(),)}, "instance norm needs axes behind the features"),
    ],
)
def test_what_cannot_be_gets_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        inspect.gradient_growth(**{"batch": X, **arguments})
