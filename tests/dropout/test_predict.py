"""Predictions by a sample of dropout masks: their mean, spread and likelihood, and that nothing is moved by them."""

import math
import random

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn
from torch.nn import functional as F

from thalweg import dropout
from thalweg.errors import InputError


def linear(p=0.4):
    torch.manual_seed(0)
    return nn.Sequential(dropout.mc(p).module(), nn.Linear(6, 3)).double()


X = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_mean_and_spread_are_those_of_the_masks():
    """Of a linear layer they are known: the mean is what evaluation gives, the variance Σ w² x² p / (1 − p)."""
    model, samples = linear(), 4000
    found = dropout.predict(model, X, samples=samples)
    expected = ((X**2) @ (model[1].weight.detach() ** 2).T * 0.4 / 0.6).sqrt()
    torch.testing.assert_close(found.spread, expected, rtol=0.1, atol=0)
    mean = model.eval()(X)
    assert ((found.mean - mean).abs() < 5 * expected / samples**0.5).all()


def sample(model, x, samples, **more):
    """Return every output by itself: one sample each, whose mean it is."""
    return [dropout.predict(model, x, samples=1, key=key, **more) for key in range(samples)]


def test_one_sample_is_as_likely_as_its_own_density_says():
    model, targets = linear(), torch.randn(20, 3, dtype=torch.float64)
    for one in sample(model, X, 3, targets=targets, precision=2.5):
        expected = stats.norm(one.mean.numpy(), 1 / math.sqrt(2.5)).logpdf(targets.numpy()).sum(1)
        np.testing.assert_allclose(one.log_likelihood, expected, rtol=1e-9)
        assert one.probabilities is None
        assert (one.spread == 0).all()


def test_many_samples_are_as_likely_as_the_mean_of_their_densities():
    """logsumexp(−½ τ (y − ŷ)²) − log T − ½ log 2π + ½ log τ, on outputs given by hand."""
    from thalweg.inspect._predict import _summed_up

    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 4, dtype=torch.float64, generator=generator)
    targets, tau = torch.randn(4, dtype=torch.float64, generator=generator), 3.0
    squares = (targets - outputs).numpy() ** 2
    expected = special.logsumexp(-0.5 * tau * squares, axis=0) - math.log(50) - 0.5 * math.log(2 * math.pi)
    mean, spread, probabilities, likelihood = _summed_up(outputs, targets, tau)
    np.testing.assert_allclose(likelihood, expected + 0.5 * math.log(tau), rtol=1e-12)
    np.testing.assert_allclose(mean, outputs.numpy().mean(0))
    np.testing.assert_allclose(spread, outputs.numpy().std(0, ddof=1))
    assert probabilities is None
    scores = torch.randn(50, 4, 3, dtype=torch.float64, generator=generator)
    classes = torch.tensor([0, 2, 1, 1])
    shares = special.softmax(scores.numpy(), axis=2).mean(0)
    _, _, probabilities, likelihood = _summed_up(scores, classes, None)
    np.testing.assert_allclose(probabilities, shares)
    np.testing.assert_allclose(likelihood, np.log(shares[range(4), classes]), rtol=1e-12)


def test_scores_with_places_are_as_likely_as_all_their_places_together():
    class Places(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, self.training).view(-1, 3, 2)

    targets = torch.randint(3, (20, 2))
    (one,) = sample(Places(), X, 1, targets=targets)
    shares = one.mean.log_softmax(1).gather(1, targets[:, None]).sum((1, 2))
    torch.testing.assert_close(one.log_likelihood, shares)


def test_the_key_decides_and_examples_are_many():
    model = linear()
    a, b = dropout.predict(model, X, samples=30), dropout.predict(model, X, samples=30)
    assert torch.equal(a.mean, b.mean)
    assert not torch.equal(a.mean, dropout.predict(model, X, samples=30, key=1).mean)
    rows = X[:1].expand(500, -1)
    found = dropout.predict(model, rows, samples=7, batch_size=64)
    assert found.mean.shape == (500, 3)
    assert len(found.mean.unique(dim=0)) > 480, "each example has masks of its own, in every batch"
    together = dropout.predict(model, X, samples=2000, batch_size=100_000)
    torch.testing.assert_close(together.spread, dropout.predict(model, X, samples=2000).spread, rtol=0.2, atol=0)


def test_where_a_model_has_mc_that_alone_is_sampled():
    """Its dropouts double what stays; with both on, what stays would be four times as large."""
    x = torch.ones(4000, 1)
    both = nn.Sequential(dropout.mc(0.5).module(), nn.Dropout(0.5), dropout.gaussian(0.5).module())
    assert set(dropout.predict(both, x, samples=1).mean.unique().tolist()) == {0.0, 2.0}
    others = nn.Sequential(nn.Dropout(0.5), dropout.dropout(0.5).module())
    assert set(dropout.predict(others, x, samples=1).mean.unique().tolist()) == {0.0, 4.0}


class Own(nn.Module):
    """A module of the user's own, which calls the function."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return F.dropout(self.norm(x), p=0.5, training=self.training)


class Attending(nn.Module):
    """Dropout inside torch's own attention and recurrent layers."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.3, batch_first=True)
        self.recurrent = nn.LSTM(6, 4, num_layers=2, dropout=0.3, batch_first=True)

    def forward(self, x):
        x = x.float()[:, None].expand(-1, 5, -1)
        return self.recurrent(self.attention(x, x, x)[0])[0][:, -1]


class Selu(nn.Sequential):
    """Dropout for networks that normalise themselves."""

    def __init__(self):
        super().__init__(nn.Linear(6, 6, dtype=torch.float64), nn.AlphaDropout(0.2))


SAMPLED = {
    "own": Own,
    "attending": Attending,
    "encoder": lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.3, batch_first=True),
    "alpha": Selu,
    "recurrent": lambda: Last(dropout.RecurrentDropout(nn.GRU(6, 4, batch_first=True), 0.3)),
    "variational": lambda: dropout.VariationalLinear(6, 3),
    "sparse": lambda: dropout.SparseVariationalLinear(6, 3),
}


class Last(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


@pytest.mark.parametrize("name", SAMPLED)
def test_all_dropout_is_sampled_and_nothing_is_moved(name):
    torch.manual_seed(0)
    model = SAMPLED[name]().double() if name != "attending" else SAMPLED[name]()
    x = X[:, None].expand(-1, 5, -1) if name in ("encoder", "recurrent") else X
    model.train()
    list(model.modules())[-1].eval()
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    found = dropout.predict(model, x, samples=20, batch_size=10)
    assert (found.spread > 0).double().mean() > 0.9
    assert torch.equal(found.mean, dropout.predict(model, x, samples=20, batch_size=10).mean)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == generators[1:]  # noqa: NPY002


def test_the_mode_is_left_as_it_was_whatever_happens():
    model = linear()
    model[1].eval()
    with pytest.raises(RuntimeError):
        dropout.predict(model, X[:, :2], samples=3)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)


def test_inputs_may_be_several_tensors():
    class Two(nn.Module):
        def forward(self, a, b):
            return F.dropout(a, 0.5, self.training) + b

    both = dropout.predict(Two(), (X, X), samples=3)
    assert both.mean.shape == X.shape
    assert torch.equal(both.mean, dropout.predict(Two(), {"b": X, "a": X}, samples=3).mean)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (nn.Linear(6, 3).double(), {}, "the model drops nothing, so there is nothing to sample"),
        (
            Last(dropout.RecurrentDropout(nn.LSTM(6, 3)).double()),
            {"samples": 0},
            "samples takes a whole number from 1",
        ),
        (linear(), {"samples": 2.5}, "samples takes a whole number from 1 up, not 2.5"),
        (linear(), {"batch_size": 0}, "batch_size takes a whole number from 1 up, not 0"),
        (linear(), {"precision": 0.0}, "precision takes a number above 0, not 0.0"),
        (linear(), {"targets": torch.zeros(7)}, "there are 20 examples, but 7 targets"),
        (linear(), {"targets": torch.zeros(20)}, "targets are classes (N, …) for outputs (N, classes, …), or quan"),
        (linear(), {"targets": torch.full((20,), 3)}, "targets are classes from 0 to 2, as there are 3 outputs"),
        (linear(), {"targets": torch.zeros(20), "precision": 1.0}, "of shape (20,), but outputs of shape (20, 3)"),
        (nn.Sequential(linear(), nn.Flatten(0)), {}, "N counting the examples, not one of shape (60,)"),
    ],
)
def test_what_cannot_be_gets_one_sentence(model, arguments, message):
    if "samples" not in arguments:
        arguments = {"samples": 1, **arguments}
    with pytest.raises(InputError) as error:
        dropout.predict(model, X, **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_quantity_needs_its_precision():
    model = nn.Sequential(linear(), nn.Linear(3, 1), nn.Flatten(0)).double()
    with pytest.raises(InputError, match="the likelihood of a quantity needs precision="):
        dropout.predict(model, X, samples=2, targets=torch.zeros(20))
