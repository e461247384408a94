"""Gains of any of torch's activations, and what they are for."""

import pytest
import torch
from torch import nn

from thalweg import activation
from thalweg.activation._gain import MODULES, second_moments
from thalweg.errors import InputError


def test_an_activation_that_torch_has_no_gain_for_keeps_the_second_moment():
    z = torch.randn(1_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for module in (nn.Mish(), nn.Hardswish(), nn.CELU(0.5), nn.ReLU6(), nn.Softsign(), nn.GELU("tanh")):
        assert (module(z) * activation.gain(module)).square().mean().item() == pytest.approx(1.0, rel=0.01)


def test_learnt_slopes_count_by_their_mean():
    module = nn.PReLU(4)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.0, 0.2, 0.4, 0.6]))
    assert activation.gain(module) == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.3))


def test_asking_changes_nothing():
    module = nn.Softplus(beta=2.0).train()
    activation.gain(module)
    assert module.training
    slopes = nn.PReLU()
    activation.gain(slopes)
    assert slopes.weight.dtype == torch.float32


@pytest.mark.parametrize("module", [nn.Softmax(0), nn.GLU(), nn.Linear(2, 2), nn.Sequential(nn.ReLU())])
def test_what_looks_at_more_than_one_element_has_no_gain(module):
    with pytest.raises(InputError, match=f"{type(module).__name__} is no activation that has a gain"):
        activation.gain(module)


@pytest.mark.parametrize("deviation", [0.05, 1.0, 30.0])
def test_moments_are_exact_where_they_are_known(deviation):
    forward, backward = second_moments(torch.relu, deviation)
    assert forward == pytest.approx(deviation**2 / 2, rel=1e-12)
    assert backward == pytest.approx(0.5, rel=1e-12)
    forward, backward = second_moments(torch.square, deviation)
    assert forward == pytest.approx(3 * deviation**4, rel=1e-12)
    assert backward == pytest.approx(4 * deviation**2, rel=1e-12)
    forward, backward = second_moments(lambda s: torch.ones_like(s), deviation)
    assert (forward, backward) == (pytest.approx(1.0), 0.0)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "elu"])
def test_with_its_gain_a_deep_network_keeps_the_size_of_its_signals(name):
    """Twenty layers of 256 units, in which the second moment of an activation's output stays within a factor of 2."""
    torch.manual_seed(0)
    chosen = activation.CATALOGUE[name]()
    x = torch.randn(64, 256)
    for _ in range(20):
        x = chosen.module()(x) @ (torch.randn(256, 256) * chosen.gain() / 16)
    assert 0.3 < x.var().item() < 3


def test_every_module_of_the_list_looks_at_each_element_alone():
    arguments = {nn.Threshold: (0.1, 20.0)}
    x = torch.randn(6)
    for kind in MODULES:
        module = kind(*arguments.get(kind, ())).eval()
        assert torch.equal(module(x)[2:4], module(x[2:4]))
