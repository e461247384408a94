"""Recurrent layers that lose the same features at every step of a sequence."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from thalweg import dropout
from thalweg.errors import InputError
from thalweg.train.dropout import KeyedDropout, mask

KEY = torch.tensor(20)


def flat(states):
    return states if isinstance(states, tuple) else (states,)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}, {"bias": False}],
    ids=str,
)
def test_without_rates_it_is_torchs_layer(kind, options):
    rnn = kind(5, 7, **options).double()
    layer = dropout.RecurrentDropout(rnn, p=0.0)
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    starts = torch.randn(flat(rnn(x)[1])[0].shape, dtype=torch.float64)
    for start in (None, (starts, starts + 1) if kind is nn.LSTM else starts):
        outputs, last = layer(x, start)
        expected, theirs = rnn(x, start)
        torch.testing.assert_close(outputs, expected)
        torch.testing.assert_close(flat(last), flat(theirs))


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
def test_masks_are_the_same_at_every_step(cell):
    """Against torch's own cell, called step by step with masks that are drawn once."""
    kind = nn.LSTM if cell is nn.LSTMCell else nn.GRU
    rnn = kind(5, 7).double()
    step = cell(5, 7).double()
    step.load_state_dict({name.removesuffix("_l0"): x for name, x in rnn.state_dict().items()})
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    with KeyedDropout(KEY):
        outputs, last = dropout.RecurrentDropout(rnn, p=0.4, hidden=0.2)(x)
    masks = KeyedDropout(KEY)
    of_inputs = mask(masks.following(), (4, 5), 0.4) / 0.6
    of_hidden = mask(masks.following(), (4, 7), 0.2) / 0.8
    h = c = torch.zeros(4, 7, dtype=torch.float64)
    for t in range(6):
        if kind is nn.LSTM:
            h, c = step(x[t] * of_inputs, (h * of_hidden, c))
        else:
            # In a GRU the old state also goes on by itself, whole.
            r_in, z_in, n_in = nn.functional.linear(x[t] * of_inputs, step.weight_ih, step.bias_ih).chunk(3, -1)
            r_h, z_h, n_h = nn.functional.linear(h * of_hidden, step.weight_hh, step.bias_hh).chunk(3, -1)
            z = torch.sigmoid(z_in + z_h)
            h = (1 - z) * torch.tanh(n_in + torch.sigmoid(r_in + r_h) * n_h) + z * h
        torch.testing.assert_close(outputs[t], h)
    torch.testing.assert_close(flat(last)[0][0], h)


def test_each_sequence_layer_and_direction_has_masks_of_its_own():
    layer = dropout.RecurrentDropout(nn.LSTM(5, 7, num_layers=2, bidirectional=True), 0.4)
    x = torch.randn(3, 4, 5)
    with KeyedDropout(KEY) as masks:
        layer(x)
    assert masks.layer == 2 * (1 + 2)
    x = torch.ones(6, 40, 5, requires_grad=True)
    dropout.RecurrentDropout(nn.GRU(5, 7), 0.4, 0.0)(x)[0].sum().backward()
    gone = x.grad == 0
    assert (gone == gone[0]).all(), "the same features at every step"
    assert not (gone[0] == gone[0, 0]).all(), "others in other sequences"
    assert 0.2 < gone[0].double().mean() < 0.6


def test_evaluation_is_the_layer_itself_and_its_weights_keep_their_names():
    rnn = nn.LSTM(5, 7, batch_first=True)
    layer = dropout.rnn(0.3).module(rnn).eval()
    x = torch.randn(3, 4, 5)
    assert torch.equal(layer(x)[0], rnn(x)[0])
    assert set(layer.state_dict()) == {f"rnn.{name}" for name in rnn.state_dict()}
    assert (layer.p, layer.hidden) == (0.3, 0.3)
    nn.LSTM(5, 7, batch_first=True).load_state_dict(layer.rnn.state_dict())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dropout.RecurrentDropout(nn.LSTM(4, 6, proj_size=2)), "no LSTM with projections"),
        (
            lambda: dropout.RecurrentDropout(nn.GRU(4, 6, 2, dropout=0.1)),
            "the GRU has dropout=0.1 between its layers",
        ),
        (
            lambda: dropout.RecurrentDropout(nn.GRU(4, 6))(pack_sequence([torch.ones(3, 4), torch.ones(2, 4)])),
            "sequences of one length, a tensor with three axes, not one PackedSequence",
        ),
        (lambda: dropout.RecurrentDropout(nn.GRU(4, 6))(torch.ones(3, 4)), r"not one of shape (3, 4)"),
    ],
)
def test_what_it_cannot_thin_is_named(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
