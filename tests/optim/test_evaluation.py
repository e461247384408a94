"""Weights to evaluate that are not those that are trained: schedule-free optimizers, as frameworks switch them."""

import copy

import pytest
import torch
from torch import nn

from thalweg import optim
from thalweg.errors import InputError
from thalweg.optim._classes import FACES

FREE = [name for name, face in FACES.items() if face.plain.evaluate is not None]
OTHERS = [name for name in FACES if name not in FREE and name != "Muon"]
GRADIENTS = torch.randn(30, 4, 3, generator=torch.Generator().manual_seed(1))


def made(name):
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(4, 3))
    return p, getattr(optim, name)([p], lr=0.05)


def steps(p, optimizer, gradients):
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()


@pytest.mark.parametrize("name", FREE)
def test_looking_at_the_other_weights_changes_nothing_of_the_training(name):
    plain, looked = made(name), made(name)
    steps(*plain, GRADIENTS)
    for g in GRADIENTS:
        steps(*looked, g[None])
        before = looked[0].detach().clone()
        looked[1].eval()
        looked[1].eval()
        assert not torch.equal(looked[0], before)
        looked[1].train()
        assert torch.equal(looked[0], before)
    assert torch.equal(plain[0], looked[0])


@pytest.mark.parametrize("name", FREE)
def test_a_checkpoint_written_while_evaluating_goes_on_as_if_it_had_not_been(name):
    whole = made(name)
    steps(*whole, GRADIENTS)
    p, optimizer = made(name)
    steps(p, optimizer, GRADIENTS[:15])
    optimizer.eval()
    weights, state = p.detach().clone(), copy.deepcopy(optimizer.state_dict())
    again, other = made(name)
    with torch.no_grad():
        again.copy_(weights)
    other.load_state_dict(state)
    other.train()
    steps(again, other, GRADIENTS[15:])
    assert torch.equal(again, whole[0])


@pytest.mark.parametrize("name", FREE)
def test_a_step_while_evaluating_is_refused_and_changes_nothing(name):
    p, optimizer = made(name)
    steps(p, optimizer, GRADIENTS[:3])
    optimizer.eval()
    before = p.detach().clone()
    with pytest.raises(InputError, match=rf"{name} is in evaluation; call its train\(\) before its step\(\)"):
        optimizer.step()
    assert torch.equal(p, before)
    optimizer.train()
    optimizer.step()


@pytest.mark.parametrize("name", OTHERS)
def test_where_the_weights_are_the_same_nothing_happens(name):
    p, optimizer = made(name)
    steps(p, optimizer, GRADIENTS[:3])
    before, keys = p.detach().clone(), set(optimizer.state[p])
    optimizer.eval()
    assert torch.equal(p, before)
    assert set(optimizer.state[p]) == keys
    steps(p, optimizer, GRADIENTS[:1])
