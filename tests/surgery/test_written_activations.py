"""Activations that a user wrote out in arithmetic are found by what they compute; gates and the like are not."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import activation, norm, surgery
from thalweg.errors import InputError


class NewGELU(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class FastGELU(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x)))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Swish(nn.Module):
    def forward(self, x):
        return x * x.sigmoid()


class Mish(nn.Module):
    def __init__(self):
        super().__init__()
        self.soft = nn.Softplus()

    def forward(self, x):
        return x * torch.tanh(self.soft(x))


class Square(nn.Module):
    def forward(self, x):
        return F.relu(x) ** 2


class Leaky(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, 0.2 * x)


WRITTEN = {
    NewGELU: "gelu by a tanh", FastGELU: "gelu by a tanh", QuickGELU: "gelu by a sigmoid", Swish: "silu",
    Mish: "mish", Square: "squared relu", Leaky: "leaky relu of 0.2",
}  # fmt: skip


class Net(nn.Module):
    """Two layers with one activation between them, which is called at each place of a sequence."""

    def __init__(self, act):
        super().__init__()
        self.fc, self.act, self.out = nn.Linear(4, 8), act, nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.act(self.fc(x)))


X = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", WRITTEN)
def test_one_that_is_written_out_is_replaced_and_its_layer_is_a_hidden_one(kind):
    net = Net(kind())
    found = surgery.operate(net, X, activation=activation.elu(), norm=norm.layer())
    assert [(c.where, c.before, c.after) for c in found.changes] == [
        ("act", f"{kind.__name__}, written out: {WRITTEN[kind]}", "elu"),
        ("fc", "", "layer"),
    ]
    assert found.left == ()
    assert found.model.state_dict().keys() - net.state_dict().keys() == {"fc.behind.weight", "fc.behind.bias"}
    y = F.layer_norm(F.linear(X, net.fc.weight, net.fc.bias), (8,))
    torch.testing.assert_close(found.model.eval()(X), net.out(F.elu(y)))
    assert type(net.act) is kind


class Gated(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * torch.sigmoid(b)] * 2, -1)


class Centred(nn.Module):
    """No element by itself."""

    def forward(self, x):
        return F.relu(x - x.mean())


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


class Counting(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * torch.sigmoid(x)


@pytest.mark.parametrize("kind", [Gated, Learned, Twice])
def test_gates_what_is_learned_and_what_is_none_stay(kind):
    with pytest.raises(
        InputError, match=r"^activation: (nothing can be done; sigmoid in act: it is a gate|the model c)"
    ):
        surgery.operate(Net(kind()), X, activation=activation.elu())


def test_a_function_inside_more_is_replaced_there():
    found = surgery.operate(Net(Centred()), X, activation=activation.elu())
    assert [(c.where, c.before) for c in found.changes] == [("act", "F.relu")]


def test_looking_leaves_the_module_as_it_was_and_one_that_is_shared_is_shared():
    act = Counting()
    net = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act, nn.Linear(4, 4))
    found = surgery.operate(net, X, activation=activation.relu())
    assert act.calls == 0
    assert found.model[1] is found.model[3]
    assert isinstance(found.again(copy.deepcopy(net))[3], nn.ReLU)


def test_one_that_the_model_returns_stays():
    found = surgery.operate(nn.Sequential(Net(Swish()), Swish()), X, activation=activation.relu())
    assert [change.where for change in found.changes] == ["0.act"]
    assert found.left == ("silu in 1: the model returns it",)
