"""Wrappers in anyone's own loop, around torch's optimizers and ours."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from thalweg import optim, wrapper
from thalweg.errors import InputError

INNER = {
    "torch's": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "ours": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "torch's Adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "our Adam": lambda p: optim.Adam(p, lr=0.02),
}
inner = pytest.mark.parametrize("make", INNER.values(), ids=INNER)
AROUND = {
    "lookahead": lambda o: wrapper.Lookahead(o, k=3, alpha=0.6),
    "sam": lambda o: wrapper.SAM(o, rho=0.1),
    "both": lambda o: wrapper.Lookahead(wrapper.SAM(o, rho=0.1), k=3),
}
around = pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()


BATCHES = torch.randn(40, 8, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def closure_of(net, optimizer, x):
    def closure():
        optimizer.zero_grad()
        loss = (net(x) - x[:, :2].sin()).square().mean()
        loss.backward()
        return loss

    return closure


def train(net, optimizer, batches, scheduler=None):
    for x in batches:
        optimizer.step(closure_of(net, optimizer, x))
        if scheduler is not None:
            scheduler.step()
    return flat(net)


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@inner
def test_lookahead_is_its_algorithm(make):
    """Algorithm 1 of Zhang et al. 2019, by hand: the optimizer keeps its state."""
    ours, theirs = network(), network()
    by_hand = make(theirs.parameters())
    slow = [p.detach().clone() for p in theirs.parameters()]
    for i in range(5):
        train(theirs, by_hand, BATCHES[4 * i : 4 * i + 4])
        for p, phi in zip(theirs.parameters(), slow, strict=True):
            phi += 0.3 * (p.detach() - phi)
            p.data.copy_(phi)
    found = train(ours, wrapper.Lookahead(make(ours.parameters()), k=4, alpha=0.3), BATCHES[:20])
    torch.testing.assert_close(found, flat(theirs), rtol=1e-12, atol=1e-12)


@inner
def test_sam_is_its_algorithm(make):
    """Algorithm 1 of Foret et al. 2021, by hand."""
    ours, theirs = network(), network()
    by_hand = make(theirs.parameters())
    for x in BATCHES[:15]:
        closure = closure_of(theirs, by_hand, x)
        closure()
        w = [p.detach().clone() for p in theirs.parameters()]
        norm = torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm()
        with torch.no_grad():
            for p in theirs.parameters():
                p += 0.2 * p.grad / norm
        closure()
        for p, value in zip(theirs.parameters(), w, strict=True):
            p.data.copy_(value)
        by_hand.step()
    found = train(ours, wrapper.SAM(make(ours.parameters()), rho=0.2), BATCHES[:15])
    torch.testing.assert_close(found, flat(theirs), rtol=1e-10, atol=1e-10)


def test_sam_takes_sparse_gradients():
    found = []
    for sparse in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(9, 4, sparse=sparse), nn.Flatten(), nn.Linear(12, 3)).double()
        optimizer = wrapper.SAM(torch.optim.SGD(net.parameters(), lr=0.1), rho=0.2)

        def closure(net=net, optimizer=optimizer):
            optimizer.zero_grad()
            loss = net(torch.arange(24).view(8, 3) % 9).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        found.append(flat(net))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@inner
def test_at_their_plain_settings_they_change_nothing(make):
    alone = network()
    expected = train(alone, make(alone.parameters()), BATCHES)
    for wrap in (lambda o: wrapper.SAM(o, rho=0.0), lambda o: wrapper.Lookahead(o, alpha=1.0)):
        net = network()
        found = train(net, wrap(make(net.parameters())), BATCHES)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@inner
@around
def test_schedulers_work_on_either(make, wrap):
    def trained(on_the_wrapper):
        net = network()
        optimizer = make(net.parameters())
        wrapped = wrap(optimizer)
        scheduler = LambdaLR(wrapped if on_the_wrapper else optimizer, lambda step: 1 / (1 + step))
        weights = train(net, wrapped, BATCHES[:10], scheduler)
        assert wrapped.param_groups is optimizer.param_groups
        assert optimizer.param_groups[0]["lr"] == pytest.approx(optimizer.param_groups[0]["initial_lr"] / 11)
        return weights

    assert torch.equal(trained(on_the_wrapper=True), trained(on_the_wrapper=False))


@inner
@around
def test_state_survives_saving_and_copying(make, wrap):
    """Seven steps, in the midst of lookahead's three, saved and loaded into another, seven more: as fourteen."""
    whole = network()
    expected = train(whole, wrap(make(whole.parameters())), BATCHES[:14])
    half = network()
    first = wrap(make(half.parameters()))
    train(half, first, BATCHES[:7])
    other = copy.deepcopy(half)
    second = wrap(make(other.parameters()))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(train(other, second, BATCHES[7:14]), expected)
    copied_net, copied = copy.deepcopy((half, first))
    assert torch.equal(train(copied_net, copied, BATCHES[7:14]), expected)
    assert torch.equal(train(half, first, BATCHES[7:14]), expected)


def test_a_plain_state_is_loaded_and_slow_weights_begin_anew():
    net = network()
    plain = torch.optim.Adam(net.parameters(), lr=0.02)
    train(net, plain, BATCHES[:5])
    wrapped = wrapper.Lookahead(torch.optim.Adam(net.parameters()), k=2)
    train(net, wrapped, BATCHES[:3])
    wrapped.load_state_dict(plain.state_dict())
    assert wrapped.steps == 0
    assert wrapped.slow == {}
    assert wrapped.param_groups[0]["lr"] == 0.02


def test_slow_weights_can_be_had_for_evaluation():
    net = network()
    optimizer = wrapper.Lookahead(optim.SGD(net.parameters(), lr=0.1), k=4)
    train(net, optimizer, BATCHES[:6])
    fast, slow = flat(net), torch.cat([x.flatten() for x in optimizer.slow.values()])
    with optimizer.swapped():
        assert torch.equal(flat(net), slow)
    assert torch.equal(flat(net), fast)
    assert not torch.equal(fast, slow)


def test_groups_may_be_added():
    net = network()
    optimizer = wrapper.Lookahead(optim.SGD(net[0].parameters(), lr=0.1), k=2)
    train(net, optimizer, BATCHES[:3])
    optimizer.add_param_group({"params": list(net[2].parameters()), "lr": 0.2})
    before = net[2].weight.detach().clone()
    train(net, optimizer, BATCHES[3:6])
    assert len(optimizer.param_groups) == 2
    assert not torch.equal(net[2].weight, before)


def test_both_gradients_of_sam_see_the_same_dropout():
    """With ρ = 0 the second gradient is the first, if its masks are; and torch's generator moves once."""
    ends = []
    for wrap in (lambda o: o, lambda o: wrapper.SAM(o, rho=0.0)):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 30), nn.Dropout(0.5), nn.Linear(30, 2)).double()
        train(net, wrap(optim.SGD(net.parameters(), lr=0.1)), BATCHES[:5])
        ends.append((flat(net), torch.get_rng_state()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert torch.equal(ends[0][1], ends[1][1])


def test_batch_norms_statistics_see_the_first_pass_of_sam_alone():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)).double()
    one_pass = copy.deepcopy(net)
    one_pass(BATCHES[0])
    train(net, wrapper.SAM(optim.SGD(net.parameters(), lr=0.1), rho=0.5), BATCHES[:1])
    assert net[1].num_batches_tracked == 1
    assert torch.equal(net[1].running_mean, one_pass[1].running_mean)
    assert net[1].track_running_stats


def test_a_closure_that_raises_leaves_the_weights():
    net = network()
    optimizer = wrapper.SAM(optim.SGD(net.parameters(), lr=0.1), rho=0.5)
    before, calls = flat(net), []

    def closure():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return closure_of(net, optimizer, BATCHES[0])()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert torch.equal(flat(net), before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: wrapper.SAM(o, rho=-1), "rho of sam takes a number from 0 up, not -1"),
        (lambda o: wrapper.Lookahead(o, k=0), "k of lookahead takes a whole number from 1 up, not 0"),
        (lambda o: wrapper.Lookahead(o, alpha=1.5), "alpha of lookahead takes a number above 0 up to 1, not 1.5"),
        (lambda o: wrapper.SAM(optim.SGD(o.param_groups[0]["params"], maximize=True)).step(float), "SAM minimises"),
        (lambda o: wrapper.SAM("adam"), r"SAM takes an optimizer, such as SAM\(optim.Adam\(params\)\), not 'adam'"),
        (lambda o: wrapper.SAM(o).step(), r"SAM takes two gradients a step, so step\(\) needs a closure"),
    ],
)
def test_what_cannot_be_is_said(make, message):
    with pytest.raises(InputError, match=message):
        make(optim.SGD(network().parameters(), lr=0.1))
