"""Layers whose weights are distributions: what they draw, their divergences, and what is left after pruning."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import nn

from thalweg import dropout
from thalweg.errors import InputError
from thalweg.train.dropout import KeyedDropout

KINDS = {
    "variational": (dropout.VariationalLinear, dropout.VariationalConv2d),
    "sparse_variational": (dropout.SparseVariationalLinear, dropout.SparseVariationalConv2d),
}
by_kind = pytest.mark.parametrize("kind", KINDS)


def layers(kind):
    """A linear layer and a convolution with stride, padding and groups, and inputs for them."""
    torch.manual_seed(0)
    technique = dropout.CATALOGUE[kind]
    linear = technique().module(nn.Linear(6, 4).double())
    convolution = technique().module(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="circular").double()
    )
    if kind == "sparse_variational":
        for layer in (linear, convolution):
            nn.init.uniform_(layer.log_variance, -6.0, -1.0)
    return [
        (linear, torch.randn(1, 6, dtype=torch.float64)),
        (convolution, torch.randn(1, 4, 5, 5, dtype=torch.float64)),
    ]


def variances(layer):
    """Return the variance of each weight."""
    if isinstance(layer, (dropout.VariationalLinear, dropout.VariationalConv2d)):
        return layer.alpha.view(-1, *[1] * (layer.weight.dim() - 1)) * layer.weight**2
    return layer.log_alpha.exp() * layer.weight**2


@by_kind
def test_what_is_drawn_is_what_drawn_weights_would_give(kind):
    """The mean and variance of outputs, over 20,000 draws of outputs and as many of weights."""
    count = 20_000
    for layer, x in layers(kind):
        with torch.no_grad(), KeyedDropout(torch.tensor(1)):
            drawn = layer(x.expand(count, *x.shape[1:]))
        plain = layer.pruned() if kind == "variational" else copy.deepcopy(layer.pruned())
        with torch.no_grad():
            noise = torch.randn(count // 20, *layer.weight.shape, dtype=torch.float64)
            given = layer.weight + variances(layer).sqrt() * noise
            by_weights = torch.cat([_with(plain, w)(x) for w in given])
            plain.weight.copy_(layer.weight)
        deviation = drawn.std(0)
        assert ((drawn.mean(0) - plain(x)[0]).abs() < 5 * deviation / count**0.5 + 1e-4).all()
        torch.testing.assert_close(deviation, by_weights.std(0), rtol=0.12, atol=1e-3)


def _with(layer, weight):
    layer.weight.copy_(weight)
    return layer


@by_kind
def test_the_bias_has_no_part_in_the_variance(kind):
    for layer, x in layers(kind):
        outputs = []
        for bias in (0.0, 1000.0):
            with torch.no_grad(), KeyedDropout(torch.tensor(1)):
                layer.bias.fill_(bias)
                outputs.append(layer(x) - bias)
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-9)


@by_kind
def test_gradients_are_finite_where_nothing_enters_and_where_weights_are_0(kind):
    for layer, x in layers(kind):
        with torch.no_grad():
            layer.weight[0] = 0.0
        loss = (layer(torch.zeros_like(x)) ** 2).sum() + (layer(x) ** 2).sum() + dropout.kl(layer)
        loss.backward()
        assert all(p.grad.isfinite().all() for p in layer.parameters())


# -- divergences -----------------------------------------------------------------------------------------


def exact(alpha):
    """−KL of N(1, α) from the log-uniform prior, so that it is 0 for α → ∞: by quadrature."""
    deviation = math.sqrt(alpha)

    def integrand(z):
        return math.log(abs(1 + deviation * z)) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    kink = -1 / deviation
    inside = [kink] if -10 < kink < 10 else None
    mean, _ = integrate.quad(integrand, -10, 10, points=inside, limit=400)
    return 0.5 * math.log(alpha) - mean - 0.5 * (np.euler_gamma + math.log(2))


def test_the_divergence_of_the_sparse_kind_is_that_of_the_integral():
    layer = dropout.SparseVariationalLinear(1, 1, bias=False).double()
    for log_alpha in np.linspace(-7.5, 7.5, 16):
        with torch.no_grad():
            layer.weight.fill_(1.0)
            layer.log_variance.fill_(log_alpha)
        assert layer.kl().item() == pytest.approx(-exact(math.exp(log_alpha)), abs=0.02)


def test_the_divergence_of_the_bounded_kind_is_that_of_the_integral_up_to_a_constant():
    layer = dropout.VariationalLinear(3, 1, bias=False)
    found = []
    for alpha in np.linspace(0.05, 0.99, 20):
        with torch.no_grad():
            layer.raw_alpha.fill_(math.log(alpha / (1 - alpha)))
        found.append(layer.kl().item() / 3 + exact(alpha))
    assert max(found) - min(found) < 0.02
    alpha = 0.4
    with torch.no_grad():
        layer.raw_alpha.fill_(math.log(alpha / (1 - alpha)))
    by_hand = 0.5 * math.log(alpha) + 1.16145124 * alpha - 1.50204118 * alpha**2 + 0.58629921 * alpha**3
    assert layer.kl().item() == pytest.approx(-3 * by_hand, rel=1e-5)


def test_alpha_begins_where_it_is_told_and_stays_below_1():
    layer = dropout.variational(0.3).module(nn.Linear(4, 3))
    assert layer.alpha.tolist() == pytest.approx([0.3] * 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    for _ in range(50):
        optimizer.zero_grad()
        dropout.kl(layer).backward()  # which falls as α rises
        optimizer.step()
    assert (layer.alpha <= 1).all()
    assert (layer.alpha > 0.95).all()
    (layer(torch.ones(5, 4)) ** 2).sum().backward()
    assert (layer.raw_alpha.grad != 0).all(), "the data can still pull it down"


def test_divergences_add_up_and_a_layer_in_two_places_counts_once():
    one, other = dropout.SparseVariationalLinear(4, 4), dropout.VariationalLinear(4, 4)
    model = nn.Sequential(one, nn.ReLU(), one, other)
    torch.testing.assert_close(dropout.kl(model), one.kl() + other.kl())
    assert dropout.kl(model).shape == ()


def test_the_weight_of_the_divergence_grows_from_start_to_end():
    weights = [dropout.warm_up(epoch) for epoch in range(25)]
    assert weights[:6] == [0.0] * 6
    assert weights[6] == pytest.approx(1 / 15)
    assert weights[20:] == [1.0] * 5
    assert dropout.warm_up(3, start=2, end=4) == 0.5


# -- pruning ---------------------------------------------------------------------------------------------


def test_a_weight_that_is_mostly_noise_is_gone_in_evaluation_and_after_pruning():
    for layer, x in layers("sparse_variational"):
        with torch.no_grad():
            layer.weight[0] = 0.1
            layer.log_variance[0] = 2 * math.log(0.1) + 2.9
            layer.weight[1] = 0.1
            layer.log_variance[1] = 2 * math.log(0.1) + 3.1
        plain = layer.pruned()
        assert type(plain) in (nn.Linear, nn.Conv2d)
        assert (plain.weight[0] == 0.1).all()
        assert (plain.weight[1] == 0).all()
        gone = (plain.weight == 0).double().mean().item()
        assert layer.sparsity == dropout.sparsity(layer) == gone
        assert torch.equal(plain(x), layer.eval()(x))
        layer.threshold = 2.0
        assert (layer.pruned().weight[:2] == 0).all()


def test_log_alpha_is_bounded_and_zero_weights_do_not_break_it():
    layer = dropout.SparseVariationalLinear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 1e6, 1.0]]))
        layer.log_variance.copy_(torch.tensor([[0.0, -10.0, -5.0]]))
    assert layer.log_alpha.tolist() == [pytest.approx([8.0, -8.0, -5.0])]


def test_a_pruned_model_is_plain_and_evaluates_to_the_same():
    shared = dropout.SparseVariationalLinear(8, 8)
    model = nn.Sequential(nn.Linear(4, 8), shared, nn.ReLU(), shared, dropout.VariationalLinear(8, 2)).eval()
    nn.init.uniform_(shared.log_variance, -6.0, 3.0)
    before = copy.deepcopy(model.state_dict())
    plain = dropout.pruned(model)
    x = torch.randn(5, 4)
    assert torch.equal(plain(x), model(x))
    assert {type(module) for module in plain} == {nn.Linear, nn.ReLU}
    assert plain[1] is plain[3]
    other = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))
    other.load_state_dict(plain.state_dict())
    assert torch.equal(other(x), plain(x))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert 0 < dropout.sparsity(model) < 1
    alone = dropout.pruned(shared)
    assert type(alone) is nn.Linear


@by_kind
def test_a_plain_layer_gives_its_weights_and_all_its_options(kind):
    plain = nn.Conv2d(4, 6, (3, 5), stride=2, padding="valid", dilation=2, groups=2, bias=False, dtype=torch.float64)
    layer = dropout.CATALOGUE[kind]().module(plain)
    assert layer.weight is plain.weight
    x = torch.randn(2, 4, 20, 20, dtype=torch.float64)
    assert layer(x).shape == plain(x).shape
    if kind == "variational":
        assert torch.equal(layer.eval()(x), plain(x))
    made = KINDS[kind][1](4, 6, 3, padding=1)
    assert made(torch.ones(1, 4, 5, 5)).shape == (1, 6, 5, 5)


def test_digits_lose_most_weights_and_little_else():
    """The kind works: trained for a while, half of the weights go and the model has still learnt."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(targets)
    torch.manual_seed(0)
    model = nn.Sequential(dropout.SparseVariationalLinear(64, 64), nn.ReLU(), dropout.SparseVariationalLinear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(40):
        for rows in torch.randperm(1400).split(100):
            weight = 0.3 * dropout.warm_up(epoch, start=5, end=20)
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows]) + weight * dropout.kl(model) / 1400
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    plain = dropout.pruned(model).eval()
    assert dropout.sparsity(model) > 0.6
    assert (plain(x[1400:]).argmax(1) == y[1400:]).double().mean() > 0.85


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dropout.kl(nn.Linear(2, 2)), "the model has no variational layer"),
        (lambda: dropout.pruned(nn.Linear(2, 2)), "the model has no variational layer"),
        (lambda: dropout.sparsity(dropout.VariationalLinear(2, 2)), "the model has no sparse variational layer"),
        (lambda: dropout.warm_up(3, start=5, end=5), "a warm-up needs start < end, not 5 and 5"),
        (
            lambda: dropout.VariationalLinear(2, 2, alpha=1.2),
            "alpha of variational takes a number above 0 up to, but",
        ),
        (lambda: dropout.SparseVariationalLinear(2, 2, threshold=9.0), "threshold of sparse_variational takes"),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
