"""Laws of activations: a new one is covered at once."""

import copy
import math
import pickle

import pytest
import torch
from scipy import integrate, special
from torch import nn
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from thalweg import activation
from thalweg.errors import InputError
from thalweg.technique import LogUniform

TECHNIQUES = list(activation.CATALOGUE.values())
by_name = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)

PAPERS = {
    "sigmoid": lambda x: special.expit(x),
    "tanh": lambda x: math.tanh(x),
    "relu": lambda x: max(0.0, x),
    "softplus": lambda x, beta=1.0, threshold=20.0: (
        x if beta * x > threshold else math.log(1 + math.exp(beta * x)) / beta
    ),
    "leaky_relu": lambda x, slope=0.01: max(0.0, x) + slope * min(0.0, x),
    "elu": lambda x, alpha=1.0: x if x > 0 else alpha * (math.exp(x) - 1),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
}
"""Each as its source has it, on plain numbers."""

OTHERS = {"softplus": {"beta": 3.0, "threshold": 15.0}, "leaky_relu": {"slope": 0.3}, "elu": {"alpha": 1.7}}


def settings(technique):
    return [{}, OTHERS[technique.name]] if technique.hyperparameters else [{}]


def places():
    """Values of every size, 0 and both its sides among them, float64."""
    near = torch.tensor([0.0, 1e-300, -1e-300, 1e-8, -1e-8], dtype=torch.float64)
    return torch.cat([near, torch.linspace(-30, 30, 400, dtype=torch.float64)])


@by_name
def test_its_formula_is_the_papers(technique):
    for values in settings(technique):
        for x in (-9.0, -2.5, -1e-3, 0.0, 0.4, 6.0):
            expected = PAPERS[technique.name](x, **values)
            assert technique.formula(x, **values) == pytest.approx(expected, rel=1e-12, abs=1e-15)
            (on_tensors,) = technique.formula(torch.tensor([x], dtype=torch.float64), **values).tolist()
            assert on_tensors == pytest.approx(expected, rel=1e-12, abs=1e-15)


@by_name
def test_its_module_is_the_formula_in_value_and_gradient(technique):
    """Where the slope jumps too."""
    for values in settings(technique):
        ours, theirs = places().requires_grad_(), places().requires_grad_()
        y = technique.formula(ours, **{**technique.hyperparameters, **values})
        torchs = technique(**values).module()(theirs)
        torch.testing.assert_close(y, torchs, rtol=1e-12, atol=1e-15)
        y.sum().backward()
        torchs.sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-15)


@by_name
def test_its_gradient_is_the_slope_of_its_value(technique):
    for values in settings(technique):
        x = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        for f in (technique.formula, technique(**values).module()):
            assert torch.autograd.gradcheck(f, x)


@by_name
def test_its_module_stays_finite_far_out(technique):
    x = torch.tensor([-1e30, -1e3, 1e3, 1e30], requires_grad=True)
    technique().module()(x).sum().backward()
    assert torch.isfinite(technique().module()(x)).all()
    assert torch.isfinite(x.grad).all()


@by_name
def test_its_module_is_torchs_own_new_each_time_and_says_its_hyperparameters(technique):
    for values in settings(technique):
        ingredient = technique(**values)
        module = ingredient.module()
        assert type(module) is getattr(nn, technique.torchs)
        assert module is not ingredient.module()
        assert not module.state_dict()
        assert all(str(value) in repr(module) for value in values.values())


@by_name
def test_its_module_is_copied_saved_exported_and_traced_like_any(technique):
    for values in settings(technique):
        net = nn.Sequential(nn.Linear(3, 4), technique(**values).module()).double()
        x = torch.randn(5, 3, dtype=torch.float64)
        y = net(x)
        for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert torch.equal(again(x), y)
        other = nn.Sequential(nn.Linear(3, 4), technique(**values).module()).double()
        other.load_state_dict(net.state_dict())
        assert torch.equal(other(x), y)
        assert torch.equal(torch.export.export(net, (x,)).module()(x), y)
        assert torch.equal(make_fx(net)(x)(x), y)


@by_name
def test_stacked_models_give_the_bits_of_one_alone(technique):
    """With 32 units: torch's kernels compute a tensor's last elements another way, which moves their last bits."""
    nets = [nn.Sequential(nn.Linear(3, 32), technique().module()) for _ in range(3)]
    weights = {name: torch.stack([net.state_dict()[name] for net in nets]) for name in nets[0].state_dict()}
    x = torch.randn(3, 5, 3)

    def stacked(rows):
        call = vmap(lambda w, x: functional_call(nets[0], w, (x,)))
        return call({name: w[rows] for name, w in weights.items()}, x[rows])

    together = stacked([0, 1, 2])
    for i in range(3):
        assert torch.equal(together[i], stacked([i] * 3)[0])


def weighed(z, name, values):
    """The square of an activation, by the density of a standard normal distribution."""
    return PAPERS[name](z, **values) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


@by_name
def test_its_gain_is_torchs_or_keeps_the_second_moment(technique):
    for values in settings(technique):
        ingredient, name = technique(**values), technique.name
        if name in ("sigmoid", "tanh", "relu", "leaky_relu"):
            expected = nn.init.calculate_gain(name, *(values.values() or [0.01] if name == "leaky_relu" else []))
        else:
            expected = sum(integrate.quad(weighed, *ends, (name, values))[0] for ends in ((-9, 0), (0, 9))) ** -0.5
        assert ingredient.gain() == pytest.approx(expected, rel=1e-7)
        assert activation.gain(ingredient.module()) == ingredient.gain()


def test_a_range_makes_no_module():
    with pytest.raises(InputError, match="slope of leaky_relu is a range to search; give it a value"):
        activation.leaky_relu(slope=LogUniform(0.01, 0.1)).module()
