"""Averages of weights in anyone's own loop, against torch's."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn

from thalweg import average, optim, schedule
from thalweg.errors import InputError
from thalweg.technique import Choice


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2)).double()


def walk(net, steps, *averages, seed=1):
    """Train on noise; after each step let the averages take the weights in."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(16, 4, generator=generator, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
        for update in averages:
            update()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (average.swa(), {}),
        (average.ema(0.9), {"avg_fn": get_ema_avg_fn(0.9)}),
        (average.ema(), {"multi_avg_fn": get_ema_multi_avg_fn()}),
    ],
    ids=["swa", "ema", "ema of many"],
)
def test_torch_has_the_same_average(ours, theirs):
    net = network()
    mine, other = average.Averaged(net, ours), AveragedModel(net, **theirs)
    walk(net, 30, mine.update, lambda: other.update_parameters(net))
    assert mine.state_dict().keys() == other.state_dict().keys()
    for name, value in mine.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-12, atol=1e-12)
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(mine.eval()(x), other.eval()(x), rtol=1e-12, atol=1e-12)


def test_state_goes_to_torchs_and_back():
    net = network()
    ours, theirs = average.Averaged(net, average.swa()), AveragedModel(net)
    walk(net, 7, ours.update)
    theirs.load_state_dict(ours.state_dict())
    back = average.Averaged(net, average.swa())
    back.load_state_dict(theirs.state_dict())
    walk(net, 7, ours.update, back.update, lambda: theirs.update_parameters(net))
    for name, value in ours.state_dict().items():
        assert torch.equal(value, back.state_dict()[name])
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-12, atol=1e-12)


def test_the_corrected_average_is_adams():
    """A mean that starts at 0, divided by 1 − decay^n (Kingma & Ba 2015, section 7.2); a constant's is itself."""
    net, decay, n = network(), 0.95, 0
    ours = average.Averaged(net, average.ema_corrected(decay))
    mean = torch.zeros_like(net[0].weight)

    def by_hand():
        nonlocal mean, n
        n += 1
        mean = decay * mean + (1 - decay) * net[0].weight.detach()
        torch.testing.assert_close(ours.module[0].weight, mean / (1 - decay**n), rtol=1e-12, atol=1e-12)

    walk(net, 40, ours.update, by_hand)


def test_the_rising_decay_is_tensorflows():
    """min(decay, (1 + n) / (10 + n)), n weights after the first."""
    net, n = network(), 0
    ours = average.Averaged(net, average.ema_warmup(0.8))
    mean = None

    def by_hand():
        nonlocal mean, n
        w = net[0].weight.detach().clone()
        rising = min(0.8, (1 + n) / (10 + n))
        mean = w if mean is None else rising * mean + (1 - rising) * w
        n += 1
        torch.testing.assert_close(ours.module[0].weight, mean, rtol=1e-12, atol=1e-12)

    walk(net, 50, ours.update, by_hand)


def test_the_model_gets_the_average_for_a_while_and_its_own_weights_back():
    net = network()
    averaged = average.Averaged(net, average.ema(0.9))
    walk(net, 9, averaged.update)
    before, mean = copy.deepcopy(net.state_dict()), copy.deepcopy(averaged.state_dict())
    x = torch.randn(5, 4, dtype=torch.float64)
    at_mean = averaged.eval()(x)

    def interrupted():
        with averaged.swapped() as model:
            assert model is net
            assert torch.equal(net.eval()(x), at_mean)
            assert torch.equal(net[0].weight, mean["module.0.weight"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in averaged.state_dict().items():
        assert torch.equal(value, mean[name])


def test_it_goes_with_our_optimizers_and_schedulers_and_leaves_them_alone():
    def trained(watch):
        net = network()
        averaged = average.Averaged(net, average.swa())
        optimizer = optim.AdamW(net.parameters(), lr=0.01)
        for step in range(12):
            optimizer.param_groups[0]["lr"] = 0.01 * schedule.cosine(12)(step)
            optimizer.zero_grad()
            net(torch.ones(3, 4, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
            if watch:
                averaged.update()
                with averaged.swapped():
                    pass
        return net.state_dict()

    watched, alone = trained(watch=True), trained(watch=False)
    assert all(torch.equal(value, alone[name]) for name, value in watched.items())


def test_a_deep_copy_averages_its_own_model():
    net = network()
    averaged = average.Averaged(net, average.ema(0.5))
    walk(net, 3, averaged.update)
    other_net, other = copy.deepcopy((net, averaged))
    walk(other_net, 3, other.update, seed=2)
    kept = copy.deepcopy(averaged.state_dict())
    walk(net, 3, averaged.update, seed=2)
    for name, value in averaged.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert not torch.equal(kept["module.0.weight"], averaged.module[0].weight)


def test_tied_frozen_and_whole_numbered_parts_are_the_models():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.b.bias.requires_grad_(False)
            self.count = nn.Parameter(torch.tensor(0), requires_grad=False)

    net = Net()
    averaged = average.Averaged(net, average.ema(0.5))
    for i in range(3):
        net.a.weight.data.fill_(i)
        net.count.data.fill_(i)
        averaged.update()
    assert averaged.module.a.weight is averaged.module.b.weight
    assert averaged.module.a.weight[0, 0] == 1.25
    assert averaged.module.count == 2
    assert torch.equal(averaged.module.b.bias, net.b.bias)
    assert not any(p.requires_grad for p in averaged.parameters())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("ema", "Averaged takes an average, such as average.ema\\(0.99\\), not 'ema'"),
        (optim.adam(), "Averaged takes an average"),
        (average.swa(start=0.5), "start of swa is for recipes; here, call update\\(\\) when it is time"),
        (average.ema(Choice((0.9, 0.99))), "decay of ema is a range to search; give it a value"),
    ],
)
def test_what_it_cannot_take_is_said(how, message):
    with pytest.raises(InputError, match=message):
        average.Averaged(network(), how)
