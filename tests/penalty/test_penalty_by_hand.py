"""Penalties and constraints on models, against independent arithmetic and torch's own."""

import pytest
import torch
from sklearn.linear_model import ElasticNet
from torch import nn

from thalweg import optim, penalty
from thalweg.errors import InputError


def layer(values, bias=True):
    net = nn.Linear(len(values[0]), len(values), bias=bias).double()
    net.weight.data = torch.tensor(values, dtype=torch.float64)
    return net


def test_the_lectures_forms():
    """L1 Σ|w|, L2 Σw², elastic net β · L2 + L1."""
    net = layer([[1.0, -2.0], [0.5, 0.0]])
    assert penalty.l1(1.0).of(net).item() == 3.5
    assert penalty.l2(1.0).of(net).item() == 5.25
    assert penalty.elastic_net(0.5, beta=2.0).of(net).item() == 0.5 * (2 * 5.25 + 3.5)
    assert penalty.elastic_net(0.3, beta=0.0).of(net) == penalty.l1(0.3).of(net)


def test_l2_is_half_of_torchs_weight_decay():
    torch.manual_seed(0)
    ours, theirs = (nn.Linear(4, 3, bias=False).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(8, 4, dtype=torch.float64)
    mine = torch.optim.SGD(ours.parameters(), lr=0.1)
    other = torch.optim.SGD(theirs.parameters(), lr=0.1, weight_decay=0.02)
    for _ in range(5):
        for net, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            (loss + penalty.l2(0.01).of(net) if net is ours else loss).backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-12, atol=0)


def test_elastic_net_is_scikit_learns():
    """At its optimum our loss with our penalty is level: 0 lies between its slopes to either side."""
    torch.manual_seed(0)
    x = torch.randn(60, 5, dtype=torch.float64)
    y = x @ torch.tensor([2.0, -1.0, 0.0, 0.0, 0.5], dtype=torch.float64) + 0.1 * torch.randn(60, dtype=torch.float64)
    strength, beta = 0.2, 1.5
    alpha, ratio = strength * (2 * beta + 1), 1 / (2 * beta + 1)
    found = ElasticNet(alpha=alpha, l1_ratio=ratio, fit_intercept=False, tol=1e-14, max_iter=100000).fit(x, y)
    net = layer([found.coef_.tolist()], bias=False)
    (0.5 * (net(x)[:, 0] - y).square().mean() + penalty.elastic_net(strength, beta).of(net)).backward()
    at_zero = net.weight == 0
    assert at_zero.sum() == 2
    assert net.weight.grad[~at_zero].abs().max() < 1e-6
    assert net.weight.grad[at_zero].abs().max() <= strength  # l1's corner


def test_max_norm_is_torchs_renorm():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 5)).double()
    before = [p.detach().clone() for p in net.parameters()]
    penalty.max_norm(0.5).apply(net)
    for p, old in zip(net.parameters(), before, strict=True):
        assert torch.equal(p, old) == (p.dim() == 1)
        if p.dim() > 1:
            torch.testing.assert_close(p, torch.renorm(old, 2, 0, 0.5), rtol=1e-6, atol=0)  # its ε is 1e-7
            assert (p.flatten(1).norm(dim=1) <= 0.5 * (1 + 1e-15)).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_max_norm_of_a_transposed_convolution_is_its_output_channels(groups):
    """Measured by what reaches a channel from an input that is 1 in one place."""
    torch.manual_seed(0)
    net = nn.ConvTranspose1d(4, 6, 3, groups=groups, bias=False).double()
    penalty.max_norm(0.25).apply(net)
    reached = torch.stack([net(one.view(4, 1)) for one in torch.eye(4, dtype=torch.float64)])
    lengths = reached.square().sum((0, 2)).sqrt()
    torch.testing.assert_close(lengths, torch.full((6,), 0.25, dtype=torch.float64), rtol=1e-12, atol=0)


def test_tied_weights_count_once_and_stay_tied():
    net = nn.ModuleDict({"words": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)}).double()
    net["head"].weight = net["words"].weight
    alone = nn.ModuleDict({"words": nn.Embedding(4, 3)}).double()
    alone.load_state_dict({"words.weight": net["words"].weight.data})
    assert penalty.l2(1.0).of(net) == penalty.l2(1.0).of(alone)
    assert penalty.l2(1.0).of(net, names=["words.weight", "head.weight"]) == penalty.l2(1.0).of(alone)
    penalty.max_norm(0.1).apply(net)
    assert net["head"].weight is net["words"].weight
    torch.testing.assert_close(net["words"].weight.norm(dim=1), torch.full((4,), 0.1, dtype=torch.float64))


def test_a_shared_module_counts_once():
    block = nn.Linear(3, 3).double()
    assert penalty.l1(1.0).of(nn.Sequential(block, nn.ReLU(), block)) == penalty.l1(1.0).of(block)


def test_names_choose():
    net = nn.ModuleDict({"encoder": nn.Linear(2, 3), "head": nn.Linear(3, 2)}).double()
    both = penalty.l2(1.0).of(net)
    assert penalty.l2(1.0).of(net, "encoder.weight") + penalty.l2(1.0).of(net, "head.weight") == both
    assert penalty.l2(1.0).of(net, "*.weight") == both
    with_bias = penalty.l2(1.0).of(net, ["encoder.*"])
    expected = net["encoder"].weight.square().sum() + net["encoder"].bias.square().sum()
    torch.testing.assert_close(with_bias, expected)
    net.requires_grad_(False)
    assert penalty.l2(1.0).of(net, "*.weight") == both.detach()  # one may name what is frozen


def test_odd_names_and_buffers():
    net = nn.Module()
    net.register_parameter("w 1*", nn.Parameter(torch.ones(2, 2)))
    net.register_buffer("stored", torch.full((2, 2), 100.0))
    net.register_parameter("w[1]", nn.Parameter(torch.full((2, 2), 2.0)))
    assert penalty.l2(1.0).of(net).item() == 20.0
    assert penalty.l2(1.0).of(net, "w 1*").item() == 4.0
    assert penalty.l2(1.0).of(net, "w[1]").item() == 16.0  # a name is a name, whatever it looks like


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_are_summed_in_float32(dtype):
    """In bfloat16 a sum of ones stops at 256, in float16 a sum of squares at 65504."""
    net = nn.Linear(300, 300, bias=False).to(dtype)
    net.weight.data.fill_(1.0)
    found = penalty.l2(1.0).of(net)
    found.backward()
    assert found.item() == 90000.0
    assert net.weight.grad.unique().tolist() == [2.0]
    penalty.max_norm(1.0).apply(net)
    assert net.weight.dtype == dtype
    torch.testing.assert_close(net.weight.float().norm(dim=1), torch.ones(300), rtol=1e-2, atol=0)


def test_what_is_the_other_kind_says_how_it_is_used():
    net = nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"max_norm is a constraint and no number; call its apply\(model\)"):
        penalty.max_norm(3.0).of(net)
    with pytest.raises(InputError, match=r"l2 is a number and no constraint; add its of\(model\) to the loss"):
        penalty.l2(3.0).apply(net)
    with pytest.raises(InputError, match="limit of max_norm takes a number above 0, not 0"):
        penalty.max_norm(0)
    with pytest.raises(InputError, match="l1 takes real weights, and weight has complex numbers"):
        penalty.l1().of(nn.Linear(2, 2, dtype=torch.complex64))


def test_a_constraint_holds_through_training_with_any_optimizer():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(32, 4)
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    longest = 0.0
    for _ in range(20):
        optimizer.zero_grad()
        (net(x)[:, 0] - 10 * x[:, 0]).square().mean().backward()
        optimizer.step()
        longest = max(longest, net[0].weight.norm(dim=1).max().item())
        penalty.max_norm(0.5).apply(net)
        assert net[0].weight.norm(dim=1).max() <= 0.5 * (1 + 1e-6)
    assert longest > 0.5


def test_what_is_added_to_each_example_is_no_weight():
    net = nn.Linear(3, 1)
    before = penalty.l2(1.0).of(net)
    net.cls, net.pos = nn.Parameter(torch.ones(1, 1, 3)), nn.Parameter(torch.ones(1, 5, 3))
    assert penalty.l2(1.0).of(net) == before
    assert penalty.l2(1.0).of(net, names="pos") == 15.0
    nn.utils.parametrizations.orthogonal(net)
    assert penalty.l2(1.0).of(net) == net.parametrizations.weight.original.square().sum()
