"""The error on the line between two sets of weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from small import small_digits
from thalweg import optim, prune
from thalweg.errors import InputError


def ends(*weights):
    return [{"weight": torch.tensor([[w]])} for w in weights]


def line():
    return nn.Linear(1, 1, bias=False)


def test_the_barrier_is_the_highest_point_over_the_mean_of_the_ends():
    errors = {0.0: 0.1, 0.25: 0.2, 0.5: 0.6, 0.75: 0.4, 1.0: 0.3}
    found = prune.connectivity(line(), *ends(0.0, 1.0), lambda m: errors[m.weight.item()], points=5)
    assert found.shares == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert found.errors == tuple(errors.values())
    assert found.barrier == pytest.approx(0.6 - 0.2)


def test_the_ends_are_the_ends_to_the_bit_and_nothing_is_changed():
    torch.manual_seed(0)
    net, first, second = (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)) for _ in range(3))
    first(torch.randn(9, 4))
    states = [copy.deepcopy(m.state_dict()) for m in (net, first, second)]
    seen = []
    found = prune.connectivity(
        net, first.state_dict(), second.state_dict(), lambda m: seen.append(copy.deepcopy(m)) or 1.0, points=30
    )
    assert len(seen) == 30
    assert found.barrier == 0.0
    assert not any(m.training for m in seen)
    for end, where in ((first, 0), (second, -1)):
        for name, value in end.state_dict().items():
            if value.is_floating_point():
                assert torch.equal(seen[where].state_dict()[name], value)
    for m, before in zip((net, first, second), states, strict=True):
        assert all(torch.equal(value, before[name]) for name, value in m.state_dict().items())


def test_a_pruned_weight_is_0_all_the_way():
    net = nn.Linear(6, 4)
    masks = prune.magnitude().masks(net, 0.3)
    first = {name: p.detach() * masks.get(name, 1) for name, p in net.named_parameters()}
    second = {name: -2 * value for name, value in first.items()}
    found = prune.connectivity(net, first, second, lambda m: float(m.weight[~masks["weight"]].count_nonzero()))
    assert set(found.errors) == {0.0}


def test_the_same_batches_lead_to_one_basin_and_other_beginnings_do_not():
    """On digits, as in Frankle et al. 2020: children of one network are connected late in training."""
    task = small_digits(nn.Linear)
    x, y = task.train.inputs, task.train.targets

    def trained(net, seed, steps):
        net = copy.deepcopy(net)
        generator = torch.Generator().manual_seed(seed)
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        for _ in range(steps):
            batch = torch.randint(len(x), (32,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
        return net

    def fresh(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))

    def error(m):
        with torch.no_grad():
            return (m(x).argmax(1) != y).double().mean().item()

    parent = trained(fresh(0), 0, 150)
    children = [trained(parent, seed, 150).state_dict() for seed in (1, 2)]
    strangers = [trained(fresh(seed), seed, 300).state_dict() for seed in (3, 4)]
    assert prune.connectivity(parent, *children, error).barrier < 0.02
    assert prune.connectivity(parent, *strangers, error).barrier > 0.1


def test_what_cannot_be_is_said():
    first, second = ends(0.0, 1.0)
    with pytest.raises(InputError, match="connectivity takes a whole number of points from 2 up, not 1"):
        prune.connectivity(line(), first, second, lambda m: 0.0, points=1)
    with pytest.raises(InputError, match="connectivity misses weight in the second weights"):
        prune.connectivity(line(), first, {}, lambda m: 0.0)
    with pytest.raises(InputError, match='unknown name in the first weights for connectivity "bias"'):
        prune.connectivity(line(), {**first, "bias": torch.ones(1)}, second, lambda m: 0.0)
    with pytest.raises(InputError, match=r"takes weight of the shape \(1, 1\), and the second weights have \(2,\)"):
        prune.connectivity(line(), first, {"weight": torch.ones(2)}, lambda m: 0.0)
    with pytest.raises(InputError, match=r"connectivity got the error nan at 0\.5 of the way"):
        prune.connectivity(line(), first, second, lambda m: float("nan") if m.weight == 0.5 else 0.0, points=3)
