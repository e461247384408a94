"""What published models do with their own tensors: each run is, by any executor, what a plain loop makes of it."""

import numpy as np
import pytest
import torch
from outsiders import X, net, task
from test_unseen import RECIPE, by_hand
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe
from thalweg.task import check
from thalweg.task.outside import outside
from thalweg.train import Member, train
from thalweg.train.executors import EXECUTORS
from thalweg.train.own import writes
from thalweg.train.state import beginnings


def filled_in(_, h):
    out = torch.zeros(len(h), 8)
    out[:, :4] = h[:, 4:]
    out[:, 4:] += h[:, :4] * 2
    return out


def copied(self, h):
    h, gate = torch.ones(8).expand(len(h), 8).clone(), h
    h *= self.scale
    h.mul_(gate)
    return h


def bounded(self, h):
    self.b.weight.data = torch.renorm(self.b.weight.data, p=2, dim=0, maxnorm=0.3)
    return h


def clamped(self, h):
    with torch.no_grad():
        self.b.weight.clamp_(-0.2, 0.2)
    return h


def read(self, h):
    return h * self.scale - h.data.mean(0) + self.scale.data


def scaled(**more):
    return {"scale": lambda _: nn.Parameter(torch.linspace(0.5, 1.5, 8)), **more}


MODELS = {
    "parts of zeros": net(filled_in),
    "a copy of ones": net(copied, **scaled()),
    "weights whose data are exchanged": net(bounded),
    "weights that are clamped": net(clamped),
    "data that are read": net(read, **scaled()),
    "a parameter in a list": net(lambda self, h: h * self.kept[0], **scaled(kept=lambda self: [self.scale])),
    "a part that begins in evaluation mode": lambda: nn.Sequential(
        nn.Linear(10, 8), nn.BatchNorm1d(8).eval(), nn.Linear(8, 2)
    ),
    "an old weight norm": lambda: nn.Sequential(
        nn.Linear(10, 8), nn.Tanh(), nn.utils.weight_norm(nn.Linear(8, 2))
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_what_a_plain_loop_makes_of_it(name, executor):
    one = task(MODELS[name])
    check(one)
    assert not outside(one).obstacle
    results = train(one, [Member(RECIPE, seed) for seed in range(3)], executor, keep_weights=True)
    for seed, result in enumerate(results):
        np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, seed), rtol=1e-5)
        assert result.weights.keys() == one.model(seed).state_dict().keys()


@pytest.mark.parametrize(("name", "does"), [("parts of zeros", True), ("weights that are clamped", False)])
def test_tensors_are_made_for_each_model_only_where_that_is_needed(name, does):
    assert writes(task(MODELS[name])) is does


def test_inputs_that_are_written_to_after_a_copy_are_each_models_own_in_evaluation():
    class Shifted(nn.Linear):
        def forward(self, x):
            x = x.clone()
            x[:, :2] *= self.bias
            return super().forward(x)

    one = task(lambda: Shifted(10, 2))
    members = [Member(RECIPE, seed) for seed in range(3)]
    for a, b in zip(train(one, members), train(one, members, "vmapped"), strict=True):
        np.testing.assert_allclose(a.outcomes, b.outcomes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
def test_all_of_a_model_is_in_training_mode_where_it_goes_on_in_the_middle_of_an_epoch(executor):
    """As it is behind an epoch's end, also where its maker has put a part into evaluation mode."""
    one = task(MODELS["a part that begins in evaluation mode"])
    models = EXECUTORS[executor](one, beginnings(one, 3))
    assert all(part.training for part in models.module.modules())


class Several(nn.Module):
    """Returns a dict, with a list and None in it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(10, 4), nn.Linear(4, 2)

    def forward(self, x):
        code = torch.tanh(self.a(x))
        return {"codes": [code, None], "logits": self.b(code)}


def test_several_outputs_are_stacked_too():
    def loss(output, y):
        return F.cross_entropy(output["logits"], y) + 0.1 * output["codes"][0].square().mean()

    own = tw.Metric("hits", lambda output, y: (output["logits"].argmax(1) == y).float(), True)
    one = task(Several, loss=loss, metric=own)
    found = EXECUTORS["vmapped"](one, beginnings(one, 3)).outputs(X[:5])
    assert found[0]["codes"][1] is None
    torch.testing.assert_close(found[2]["logits"], one.model(2)(X[:5])["logits"])
    members = [Member(RECIPE, seed) for seed in range(3)]
    for a, b in zip(train(one, members), train(one, members, "vmapped"), strict=True):
        assert np.array_equal(a.outcomes, b.outcomes)


def always_dropped(_, h):
    return F.dropout(h)  # whose training is True if nobody says otherwise


def noisy(_, h):
    return h + 0.5 * torch.randn_like(h)


@pytest.mark.parametrize("way", [always_dropped, noisy])
@pytest.mark.parametrize("roles", [{}, {"average": tw.average.ema()}])
def test_what_is_drawn_in_evaluation_is_the_same_each_time(way, roles):
    one = task(net(way))
    recipe = Recipe(tw.optim.sgd(lr=0.1), epochs=1, batch_size=18, **roles).resolved()
    members = [Member(recipe, seed) for seed in range(3)]
    first = train(one, members)
    torch.rand(3)
    for again in (train(one, members), *([train(one, members, "vmapped")] if way is always_dropped else [])):
        for a, b in zip(first, again, strict=True):
            np.testing.assert_allclose(a.outcomes, b.outcomes, rtol=1e-4)


class Scaling(nn.Linear):
    """Writes into the pictures that it gets, as many a forward does that scales them."""

    def forward(self, x):
        x.sub_(0.5).mul_(0.9)
        return super().forward(x)


class Apart(nn.Linear):
    def forward(self, x):
        return super().forward((x - 0.5) * 0.9)


@pytest.mark.parametrize("executor", ["one by one", "vmapped", pytest.param("compiled", marks=pytest.mark.slow)])
def test_data_are_not_written_into_by_who_writes_into_what_it_gets(executor):
    task, apart = (small_digits(lambda made=made: made(64, 10)) for made in (Scaling, Apart))
    before = [split.inputs.clone() for split in (task.train, task.valid, task.test)]
    assert not outside(task).shared
    members = [Member(Recipe(optim.adam(), epochs=2).resolved(), seed) for seed in range(3)]
    for found, expected in zip(train(task, members, executor), train(apart, members), strict=True):
        np.testing.assert_allclose(found.curve.train_loss, expected.curve.train_loss, rtol=1e-4)
        assert found.test == pytest.approx(expected.test, abs=0.05)
    for split, x in zip((task.train, task.valid, task.test), before, strict=True):
        assert torch.equal(split.inputs, x)
