"""What vmap cannot take is named in plain words; what nobody knows of, in torch's own, cut at a word."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from small import small_digits
from thalweg.recipe import Together
from thalweg.train import planner
from thalweg.train.obstacle import LONGEST, obstacle


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(_context, x):
        return 2 * x

    @staticmethod
    def backward(_context, gradient):
        return 2 * gradient


SHARED = torch.zeros(90, 10)


def written(model, x):
    found = SHARED[: len(x)]
    found[:, :4] = model.layer(x)[:, :4].detach()
    return model.layer(x) + 0 * found


def asserted(model, x):
    assert isinstance(model.layer.weight, nn.Parameter), "the weight is no parameter"
    return model.layer(x)


FORWARDS = {
    "spectral norm": (
        lambda model, x: model.normed(x),
        "writes the result of div into a tensor that is there already, by out=, as spectral norm does",
    ),
    "random in evaluation": (
        lambda model, x: model.layer(x) + (0 if model.training else random.random()),
        "its forward pass or its loss draws from a global generator, or seeds it, past what has keys",
    ),
    "checkpoint": (
        lambda model, x: checkpoint(model.layer, x, use_reentrant=False),
        "a tensor is used outside its pass, as when torch.utils.checkpoint computes activations again",
    ),
    "reentrant checkpoint": (
        lambda model, x: checkpoint(model.layer, x, use_reentrant=True),
        "an autograd.Function without setup_context, as torch.utils.checkpoint is with use_reentrant=True",
    ),
    "own function": (lambda model, x: Twice.apply(model.layer(x)), "an autograd.Function without setup_context"),
    "numpy": (
        lambda model, x: model.layer(torch.from_numpy(np.tanh(x.detach().numpy()))),
        "takes values out of a tensor, by .numpy(), .tolist()",
    ),
    "a list": (lambda model, x: model.layer(torch.tensor(x.tolist())), "takes values out of a tensor, by .numpy()"),
    "item": (lambda model, x: model.layer(x) * x.mean().item(), "takes a number out of a tensor, by .item() or"),
    "if": (lambda model, x: model.layer(x) * (1 if x.mean() > 0 else 2), "an if on the tensor's values"),
    "by identity": (
        lambda model, x: model.layer(x) * model.scales[id(model.layer.weight)],
        "vmap cannot take this model: KeyError: ",
    ),
    "assert": (asserted, "vmap cannot take this model: AssertionError: the weight is no parameter (test_obstacle.py"),
    "nonzero": (
        lambda model, x: model.layer(x) + x[0].nonzero().sum(),
        "the size of what nonzero returns in its forward depends on a tensor's values",
    ),
    "boolean mask": (lambda model, x: model.layer(x) + x[x > 1].mean(), "picks elements by a boolean mask"),
    "in place": (written, "writes in place into a tensor that is the same for all models"),
    "gradients": (
        lambda model, x: (
            model.layer(x) + torch.autograd.grad(model.layer(x.clone()).sum(), model.layer.weight)[0].mean()
            if model.training and torch.is_grad_enabled() else model.layer(x)
        ),
        "gradients are taken in its forward or its loss, as by torch.autograd.grad",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("forward", "words"), FORWARDS.values(), ids=FORWARDS)
def test_the_operation_is_named(forward, words):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.layer = nn.Linear(64, 64), nn.Linear(64, 10)
            self.scales = {id(self.layer.weight): 1.0}
            self.normed = nn.utils.parametrizations.spectral_norm(nn.Linear(64, 10))

        def forward(self, x):
            return forward(self, self.first(x))

    plan = planner.measure(small_digits(Model), Together(), seconds=0)
    assert plan.executor == "one by one"
    assert "because vmap cannot take this model: " in plan.reason
    assert words in plan.reason
    look = planner.look(small_digits(Model), Together(), replace(plan, executor="vmapped"))
    assert look.executor == "one by one"


def test_the_users_line_is_named():
    class Model(nn.Linear):
        def __init__(self):
            super().__init__(64, 10)

        def forward(self, x):
            if x.mean() > 0:
                return super().forward(x)
            return super().forward(-x)

    line = Model.forward.__code__.co_firstlineno + 1
    assert planner.measure(small_digits(Model), Together(), seconds=0).reason.endswith(
        f" (test_obstacle.py, line {line})"
    )


def test_what_is_unknown_is_torchs_own_first_sentence_cut_at_a_word():
    assert obstacle(RuntimeError("a new obstacle, of shape [2.5]. Please file an issue\nfar below")) == (
        "a new obstacle, of shape [2.5]"
    )
    long = obstacle(RuntimeError("such a long obstacle " * 20))
    assert len(long) <= LONGEST
    assert long.endswith((" long …", " such a …", " obstacle …", " such …"))
    assert obstacle(IndexError()) == "IndexError"
    assert obstacle(MemoryError()) == "memory ran out"
    assert obstacle(ValueError("no generate_vmap_rule")) == "no generate_vmap_rule", "which is the user's own"
