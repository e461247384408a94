"""Dropout that a model has already: replaced where the new one belongs, else named."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import dropout, surgery
from thalweg.errors import InputError

X = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


def drops(model):
    return [m for m in model.modules() if type(m).__name__ in ("Dropout", "Dropout1d", "Thinning")]


@pytest.mark.parametrize("own", [nn.Dropout(0.5), nn.Dropout(0.0), nn.AlphaDropout(0.2)], ids=repr)
def test_dropout_right_before_a_layer_is_replaced_and_not_doubled(own):
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), own, nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    found = surgery.operate(net, X, dropout=dropout.gaussian(0.3))
    assert [(c.where, c.before, c.after) for c in found.changes] == [
        ("2", repr(own), "gaussian"), ("6", "", "gaussian before it"),
    ]  # fmt: skip
    assert found.left == ()
    assert [float(m.p) for m in drops(found.model)] == [0.3, 0.3]
    assert found.model[4].__class__ is nn.Linear


def test_one_that_two_of_the_layers_share_is_replaced_once():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.drop = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 2), nn.Dropout(0.5)

        def forward(self, x):
            return self.c(self.drop(F.relu(self.b(self.drop(F.relu(self.a(x)))))))

    found = surgery.operate(Shared(), X, dropout=dropout.dropout(0.3))
    assert [(c.where, c.after) for c in found.changes] == [("drop", "dropout")]
    assert found.left == ()


class Elsewhere(nn.Module):
    """Drops what goes into a first layer with the module that also stands before the last, and more besides."""

    def __init__(self):
        super().__init__()
        self.drop, self.a, self.b = nn.Dropout(0.5), nn.Linear(8, 8), nn.Linear(8, 2)
        self.rnn, self.zero = nn.GRU(8, 8, 2, batch_first=True, dropout=0.1), nn.Dropout(0.0)

    def forward(self, x):
        x = self.drop(x)
        x = self.zero(x) + self.rnn(self.a(x)[:, None])[0][:, 0]
        return self.b(self.drop(F.dropout(x, 0.2, self.training)))


def test_one_that_stands_elsewhere_too_is_left_and_all_that_is_left_is_named():
    found = surgery.operate(Elsewhere(), X, dropout=dropout.dropout(0.3))
    assert [c.where for c in found.changes] == ["b"]
    assert found.left == ("the model's own dropout: drop, rnn, F.dropout in the model",)
    assert isinstance(found.model.drop, nn.Dropout)


def test_what_takes_the_same_tensor_without_dropout_is_not_taken_for_thinned():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.drop = nn.Linear(8, 6), nn.Dropout(0.5)
            self.a, self.b = nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            x = F.relu(self.first(x))
            return self.a(self.drop(x)) + self.b(x)

    found = surgery.operate(Skips(), X, dropout=dropout.dropout(0.3))
    assert [(c.where, c.after) for c in found.changes] == [("drop", "dropout"), ("b", "dropout before it")]


def test_many_are_counted():
    net = nn.Sequential(
        *[nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1)) for _ in range(5)], nn.LayerNorm(8)
    )
    net = nn.Sequential(net, nn.ReLU(), nn.Linear(8, 2))
    found = surgery.operate(net, X, dropout=dropout.variational())
    assert found.left == ("the model's own dropout: 0.0.2, 0.1.2, 0.2.2 and 2 more",)


def test_channels_are_dropped_before_each_convolution_but_the_first_layer():
    """And not before linear layers, whose inputs have none; nor of the places of a sequence."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Dropout2d(0.1), nn.ConvTranspose2d(5, 6, 2),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 2),
    )  # fmt: skip
    found = surgery.operate(net, torch.randn(2, 3, 9, 9), dropout=dropout.spatial(0.5))
    assert [(c.where, c.after) for c in found.changes] == [("2", "spatial before it"), ("4", "spatial")]
    second, entered = found.model.train()[2], torch.ones(50, 4, 3, 3)
    second.before.register_forward_hook(lambda module, given, made: entered.copy_(made))
    second(entered.clone())
    assert entered.unique().tolist() == [0.0, 2.0]
    assert (entered.amin((2, 3)) == entered.amax((2, 3))).all()
    places = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    with pytest.raises(InputError, match=r"^dropout: spatial goes before each convolution after the model's first"):
        surgery.operate(places, X[:, None].expand(5, 4, 8), dropout=dropout.spatial())


@pytest.mark.parametrize("kind", [dropout.variational(), dropout.sparse_variational()], ids=str)
def test_weights_that_are_tied_get_no_noise_of_ones_own(kind):
    """What is pruned of the one would else be untied from the other; a layer that is called twice stays one."""

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.body, self.head = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9, bias=False)
            self.same = self.body
            self.head.weight = self.words.weight

        def forward(self, x):
            return self.head(self.same(torch.relu(self.body(self.words(x)))))

    net = Words()
    found = surgery.operate(net, torch.arange(8).view(2, 4), dropout=kind)
    assert [c.where for c in found.changes] == ["body"]
    assert found.left == ("head: its weight is tied to that of words, which would not get the same noise",)
    assert found.model.body is found.model.same
    net.body = net.same = nn.Identity()
    with pytest.raises(InputError, match=r"^dropout: nothing can be done; head: its weight is tied to that of words"):
        surgery.operate(net, torch.arange(8).view(2, 4), dropout=kind)


def test_what_cannot_be_made_of_a_layer_names_it():
    net = nn.ModuleDict({"rnn": nn.LSTM(8, 8, 2, dropout=0.1)})
    net.forward = lambda x: net["rnn"](x)[0]
    with pytest.raises(InputError, match=r"^dropout: rnn: the LSTM has dropout=0.1 between its layers"):
        surgery.operate(net, torch.randn(3, 2, 8), dropout=dropout.rnn())


@pytest.mark.parametrize("body", [nn.LSTM(6, 6, batch_first=True), nn.Identity()], ids=["recurrent", "bag of words"])
def test_a_head_behind_an_embedding_is_not_the_first_layer(body):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.body, self.head = nn.Embedding(9, 6), body, nn.Linear(6, 2)

        def forward(self, x):
            x = self.body(self.words(x))
            return self.head((x if isinstance(x, torch.Tensor) else x[0]).mean(1))

    found = surgery.operate(Reader(), torch.arange(8).view(2, 4), dropout=dropout.dropout(0.3))
    assert [(c.where, c.after) for c in found.changes] == [("head", "dropout before it")]
    with pytest.raises(InputError, match="no linear layer after its first layer"):
        surgery.operate(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 2)), X, dropout=dropout.dropout())
