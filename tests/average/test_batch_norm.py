"""Batch norm's statistics are those of all examples, however they are batched."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from thalweg.average import precise_batch_norm
from thalweg.errors import InputError


def deep():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, 5),
        nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4), nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 2),
    ).double()  # fmt: skip


DATA = torch.randn(47, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 1


def statistics(net, batches):
    net = copy.deepcopy(net)
    precise_batch_norm(net, batches)
    return {name: value for name, value in net.state_dict().items() if "running" in name}


@pytest.mark.parametrize("size", [1, 2, 10, 46, 47])
def test_the_result_does_not_depend_on_the_batches(size):
    """At any depth, for sizes that do not divide the data, and in any order."""
    whole = statistics(deep(), [DATA])
    order = torch.randperm(47, generator=torch.Generator().manual_seed(2))
    for data in (DATA, DATA[order]):
        for name, value in statistics(deep(), list(data.split(size))).items():
            torch.testing.assert_close(value, whole[name], rtol=1e-12, atol=1e-12)


def test_they_are_what_a_layer_sees_at_evaluation():
    """With the statistics in place, each normalised input has mean 0 and variance (n − 1)/n over all examples."""
    net = deep()
    precise_batch_norm(net, DATA.split(10))
    net.eval()
    for i, layer in enumerate(net):
        if hasattr(layer, "running_mean"):
            x = net[:i](DATA).transpose(0, 1).flatten(1)
            torch.testing.assert_close(layer.running_mean, x.mean(1), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(layer.running_var, x.var(1), rtol=1e-12, atol=1e-12)


def test_torchs_is_the_same_where_it_is_right():
    """One batch norm, one batch: there is nothing between batches to leave out, and no deeper layer."""
    torch.manual_seed(0)
    ours, theirs = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    data = torch.randn(20, 3, dtype=torch.float64)
    precise_batch_norm(ours, [data])
    update_bn([data], theirs)
    torch.testing.assert_close(ours[1].running_mean, theirs[1].running_mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours[1].running_var, theirs[1].running_var, rtol=1e-12, atol=1e-12)
    # With more batches torch's variance lacks what differs between them.
    batches = (data + torch.arange(20, dtype=torch.float64).unsqueeze(1)).split(5)
    update_bn(batches, theirs)
    precise_batch_norm(ours, batches)
    torch.testing.assert_close(ours[1].running_mean, theirs[1].running_mean, rtol=1e-12, atol=1e-12)
    assert (theirs[1].running_var < 0.9 * ours[1].running_var).any()


def test_nothing_else_changes():
    net = deep()
    net[1].eval()
    before, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    generator = torch.get_rng_state()
    precise_batch_norm(net, [(DATA, "targets"), (DATA, "targets")])
    assert modes == [module.training for module in net.modules()]
    assert torch.equal(generator, torch.get_rng_state())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == ("running" not in name)
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_a_data_loaders_batches_are_taken_as_they_come():
    data = torch.utils.data.TensorDataset(DATA, torch.arange(47))
    loader = torch.utils.data.DataLoader(data, batch_size=9, shuffle=True)
    whole = statistics(deep(), [DATA])
    for name, value in statistics(deep(), loader).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-12, atol=1e-12)


def test_a_layer_that_is_called_twice_sees_both():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.BatchNorm1d(3)
            self.norm = nn.BatchNorm1d(2).double()

        def forward(self, x):
            return self.norm(x[:, :2]) - self.norm(x[:, 2:])

    net = Twins()
    x = torch.randn(30, 4, dtype=torch.float64)
    precise_batch_norm(net, x.split(7))
    both = torch.cat([x[:, :2], x[:, 2:]])
    torch.testing.assert_close(net.norm.running_mean, both.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(net.norm.running_var, both.var(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(net.unused.running_var, torch.ones(3))


def test_models_without_statistics_are_left_alone():
    for net in (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))):
        before = copy.deepcopy(net.state_dict())
        precise_batch_norm(net, [torch.randn(4, 2)])
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_what_it_cannot_take_is_said():
    with pytest.raises(InputError, match="passes over the batches several times; give a DataLoader or a list"):
        precise_batch_norm(deep(), (batch for batch in [DATA]))
    with pytest.raises(InputError, match="got no batches"):
        precise_batch_norm(deep(), [])
