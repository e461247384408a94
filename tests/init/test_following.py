"""Gains by the activation that follows a layer, where that can be told."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from thalweg import activation, init


def gains(model):
    """Return each weight's gain and what it is of, under he_normal."""
    return {row.name: (row.gain, row.because) for row in init.he_normal().apply(model, 0).rows}


def of(module):
    return activation.gain(module), f"of {type(module).__name__}"


UNKNOWN = (2**0.5, "what follows cannot be told")


class Written(nn.Module):
    """A forward that calls functions and methods, and asks for shapes on the way."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout2d()
        self.one, self.two, self.three, self.four = (nn.Linear(8, 8) for _ in range(4))
        self.gate, self.last = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = F.leaky_relu(F.max_pool2d(self.drop(self.norm(self.conv(x))), 2), 0.3)
        x = x.mean((2, 3)).view(x.size(0), -1)
        x = self.one(x)
        x = F.gelu(x.reshape(x.shape[0], -1), approximate="tanh")
        x = self.two(x).relu()
        x = torch.tanh(self.three(x))
        x = F.dropout(self.four(x), 0.5, self.training)
        x = self.gate(x) * x
        return self.last(x)


def test_functions_and_methods_count_through_norms_pooling_dropout_and_shapes():
    assert gains(Written()) == {
        "conv.weight": (activation.leaky_relu(0.3).gain(), "of LeakyReLU"),
        "one.weight": of(nn.GELU("tanh")),
        "two.weight": of(nn.ReLU()),
        "three.weight": of(nn.Tanh()),
        "four.weight": UNKNOWN,  # it goes to a layer, and to a product
        "gate.weight": UNKNOWN,
        "last.weight": (1.0, "nothing follows"),
    }


def test_modules_in_order():
    net = nn.Sequential(
        nn.Linear(4, 4), nn.LayerNorm(4), nn.Dropout(), nn.SELU(), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)),
        nn.Hardswish(), nn.Linear(4, 4), nn.Softmax(-1),
    )  # fmt: skip
    assert gains(net) == {
        "0.weight": of(nn.SELU()),
        "4.0.weight": (1.0, "no activation follows"),
        "4.1.weight": of(nn.Hardswish()),
        "6.weight": UNKNOWN,
    }


class Both(nn.Module):
    """One layer's output to two activations; one layer called twice before the same; one added to another."""

    def __init__(self):
        super().__init__()
        self.fork, self.twice, self.sum = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.fork(x)
        x = torch.relu(x) + torch.tanh(x)
        x = torch.relu(self.twice(torch.relu(self.twice(x))))
        return torch.relu(self.sum(x) + x)


def test_where_ways_differ_or_meet_it_cannot_be_told():
    assert gains(Both()) == {"fork.weight": UNKNOWN, "twice.weight": of(nn.ReLU()), "sum.weight": UNKNOWN}
    glorot = init.glorot_normal().apply(Both(), 0)
    assert [row.gain for row in glorot.rows] == [1.0, 2**0.5, 1.0]


class Depends(nn.Module):
    """What cannot be read, with a part that can."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 4))
        self.last = nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.stem(x)) if x.sum() > 0 else x


def test_where_a_model_cannot_be_traced_its_parts_are():
    expected = {"stem.0.weight": of(nn.ELU()), "stem.2.weight": UNKNOWN, "last.weight": UNKNOWN}
    assert gains(Depends()) == expected
    inside = gains(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Depends()))
    assert inside == {"0.weight": of(nn.ReLU())} | {f"2.{name}": found for name, found in expected.items()}


def test_a_layer_alone():
    assert gains(nn.Linear(3, 2)) == {"weight": (1.0, "nothing follows")}


def test_being_read_changes_nothing():
    class Writes(nn.Module):
        """Keeps what it saw, counts in a buffer, and draws."""

        def __init__(self):
            super().__init__()
            self.layer, self.seen = nn.Linear(3, 3), None
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            self.seen = x
            return torch.relu(self.layer(x)) + torch.rand(3)

    model = Writes()
    state = torch.get_rng_state()
    assert gains(model) == {"layer.weight": of(nn.ReLU())}
    assert model.seen is None
    assert model.calls.item() == 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "module", [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.LeakyReLU(0.2), nn.SiLU(), nn.Mish()], ids=repr
)
def test_every_activation_brings_its_gain(module):
    assert gains(nn.Sequential(nn.Linear(4, 4), module, nn.Linear(4, 4)))["0.weight"] == of(module)


def test_a_deep_network_keeps_its_signals_with_he_and_loses_them_with_small_numbers():
    """He et al. 2015: thirty layers, whose gains are read off them."""
    layers = [m for _ in range(30) for m in (nn.Linear(200, 200), nn.ReLU())]
    net, x = nn.Sequential(*layers), torch.randn(100, 200)
    init.he_normal().apply(net, 0)
    assert 0.1 < net(x).square().mean() < 10
    init.small_random().apply(net, 0)
    assert net(x).square().mean() < 1e-20
