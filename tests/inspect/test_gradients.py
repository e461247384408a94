"""The chain rule through a module: against derivatives by hand, by functional calls, and nothing is changed."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad
from torch.nn import functional as F

from thalweg import inspect
from thalweg.errors import InputError
from untouched import facts, same


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def size(x):
    return float(x.detach().double().norm())


@torch.no_grad()
def test_of_two_layers_everything_is_known_by_hand():
    first, second = nn.Linear(3, 4), nn.Linear(4, 2)
    net = nn.Sequential(first, nn.Tanh(), second)
    x, t = numbers(5, 3), numbers(5, 2, seed=1)
    found = inspect.gradients(net, (x, t))
    a = x @ first.weight.T + first.bias
    h = a.tanh()
    y = h @ second.weight.T + second.bias
    dy = 2 * (y - t) / y.numel()
    dh = dy @ second.weight
    da = dh * (1 - h * h)
    expected = [("0", da, da @ first.weight), ("1", dh, da), ("2", dy, dh)]
    assert [row.module for row in found.rows] == ["0", "1", "2"]
    for row, (_, back, further) in zip(found.rows, expected, strict=True):
        assert (row.dy, row.dx) == (pytest.approx(size(back), rel=1e-5), pytest.approx(size(further), rel=1e-5))
    by_hand = {"weight": size(da.T @ x), "bias": size(da.sum(0))}
    assert found.rows[0].slopes == pytest.approx(by_hand, rel=1e-5)
    assert found.rows[0].weights == pytest.approx({"weight": size(first.weight), "bias": size(first.bias)})
    assert (found.rows[1].weights, found.rows[1].slopes) == ({}, {})
    assert found.loss == pytest.approx(float(((y - t) ** 2).mean()), rel=1e-6)
    shapes = [(row.entering, row.leaving) for row in found.rows]
    assert shapes == [((5, 3), (5, 4)), ((5, 4), (5, 4)), ((5, 4), (5, 2))]
    assert found.rows[1].mean == pytest.approx(float(h.mean()), rel=1e-4)
    assert found.rows[1].deviation == pytest.approx(float(h.std(correction=0)), rel=1e-4)
    counts, edges = np.histogram(h.detach().double().numpy(), 40)
    np.testing.assert_array_equal(found.rows[1].counts, counts)
    np.testing.assert_allclose(found.rows[1].edges, edges, rtol=1e-6)


class Shortcut(nn.Module):
    """x goes into a layer, past it, and the layer is called twice; an activation writes in place."""

    def __init__(self):
        super().__init__()
        self.enter, self.layer, self.relu = nn.Linear(3, 4), nn.Linear(4, 4), nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        x = self.enter(x)
        x = x + self.relu(self.layer(x))
        x = x + self.relu(self.layer(x))
        return self.out(self.scale * x)


def test_what_comes_back_through_a_module_is_told_from_what_goes_past_it():
    net, x, t = Shortcut(), numbers(6, 3), torch.arange(6) % 2
    found = inspect.gradients(net, (x, t))
    rows = {row.module: row for row in found.rows}
    assert list(rows) == ["the model", "enter", "layer", "relu", "layer (2)", "relu (2)", "out"]

    def upper(x):
        return F.cross_entropy(net.out(net.scale * (x + F.relu(net.layer(x)))), t)

    start = net.enter(x)
    middle = start + F.relu(net.layer(start))
    whole = grad(upper)(middle)
    through = grad(lambda a: upper(start + F.relu(net.layer(a))))(start)
    assert rows["layer"].dx == pytest.approx(size(through), rel=1e-5)
    assert rows["enter"].dy == pytest.approx(size(whole + through), rel=1e-5)
    assert rows["relu"].dy == pytest.approx(size(whole), rel=1e-5)
    before = grad(lambda a: upper(start + F.relu(a)))(net.layer(start))
    assert rows["layer"].dy == pytest.approx(size(before), rel=1e-5), "of what it gave, before it was written over"
    weights = dict(net.named_parameters())
    slopes = grad(lambda w: F.cross_entropy(functional_call(net, w, (x,)), t))(weights)
    assert rows["layer"].slopes["weight"] == pytest.approx(size(slopes["layer.weight"]), rel=1e-5)
    assert rows["layer (2)"].slopes == rows["layer"].slopes, "one gradient, of both calls"
    assert rows["the model"].slopes == pytest.approx({"scale": size(slopes["scale"])}, rel=1e-5)


def test_it_takes_what_models_take():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.lstm = nn.Embedding(9, 4), nn.LSTM(4, 5, batch_first=True)
            self.attention, self.out = nn.MultiheadAttention(5, 1, batch_first=True), nn.Linear(5, 2)

        def forward(self, words, weight):
            h, _ = self.lstm(self.words(words) * weight[:, None, None])
            return self.out(self.attention(h, h, h)[0].mean(1))

    words, weight = torch.arange(12).view(3, 4) % 9, torch.ones(3)
    for inputs in ((words, weight), {"words": words, "weight": weight}, [words, weight]):
        rows = {row.module: row for row in inspect.gradients(Two(), (inputs, torch.tensor([0, 1, 0]))).rows}
        assert list(rows)[:4] == ["words", "lstm", "attention", "out"]
        assert (rows["words"].entering, rows["words"].leaving) == ((3, 4), (3, 4, 4))
        assert np.isnan(rows["words"].dx)
        assert rows["words"].dy > 0
        assert rows["lstm"].dx == pytest.approx(rows["words"].dy, rel=1e-5)
        assert set(rows["attention"].slopes) == {"in_proj_weight", "in_proj_bias"}
    writes = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 1), nn.Flatten(0))
    x = numbers(4, 3)
    kept = x.clone()
    rows = inspect.gradients(writes, (x, numbers(4)), F.l1_loss).rows
    assert torch.equal(x, kept)
    assert rows[0].dx == pytest.approx(size(writes[1].weight * (x > 0) / 4), rel=1e-5)


def test_dead_units_and_detached_parts_show():
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))
    nn.init.constant_(net[0].bias, -50.0)
    rows = inspect.gradients(net, (numbers(7, 3), numbers(7))).rows
    assert (rows[1].zero, rows[0].dy, rows[0].slopes["weight"]) == (1.0, 0.0, 0.0)

    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.out = nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x):
            return self.out(self.first(x).detach()).squeeze(1)

    first, out = inspect.gradients(Cut(), (numbers(7, 3), numbers(7))).rows
    assert np.isnan([first.dy, first.dx, *first.slopes.values(), out.dx]).all()
    assert out.slopes["weight"] > 0


def test_model_and_generators_are_left_as_they_were():
    net = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Dropout(), nn.ReLU(), nn.Linear(12, 3))
    before = facts(net)
    one, other = (str(inspect.gradients(net, (numbers(8, 6), torch.zeros(8).long()))) for _ in range(2))
    assert one == other
    assert same(before, facts(net))
    assert all(not m._forward_hooks for m in net.modules())


def test_it_is_a_table_and_a_picture(tmp_path):
    found = inspect.gradients(Shortcut(), (numbers(6, 3), torch.arange(6) % 2))
    lines = str(found).splitlines()
    assert lines[0].split()[0] == "module"
    assert [line.split()[0] for line in lines[2:4]] == ["enter", "layer"]
    assert lines[-1].startswith(f"L = {found.loss:.3g}")
    chart = found.chart().to_dict()
    backward, forward = (chart["datasets"][panel["data"]["name"]] for panel in chart["hconcat"])
    assert {row["of"] for row in backward} == {"∂L/∂x", "∂L/∂y", "∂L/∂θ"}
    assert max(row["share"] for row in forward) == 1.0
    found.save(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    found.chart().save(tmp_path / "tight.svg")
    wide, tight = (int(re.search(r'width="(\d+)"', one)[1]) for one in (text, (tmp_path / "tight.svg").read_text()))
    assert wide >= tight + 50  # room for a wider font
    assert "layer (2) Linear" in text
    assert "fullest bin" in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.gradients(3, (1, torch.zeros(1))), "gradients takes an nn.Module, not int"),
        (lambda: inspect.gradients(nn.Linear(1, 1), torch.zeros(2, 1)), "gradients takes a batch (inputs, targets)"),
        (
            lambda: inspect.gradients(nn.Linear(1, 1), (torch.zeros(2, 3), torch.zeros(2))),
            "cannot take the batch: Run",
        ),
        (
            lambda: inspect.gradients(nn.Linear(1, 1), (torch.zeros(2, 1), torch.zeros(2)), lambda o, t: o),
            "returns one number that depends on the weights",
        ),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
