"""Recurrent layers of stacked models: cells of (inputs' share, hidden, weights), one after the other in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg.train.stacked.attention import Dropout
from thalweg.train.stacked.narrow import same_bits

__all__ = ["gru", "lstm", "rnn_relu", "rnn_tanh"]


def lstm(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.LSTM`, which calls this ``(input, (h, c), weights, has_biases, num_layers, dropout, train, …)``.

    Packed sequences and projections are left to torch.
    """
    return _recurrent(_lstm_layer, 2, args, dropout)


def gru(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.GRU`; packed sequences are left to torch."""
    return _recurrent(_gru_layer, 1, args, dropout)


def rnn_tanh(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.RNN` with tanh; packed sequences are left to torch."""
    return _recurrent(_rnn_layer(torch.tanh), 1, args, dropout)


def rnn_relu(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.RNN` with relu; packed sequences are left to torch."""
    return _recurrent(_rnn_layer(torch.relu), 1, args, dropout)


def _sum(biases: list[Tensor]) -> Tensor | None:
    return biases[0] + biases[1] if biases else None


Layer = Callable[[Tensor, list[Tensor], list[Tensor]], tuple[Tensor, list[Tensor]]]
"""From inputs ``(T, N, I)``, states ``(N, H)`` and weights to outputs ``(T, N, H)`` and last states."""


def _recurrent(layer: Layer, states: int, args: tuple[Any, ...], dropout: Dropout | None) -> Any:
    if len(args) != 9 or isinstance(args[3], (list, tuple)):
        return NotImplemented  # a packed sequence
    x, start, weights, has_biases, layers, p, train, bidirectional, batch_first = args
    starts = list(start) if states == 2 else [start]
    directions = 2 if bidirectional else 1
    each = 4 if has_biases else 2
    drops = train and p > 0 and layers > 1
    if len(weights) != each * layers * directions or x.dim() != 3 or (drops and dropout is None):
        return NotImplemented  # with a projection there are more
    if starts[0].shape[-1] != starts[-1].shape[-1] or x.dtype != weights[0].dtype:
        return NotImplemented
    x = x.transpose(0, 1) if batch_first else x
    ends: list[list[Tensor]] = []
    for depth in range(layers):
        if depth and drops and dropout is not None:
            x = dropout(x, p)
        outputs = []
        for direction in range(directions):
            at = depth * directions + direction
            own = weights[at * each : (at + 1) * each]
            y, end = layer(x.flip(0) if direction else x, [s[at] for s in starts], own)
            outputs.append(y.flip(0) if direction else y)
            ends.append(end)
        x = torch.cat(outputs, -1) if bidirectional else outputs[0]
    return x.transpose(0, 1) if batch_first else x, *(
        torch.stack(each_state) for each_state in zip(*ends, strict=True)
    )


def _lstm_layer(x: Tensor, start: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    w_in, w_hidden, *biases = weights
    h, c = start
    sigmoid = same_bits(torch.sigmoid, h)
    outputs = []
    wide = F.linear(x, w_in, _sum(biases))
    for part in wide.unbind(0):
        gates = part + h @ w_hidden.t()
        i, f, g, o = gates.chunk(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * torch.tanh(g)
        h = sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), [h, c]


def _gru_layer(x: Tensor, start: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    w_in, w_hidden, *biases = weights
    (h,) = start
    sigmoid = same_bits(torch.sigmoid, h)
    outputs = []
    wide = F.linear(x, w_in, biases[0] if biases else None)
    for part in wide.unbind(0):
        mine = F.linear(h, w_hidden, biases[1] if biases else None)
        r_in, z_in, n_in = part.chunk(3, -1)
        r_mine, z_mine, n_mine = mine.chunk(3, -1)
        z = sigmoid(z_in + z_mine)
        n = torch.tanh(n_in + sigmoid(r_in + r_mine) * n_mine)
        h = n + z * (h - n)
        outputs.append(h)
    return torch.stack(outputs), [h]


def _rnn_layer(activation: Callable[[Tensor], Tensor]) -> Layer:
    def layer(x: Tensor, start: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        w_in, w_hidden, *biases = weights
        (h,) = start
        outputs = []
        for part in F.linear(x, w_in, _sum(biases)).unbind(0):
            h = activation(part + h @ w_hidden.t())
            outputs.append(h)
        return torch.stack(outputs), [h]

    return layer
