"""Internal covariate shift: gradients and inputs of a layer before and after the update of those below it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import inspect, norm, surgery
from thalweg.errors import InputError
from untouched import facts, same


def batches(count=2, size=32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, size, 6, generator=generator)
    return [(part, (part[:, 0] > 0).long()) for part in x]


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.5, momentum=0.9)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 10), nn.BatchNorm1d(10), nn.Tanh(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 2)
    )


def gradient(model, x, y, layer):
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    return model[layer].weight.grad.clone()


def test_it_is_definition_2_1_with_copies_of_the_model():
    """For each layer a copy whose lower layers, norms among them, have taken the step, and whose others have not."""
    model, data = net(), batches()
    found = inspect.shift(model, sgd, data, F.cross_entropy, steps=4)
    assert [(x.layer, x.number) for x in found.layers] == [("3", 2), ("5", 3)]
    apart = copy.deepcopy(model)
    optimizer = sgd(apart.parameters())
    for step in range(4):
        x, y = data[step % 2]
        before = copy.deepcopy(apart)
        optimizer.zero_grad()
        F.cross_entropy(apart(x), y).backward()
        optimizer.step()
        for layer, at in zip(found.layers, (3, 5), strict=True):
            mixed = copy.deepcopy(before)
            for i in range(at):
                mixed[i].load_state_dict(apart[i].state_dict())
            g, after = (gradient(copy.deepcopy(m), x, y, at) for m in (before, mixed))
            assert layer.gradient[step] == pytest.approx(g.norm().item(), rel=1e-4)
            assert layer.difference[step] == pytest.approx((g - after).norm().item(), rel=1e-3)
            assert layer.cosine[step] == pytest.approx(
                F.cosine_similarity(g.ravel(), after.ravel(), 0).item(), abs=1e-5
            )
            one, other = (copy.deepcopy(m)[:at](x).detach().double() for m in (before, mixed))
            square = (other.mean(0) - one.mean(0)) ** 2 + (other.std(0, correction=0) - one.std(0, correction=0)) ** 2
            scale = one.var(0, correction=0).sum()
            assert layer.moved[step] == pytest.approx(math.sqrt(square.sum() / scale), rel=1e-3)


def test_a_step_begins_with_the_buffers_that_the_last_one_left():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            self.count += 1
            return self.net(x) * self.count

    def still(parameters):
        return torch.optim.SGD(parameters, lr=0.0)

    def loss(y, _):
        return y.mean()

    data = batches(count=1)
    layer = inspect.shift(Counted(), still, data, loss, steps=3).layers[0]
    assert layer.gradient == pytest.approx(layer.gradient[0] * np.array([1.0, 2.0, 3.0]), rel=1e-5)
    assert not layer.difference.any()


def test_layers_that_are_frozen_shift_none():
    model = net()
    model[:2].requires_grad_(False)
    second, third = inspect.shift(model, sgd, batches(), F.cross_entropy, steps=3).layers
    assert not second.difference.any()
    assert not second.moved.any()
    assert second.cosine == pytest.approx(1.0)
    assert third.difference.all()


def test_order_is_that_of_calls_and_functions_count():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(5, 2), nn.Conv1d(1, 5, 6)

        def forward(self, x):
            return self.last(torch.relu(self.first(x[:, None])).flatten(1))

    torch.manual_seed(0)
    (layer,) = inspect.shift(Turned(), sgd, batches(), F.cross_entropy, steps=2).layers
    assert layer.layer == "last"
    assert (layer.difference > 0).all()


def test_norms_that_surgery_put_behind_a_layer_are_below_the_next():
    plain = nn.Sequential(nn.Linear(6, 10), nn.Sigmoid(), nn.Linear(10, 10), nn.Sigmoid(), nn.Linear(10, 2))
    normed = surgery.operate(plain, batches()[0][0], norm=norm.batch()).model
    for name, p in normed.named_parameters():
        p.requires_grad_(".behind." in name or name.startswith(("2.", "4.")))
    found = inspect.shift(normed, sgd, batches(), F.cross_entropy, steps=2).layers
    assert [x.layer for x in found] == ["2", "4"]
    assert (found[0].difference > 0).all(), "the norm of layer 0 has been updated"


def test_everything_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.Dropout(), nn.Linear(10, 2)).eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    F.cross_entropy(model(batches()[0][0]), batches()[0][1]).backward()
    optimizer.step()
    before = facts(model, optimizer)
    one = inspect.shift(model, optimizer, batches(), F.cross_entropy, steps=3)
    assert same(before, facts(model, optimizer))
    assert str(one) == str(inspect.shift(model, optimizer, batches(), F.cross_entropy, steps=3))


def test_it_is_a_table_and_a_picture(tmp_path):
    found = inspect.shift({"a": net(), "b": net()}, sgd, batches(), F.cross_entropy, steps=3)
    lines = str(found).splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [["a", "3"], ["a", "5"], ["b", "3"], ["b", "5"]]
    assert lines[-1] == "medians over 3 steps; inputs in their deviations"
    found.save(tmp_path / "a.svg")
    assert "inputs moved" in (tmp_path / "a.svg").read_text()
    values = next(iter(found.chart().to_dict()["datasets"].values()))
    assert values[0]["middle"] == pytest.approx(np.median(found.layers[0].difference))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.shift(nn.Linear(6, 2), sgd, batches(), F.cross_entropy), "trains no linear or convolution"),
        (
            lambda: inspect.shift(net(), sgd, batches(), F.cross_entropy, steps=True),
            "steps takes a whole number from 1",
        ),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
