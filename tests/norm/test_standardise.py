"""Data standardisation fitted batch by batch, as a part of the model."""

import copy
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thalweg import norm, standardize
from thalweg.errors import InputError


def data(shape=(60, 4), seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = torch.logspace(-3, 3, shape[1]).view(-1, *[1] * (len(shape) - 2))
    return 5 * size + size * torch.randn(shape, generator=generator)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=6), dims=st.integers(0, 2))
def test_however_the_data_are_batched_it_is_standardize(cuts, dims):
    """Batches of any sizes, empty ones among them; features of sizes a million apart."""
    x = data((60, 4, 3, 2)[: 2 + dims])
    ends = [0, *sorted(cuts), 60]
    batches = [x[a:b] for a, b in itertools.pairwise(ends)]
    scale = norm.Standardise(4, dims).fit(batches)
    torch.testing.assert_close(scale(x), standardize(x)[0], rtol=1e-5, atol=1e-5)
    others = data((9, *x.shape[1:]), seed=1)
    torch.testing.assert_close(scale(others), standardize(x, others)[1], rtol=1e-5, atol=1e-5)


def test_its_moments_are_exact_where_those_of_batches_of_float32_would_not_be():
    """A deviation a millionth of the mean, over batches that each lie elsewhere."""
    x = 1e6 + torch.arange(3000.0)[:, None]
    scale = norm.Standardise(1, dtype=torch.float64).fit(x.split(7))
    assert scale.mean.item() == pytest.approx(x.double().mean().item(), rel=1e-15)
    assert scale.deviation.item() == pytest.approx(x.double().std(correction=0).item(), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 123.456])
def test_a_feature_that_is_constant_becomes_0(value):
    x = torch.stack([torch.full((50,), value), torch.arange(50.0)], 1)
    scale = norm.Standardise(2).fit(x.split(7))
    assert (scale(x)[:, 0] == 0).all()
    assert (scale(x + 1)[:, 0] == 0).all()
    assert scale(x)[:, 1].std(correction=0).item() == pytest.approx(1)


def test_a_loaders_targets_are_left_out():
    x = data()
    loader = DataLoader(TensorDataset(x, torch.arange(60)), batch_size=7)
    assert torch.equal(norm.Standardise(4).fit(loader).mean, norm.Standardise(4).fit([(y,) for y in x.split(7)]).mean)


def test_until_it_is_fitted_it_changes_nothing():
    x = data()
    assert torch.equal(norm.Standardise(4)(x), x)


def test_it_is_saved_with_its_model():
    x = data((30, 3, 4, 4))
    net = nn.Sequential(norm.Standardise(3, dims=2).fit([x]), nn.Conv2d(3, 2, 3))
    fresh = nn.Sequential(norm.Standardise(3, dims=2), nn.Conv2d(3, 2, 3))
    assert not torch.equal(fresh(x), net(x))
    fresh.load_state_dict(net.state_dict())
    for again in (fresh, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(again(x), net(x))
    torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), net(x))
    assert not list(net[0].parameters())
    assert torch.fx.symbolic_trace(net)(x).shape == net(x).shape
    assert repr(net[0]) == "Standardise(3, dims=2)"


def test_gradients_pass_to_the_inputs_and_none_is_kept_by_fitting():
    x = data().requires_grad_()
    scale = norm.Standardise(4).fit([x])
    assert not scale.mean.requires_grad
    scale(x).sum().backward()
    torch.testing.assert_close(x.grad, (1 / scale.deviation).expand(60, 4))


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: norm.Standardise(4).fit([]), "Standardise.fit got no examples"),
        (lambda: norm.Standardise(4).fit([torch.zeros(0, 4)]), "Standardise.fit got no examples"),
        (
            lambda: norm.Standardise(4).fit([data(), data((5, 3))]),
            r"batch 1 of Standardise.fit has shape \(5, 3\); its 2 axes must be \(N, 4\)",
        ),
        (
            lambda: norm.Standardise(3, 2).fit([torch.zeros(5, 3)]),
            r"batch 0 of Standardise.fit has shape \(5, 3\); its 4 axes must be \(N, 3, …\)",
        ),
        (
            lambda: norm.Standardise(4).fit([torch.ones(5, 4, dtype=torch.int64)]),
            "no tensor of numbers with fractions",
        ),
        (lambda: norm.Standardise(4).fit([[1.0, 2.0]]), "no tensor of numbers with fractions"),
        (
            lambda: norm.Standardise(2).fit([torch.tensor([[1.0, 2.0], [3.0, float("nan")]])]),
            "batch 0 of Standardise.fit has NaN or infinity in feature 1",
        ),
        (lambda: norm.Standardise(0), "features takes a whole number from 1 up, not 0"),
        (lambda: norm.Standardise(2, dims=-1), "dims takes a whole number from 0 up, not -1"),
    ],
)
def test_what_cannot_be_fitted_gets_one_sentence(fit, message):
    with pytest.raises(InputError, match=message):
        fit()


def test_a_fit_that_is_refused_leaves_it_as_it_was():
    scale = norm.Standardise(4).fit([data()])
    before = copy.deepcopy(scale.state_dict())
    with pytest.raises(InputError):
        scale.fit([data(seed=1), data((5, 3))])
    assert all(torch.equal(value, before[name]) for name, value in scale.state_dict().items())


def test_a_steep_valley_becomes_round():
    """The lecture's picture: with raw inputs of unlike sizes the loss is far steeper along some weights."""
    raw = data().double()
    scale = norm.Standardise(4).double().fit([raw])

    def steepest_over_flattest(x):
        curvature = torch.linalg.eigvalsh(x.T @ x / len(x))
        return (curvature[-1] / curvature[0]).item()

    assert steepest_over_flattest(raw) > 1e6
    assert steepest_over_flattest(scale(raw)) < 3
