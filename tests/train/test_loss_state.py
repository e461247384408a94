"""A loss is called by all runs: one that depends on earlier calls is refused, and vmap leaves nothing in any."""

import copy
import functools
import os
from collections import deque

import numpy as np
import pytest
import torch
from outsiders import net, task
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.task import check
from thalweg.task.loss_state import LossState, loss_state
from thalweg.train import Member, train
from thalweg.train.executors import EXECUTORS
from thalweg.train.planner import measure
from thalweg.train.state import beginnings

TOGETHER = Together(batch_size=18)
CALLS = 0
WEIGHT = torch.tensor([1.0, 2.0])


class Counting:
    calls = 0

    def __call__(self, output, y):
        self.calls += 1
        return F.cross_entropy(output, y, label_smoothing=min(0.5, self.calls / 1000))

    def of_class(self, output, y):
        Counting.calls += 1
        return F.cross_entropy(output, y)


class Averaging(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.inplace = inplace
        self.register_buffer("ema", torch.ones(()))

    def forward(self, output, y):
        loss = F.cross_entropy(output, y)
        if self.inplace:
            self.ema.mul_(0.9).add_(loss.detach(), alpha=0.1)
        else:
            self.ema = 0.9 * self.ema + 0.1 * loss.detach()
        return loss / self.ema


AVERAGING = Averaging(inplace=True)


class Balanced:
    """Takes the weights of classes from the first batch that it sees."""

    weight = None

    def __call__(self, output, y):
        if self.weight is None:
            self.weight = torch.bincount(y, minlength=2) / len(y) + 0.1
        return F.cross_entropy(output, y, self.weight)


class Drawing:
    def __init__(self):
        self.noise = torch.Generator().manual_seed(0)

    def __call__(self, output, y):
        return F.cross_entropy(output + 0.1 * torch.rand(output.shape, generator=self.noise), y)


class Showing(nn.Module):
    last = None

    def forward(self, output, y):
        self.last = F.cross_entropy(output, y)
        return self.last


class Tabled(nn.Module):
    table = None

    def forward(self, output, y):
        if self.table is None:
            self.table = torch.arange(2.0)
        return F.cross_entropy(output, y) + 0.1 * (output.softmax(1) @ self.table).mean()


def counting_global(output, y):
    global CALLS
    CALLS += 1
    return F.cross_entropy(output, y)


def counting_itself(output, y):
    counting_itself.calls = getattr(counting_itself, "calls", 0) + 1
    return F.cross_entropy(output, y)


def counting_default(output, y, seen={"n": 0}):  # noqa: B006 – as users do
    seen["n"] += 1
    return F.cross_entropy(output, y)


def counting_cell():
    calls = 0

    def loss(output, y):
        nonlocal calls
        calls += 1
        return F.cross_entropy(output, y)

    return loss


def queueing():
    old = deque(maxlen=5)

    def loss(output, y):
        old.append(output.detach().mean())
        return F.cross_entropy(output, y)

    return loss


def weighted(weight):
    return lambda output, y: F.cross_entropy(output, y, weight)


def balanced_by_global(output, y):
    return F.cross_entropy(output, y, WEIGHT)


LOSSES = {
    "an object's counter": ("calls", Counting),
    "a class's counter": ("Counting.calls", lambda: Counting().of_class),
    "a counter in a list": ("args.0", lambda: functools.partial(lambda some, o, y: some[0](o, y), [Counting()])),
    "a mean in a buffer": ("ema", lambda: Averaging(inplace=True)),
    "a mean in the place of a buffer": ("ema", lambda: Averaging(inplace=False)),
    "a mean of the file": ("AVERAGING.ema", lambda: lambda output, y: AVERAGING(output, y)),
    "weights of the first batch": ("weight", Balanced),
    "a generator": ("noise", Drawing),
    "a number of the file": ("CALLS", lambda: counting_global),
    "a function's attribute": ("calls", lambda: counting_itself),
    "a default": ("seen", lambda: counting_default),
    "a cell": ("calls", counting_cell),
    "a queue": ("old", queueing),
}  # fmt: skip
"""Losses that depend on earlier calls, and the name of what changes."""

PURE = {
    "a function": lambda: F.cross_entropy,
    "a module": nn.CrossEntropyLoss,
    "a module with weights": lambda: nn.CrossEntropyLoss(WEIGHT),
    "weights around it": lambda: weighted(WEIGHT),
    "weights of the file": lambda: balanced_by_global,
    "a table that is made once": Tabled,
    "a part": lambda: functools.partial(F.cross_entropy, label_smoothing=0.1),
}
"""Losses that do not."""


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_depends_on_earlier_calls_is_refused_and_never_called_by_vmap(name):
    what, loss = LOSSES[name]
    one = task(net(lambda _, h: h), loss=loss(), name="mine")
    with pytest.raises(InputError, match=rf"^the loss of task mine changes {what}\b.* when it is called, .*share"):
        check(one)
    assert f"because vmap cannot take this model: its loss changes {what}" in measure(one, TOGETHER, seconds=0).reason
    copy.deepcopy(one.loss)
    assert one.loss(torch.zeros(4, 2), torch.zeros(4).long()).isfinite(), "nothing of a trial by vmap is left in it"
    with pytest.raises(RuntimeError, match=f"^its loss changes {what}"):
        train(one, [Member(Recipe(epochs=1, batch_size=18).resolved(), 0)], "vmapped")


def test_a_loss_that_draws_from_the_system_is_refused():
    with pytest.raises(InputError, match=r"^the loss of task mine gives other values for the same output"):
        check(task(net(lambda _, h: h), loss=lambda o, y: (o**2).mean() * (1 + os.urandom(1)[0]), name="mine"))


@pytest.mark.parametrize("name", PURE)
def test_a_loss_that_keeps_nothing_is_called_by_vmap(name):
    one = task(net(lambda _, h: h), loss=PURE[name]())
    check(one)
    assert loss_state(one) == LossState()
    members = [Member(Recipe(epochs=1, batch_size=18).resolved(), seed) for seed in range(3)]
    alone, together = (train(one, members, executor) for executor in ("one by one", "vmapped"))
    for mine, theirs in zip(alone, together, strict=True):
        np.testing.assert_allclose(mine.curve.train_loss[1:], theirs.curve.train_loss[1:], rtol=1e-5)
    copy.deepcopy(one.loss)


def test_a_loss_that_shows_its_last_call_is_let_through_and_can_be_read_afterwards():
    one = task(net(lambda _, h: h), loss=Showing())
    check(one)
    assert "its loss keeps last of each call" in measure(one, TOGETHER, seconds=0).reason
    assert one.loss.last.isfinite()


def test_a_loss_that_takes_gradients_is_looked_at_too():
    def steep(output, y):
        y_hat, x = output
        (g,) = torch.autograd.grad(y_hat.sum(), x, create_graph=True)
        return F.cross_entropy(y_hat, y) + 0.1 * g.square().mean()

    class Steep(nn.Linear):
        def forward(self, x):
            x = x.requires_grad_()
            return torch.tanh(super().forward(x)), x

    class Counting:
        calls = 0

        def __call__(self, output, y):
            self.calls += 1
            return steep(output, y)

    for loss, found in ((steep, ""), (Counting(), "calls")):
        assert loss_state(task(lambda: Steep(10, 2), loss=loss)).changes == found


def test_a_loss_that_no_recipe_uses_stands_in_nobodys_way():
    one = task(net(lambda _, h: h), loss=Showing())
    recipe = Recipe(epochs=1, batch_size=18, loss=tw.loss.cross_entropy()).resolved()
    EXECUTORS["vmapped"](one, beginnings(one, 3, recipe))
