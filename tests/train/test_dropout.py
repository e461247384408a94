"""Dropout's masks are functions of run, step, layer and place."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe
from thalweg.train import Member, train
from thalweg.train.counter import step_keys
from thalweg.train.dropout import KeyedDropout, mask
from thalweg.train.step import drawn


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_it_drops_the_share_it_says(p):
    kept = mask(torch.tensor(12345), [200_000], p).double().mean().item()
    assert abs(kept - (1 - p)) < 4 * (p * (1 - p) / 200_000) ** 0.5


def test_masks_of_neighbouring_places_steps_layers_and_runs_are_independent():
    keys = (
        step_keys(np.array([7, 8], dtype=np.uint64), [0, 0]).tolist()
        + step_keys(np.array([7], dtype=np.uint64), [1]).tolist()
    )
    streams = [mask(torch.tensor(key), [100_000], 0.5) for key in keys]
    x = torch.ones(100_000)
    with KeyedDropout(torch.tensor(keys[0])):
        layers = [F.dropout(x) > 0 for _ in range(3)]
    # A stream that is another one shifted would be as bad as the same.
    streams += [*layers, *(stream.roll(1) for stream in layers[:2])]
    for i, a in enumerate(streams):
        for b in streams[:i]:
            table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
            assert stats.chi2_contingency(np.array(table)).pvalue > 1e-4


def test_the_expectation_stays():
    x = torch.ones(400, 500)
    with KeyedDropout(torch.tensor(1)):
        assert abs(F.dropout(x, 0.3).mean().item() - 1) < 0.01
        assert F.dropout(x, 0.3).unique().tolist() == pytest.approx([0.0, 1 / 0.7])


def test_whole_channels_go_together():
    x = torch.ones(8, 6, 5, 5)
    with KeyedDropout(torch.tensor(3)):
        out = F.dropout2d(x, 0.5)
    per_channel = out.reshape(8, 6, 25)
    assert (per_channel.amin(2) == per_channel.amax(2)).all()
    assert 0 < (per_channel[..., 0] == 0).sum() < 48


def test_each_layer_has_its_own_mask_and_each_key_its_own():
    x = torch.ones(1000)
    with KeyedDropout(torch.tensor(3)):
        first, second = F.dropout(x), F.dropout(x)
    with KeyedDropout(torch.tensor(3)):
        again = F.dropout(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_evaluation_and_rate_0_leave_everything():
    x = torch.randn(50)
    with KeyedDropout(torch.tensor(3)):
        assert torch.equal(F.dropout(x, 0.5, training=False), x)
        assert torch.equal(F.dropout(x, 0.0), x)
        assert torch.equal(F.dropout(x, 1.0), torch.zeros(50))


class Hidden(nn.Module):
    """Dropout inside torch's own attention, which no mode sees by itself."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 4, dropout=0.2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = x.unsqueeze(1)
        return self.head(self.attention(x, x, x)[0].squeeze(1))


class Noisy(nn.Linear):
    """Draws from numpy's global generator."""

    def forward(self, x):
        return super().forward(x + 0.1 * np.random.randn() if self.training else x)  # noqa: NPY002


def test_what_a_forward_pass_draws_is_known():
    plain = drawn(small_digits(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 10))))
    assert plain.masks
    assert not plain.hidden
    assert not plain.moves_generator
    hidden = drawn(small_digits(Hidden))
    assert hidden.masks
    assert hidden.hidden
    assert not hidden.moves_generator, "dropout inside torch's attention has a key too"
    assert drawn(small_digits(lambda: Noisy(64, 10))).moves_generator


def as_written(x, drop, statement):
    """Dropout between two layers, its result taken, or written where its input is."""
    y = 2 * x + 1
    if statement:
        drop(y)
        return y.tanh()
    return drop(y).tanh()


IN_PLACE = {
    "a function": lambda x: F.dropout(x, 0.5, inplace=True),
    "a function, by place": lambda x: F.dropout(x, 0.5, True, True),
    "a layer": nn.Dropout(0.5, inplace=True),
    "channels": nn.Dropout1d(0.5, inplace=True),
    "alpha dropout": lambda x: F.alpha_dropout(x, 0.3, True, True),
    "rrelu": nn.RReLU(inplace=True),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_dropped_in_place_is_seen_where_nobody_took_the_result(name):
    found, x = [], torch.randn(20, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for statement in (False, True):
        with KeyedDropout(torch.tensor(3)) as masks:
            y = as_written(x, IN_PLACE[name], statement)
            found += [y, torch.autograd.grad(y.sum(), x)[0], torch.tensor(masks.layer)]
    assert not torch.equal(found[0], (2 * x + 1).tanh())
    assert all(torch.equal(a, b) for a, b in zip(found[:3], found[3:], strict=True))


def test_what_is_dropped_in_place_last_of_all_is_seen():
    y = torch.ones(100)
    with KeyedDropout(torch.tensor(3)):
        F.dropout(y, inplace=True)
    assert y.unique().tolist() == [0.0, 2.0]


def test_what_torch_would_draw_past_keys_is_not_taken_for_a_place():
    x = torch.ones(100)
    with KeyedDropout(torch.tensor(3)):
        torch.rrelu(-x, 0.1, 0.3, True)
        F.dropout(x, 0.5, False, True)
    assert x.unique().tolist() == [1.0]


@pytest.mark.parametrize("executor", ["one by one", "vmapped", pytest.param("compiled", marks=pytest.mark.slow)])
def test_dropout_in_place_trains_as_dropout(executor):
    class Net(nn.Module):
        def __init__(self, statement):
            super().__init__()
            self.first, self.second, self.statement = nn.Linear(64, 16), nn.Linear(16, 10), statement
            self.drop = nn.Dropout(0.5, inplace=statement)

        def forward(self, x):
            y = self.first(x)
            if self.statement:
                self.drop(y)
                return self.second(y)
            return self.second(self.drop(y))

    members = [Member(Recipe(optim.adam(), epochs=2).resolved(), seed) for seed in range(3)]
    asked = [train(small_digits(lambda form=form: Net(form)), members, executor) for form in (False, True)]
    for one, other in zip(*asked, strict=True):
        np.testing.assert_allclose(one.curve.train_loss, other.curve.train_loss, rtol=1e-5)
