"""Gradient techniques in anyone's own loop, against torch's and the papers'."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from thalweg import gradient, optim
from thalweg.errors import InputError
from thalweg.technique import LogUniform


def with_gradients(dtype=torch.float64, scale=1.0):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 5), nn.LayerNorm(5)).to(dtype)
    net(torch.randn(8, 2, 4, 4, dtype=dtype)).square().sum().mul(scale).backward()
    return net


def gradients(net):
    return [p.grad for p in net.parameters()]


@pytest.mark.parametrize("threshold", [1e-3, 1.0, 1e9])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 0.0])
def test_clip_norm_is_torchs(threshold, scale):
    ours, theirs = with_gradients(scale=scale), with_gradients(scale=scale)
    norm = gradient.clip_norm(threshold).apply(ours.parameters())
    expected = clip_grad_norm_(theirs.parameters(), threshold)
    torch.testing.assert_close(norm, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=1e-12, atol=0)


@pytest.mark.parametrize("threshold", [1e-3, 1.0, 1e9])
def test_clip_value_is_torchs(threshold):
    ours, theirs = with_gradients(), with_gradients()
    assert gradient.clip_value(threshold).apply(ours.parameters()) is None
    clip_grad_value_(theirs.parameters(), threshold)
    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=0, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_goes_as_with_torch(value):
    for ours_do, theirs_do in [(gradient.clip_norm, clip_grad_norm_), (gradient.clip_value, clip_grad_value_)]:
        ours, theirs = with_gradients(), with_gradients()
        ours[0].bias.grad[0] = theirs[0].bias.grad[0] = value
        ours_do(1.0).apply(ours.parameters())
        theirs_do(theirs.parameters(), 1.0)
        torch.testing.assert_close(gradients(ours), gradients(theirs), equal_nan=True, rtol=1e-12, atol=0)


@pytest.mark.parametrize("threshold", [1e-3, 0.1, 1e9])
def test_clip_adaptive_is_the_papers(threshold):
    """Unit by unit, in loops, as equation 3 of Brock et al. 2021 says."""
    ours, theirs = with_gradients(), with_gradients()
    gradient.clip_adaptive(threshold).apply(ours.parameters())
    clipped = 0
    for p in theirs.parameters():
        for unit, g in zip(p, p.grad, strict=True) if p.dim() > 1 else [(p, p.grad)]:
            limit = threshold * max(unit.norm().item(), 1e-3)
            if g.norm() > limit:
                clipped += 1
                g.mul_(limit / g.norm())
    assert (clipped > 0) == (threshold < 1e9)
    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=1e-12, atol=0)


def test_centralise_leaves_each_units_weights_their_sum():
    """Yong et al. 2020, section 4.2: after any number of steps, whatever the gradients."""
    net, biases = with_gradients(), with_gradients()
    sums = [p.flatten(1).sum(1) for p in net.parameters() if p.dim() > 1]
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        net(torch.randn(8, 2, 4, 4, dtype=torch.float64)).square().sum().backward()
        gradient.centralise().apply(net.parameters())
        optimizer.step()
    torch.testing.assert_close([p.flatten(1).sum(1) for p in net.parameters() if p.dim() > 1], sums)
    gradient.centralise().apply(biases.parameters())
    for p, before in zip(biases.parameters(), with_gradients().parameters(), strict=True):
        assert torch.equal(p.grad, before.grad) == (p.dim() == 1)


def test_a_chain_goes_from_left_to_right():
    chained, one_by_one = with_gradients(), with_gradients()
    norm = (gradient.clip_value(0.5) >> gradient.clip_norm(1.0)).apply(chained.parameters())
    gradient.clip_value(0.5).apply(one_by_one.parameters())
    assert norm == gradient.clip_norm(1.0).apply(one_by_one.parameters())
    assert all(map(torch.equal, gradients(chained), gradients(one_by_one)))
    assert not torch.equal(norm, clip_grad_norm_(with_gradients().parameters(), 1.0))


def test_parameters_without_a_gradient_are_left_alone():
    net, whole = with_gradients(), with_gradients()
    net[0].weight.grad = whole[0].weight.grad = None
    gradient.clip_norm(1.0).apply(net.parameters())
    clip_grad_norm_(whole.parameters(), 1.0)
    assert net[0].weight.grad is None
    torch.testing.assert_close(net[2].weight.grad, whole[2].weight.grad, rtol=1e-12, atol=0)
    assert gradient.clip_norm(1.0).apply([nn.Parameter(torch.ones(2))]) is None
    one = nn.Parameter(torch.ones(2))
    one.grad = torch.tensor([3.0, 4.0])
    assert gradient.clip_norm(1.0).apply(one) == 5


def test_weights_stay_and_gradients_are_changed_in_place():
    net = with_gradients()
    weights, places = copy.deepcopy(net.state_dict()), [p.grad.data_ptr() for p in net.parameters()]
    chain = (
        gradient.centralise() >> gradient.clip_adaptive(0.1) >> gradient.clip_value(0.5) >> gradient.clip_norm(0.1)
    )
    chain.apply(net.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert places == [p.grad.data_ptr() for p in net.parameters()]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_are_computed_in_float32(dtype):
    """65,000 squared is beyond float16."""
    p = nn.Parameter(torch.ones(3, dtype=dtype))
    p.grad = torch.tensor([60000.0, 0.0, 0.0], dtype=dtype)
    norm = gradient.clip_norm(1.0).apply([p])
    assert norm == p.grad.new_tensor(60000.0)
    assert p.grad.tolist() == [1.0, 0.0, 0.0]


def test_what_it_cannot_take_is_said():
    p = nn.Parameter(torch.ones(3, 2))
    p.grad = torch.ones(3, 2).to_sparse()
    with pytest.raises(InputError, match=r"clip_norm takes dense gradients, not those of layout torch\.sparse_coo"):
        gradient.clip_norm(1.0).apply([p])
    p.grad = torch.ones(3, 2)
    with pytest.raises(InputError, match="threshold of clip_norm is a range to search; give it a value"):
        gradient.clip_norm(LogUniform(0.1, 1.0)).apply([p])
    assert torch.equal(p.grad, torch.ones(3, 2))


def test_a_model_in_place_of_its_parameters_is_refused():
    with pytest.raises(InputError, match=r"clip_norm takes parameters, such as model\.parameters\(\), not Linear"):
        gradient.clip_norm(1.0).apply(nn.Linear(2, 2))
