"""What `gradients`, `noise` and `variance` cannot look at gets one sentence; what they leave out, they say."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import inspect
from thalweg.errors import InputError

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 3


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def noise(model, x, y):
    return inspect.noise(model, (x, y), F.cross_entropy, sizes=(1, 4), draws=4)


CALLS = {
    "gradients": lambda model, x, y: inspect.gradients(model, (x, y)),
    "noise": noise,
    "variance": lambda model, x, y: inspect.variance(model, x),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (net, X[:0], Y[:0], "the inputs have no examples in them (shape (0, 6))"),
        (net, torch.where(X > 2, torch.nan, X), Y, "numbers of the inputs are NaN or infinite"),
    ],
    ids=["empty", "nan"],
)
def test_what_cannot_be_looked_at_gets_one_sentence(call, model, x, y, message):
    with pytest.raises(InputError) as error:
        CALLS[call](model(), x, y)
    assert message in str(error.value)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_torchscript_has_no_modules_to_look_into_and_its_noise_is_measured_all_the_same():
    for model in (torch.jit.script(net()), nn.Sequential(torch.jit.script(net()))):
        for call in ("gradients", "variance"):
            with pytest.raises(InputError, match="made by TorchScript, which cannot be looked into"):
                CALLS[call](model, X, Y)
        assert noise(model, X, Y).examples == 32


def test_one_example_has_no_noise():
    with pytest.raises(InputError, match="one example has no noise"):
        noise(net(), X[:1], Y[:1])


def test_lazy_layers_get_their_sizes_in_the_copy():
    lazy = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    assert [row.layer for row in inspect.variance(lazy, X).rows] == ["0", "2"]
    assert isinstance(lazy[0].weight, nn.UninitializedParameter)
    with pytest.raises(InputError, match="cannot take the inputs"):
        inspect.variance(nn.Sequential(nn.LazyLinear(8), nn.Linear(9, 3)), X)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm = nn.Embedding(10, 4), nn.LSTM(4, 8, batch_first=True)
        self.norm, self.out, self.unused = nn.LayerNorm(8), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.norm(self.lstm(self.words(x))[0][:, -1]))


def test_variance_says_what_it_leaves_out():
    found = inspect.variance(Recurrent(), torch.arange(40).reshape(8, 5) % 10)
    assert found.left_out == ("words (Embedding)", "lstm (LSTM)", "unused (Linear, not called)")
    assert str(found).endswith("left out: words (Embedding), lstm (LSTM), unused (Linear, not called)")
    assert inspect.variance(net(), X).left_out == ()


def test_a_frozen_layer_is_said_to_be_frozen():
    model = net()
    model[0].requires_grad_(False)
    found = inspect.gradients(model, (X, Y))
    first, _, last = found.rows
    assert (first.slopes, sorted(first.weights), sorted(last.slopes)) == ({}, ["bias", "weight"], ["bias", "weight"])
    assert [("frozen" in line) for line in str(found).splitlines()[1:4]] == [True, False, False]
    assert first.weights["weight"] == pytest.approx(float(model[0].weight.norm()))


@pytest.mark.parametrize(
    "look",
    [
        lambda net, data: inspect.noise(net, data, F.cross_entropy, sizes=(1, 4), draws=3).squares,
        lambda net, data: [row.slopes for row in inspect.gradients(net, data, F.cross_entropy).rows],
        lambda net, data: inspect.smoothness(net, torch.optim.SGD(net.parameters()), [data] * 3, F.cross_entropy),
    ],
    ids=["noise", "gradients", "smoothness"],
)  # fmt: skip
def test_sparse_gradients_are_those_that_dense_ones_are(look):
    found = []
    for sparse in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(9, 4, sparse=sparse), nn.Flatten(), nn.Linear(12, 3)).double()
        found.append(str(look(net, (torch.arange(24).view(8, 3) % 9, torch.arange(8) % 3))))
    assert found[0] == found[1]
