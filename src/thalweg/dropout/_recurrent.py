"""Recurrent layers with one mask a sequence, for their inputs and for their hidden state."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.dropout._asked import keep
from thalweg.dropout._rates import Rated, checked
from thalweg.errors import InputError

__all__ = ["RecurrentDropout"]


class RecurrentDropout(Rated):
    """An LSTM or GRU whose inputs and hidden state lose the same features at every time step of a sequence.

    In a layer above the first, inputs are what the layer below puts out. In evaluation it is the recurrent layer
    itself; in training, a loop over torch's own cells' arithmetic.

    Args:
        rnn: it stays the same module, with its names and weights.
        p: the rate at which features of the inputs leave.
        hidden: that of the hidden state; ``p`` if not given.

    Raises:
        InputError: another module, one with projections or with dropout of its own, or a rate outside [0, 1).

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import dropout
    >>> layer = dropout.RecurrentDropout(nn.LSTM(8, 16, num_layers=2, batch_first=True), p=0.25, hidden=0.1)
    >>> outputs, (hidden, cell) = layer(torch.randn(4, 10, 8))
    >>> outputs.shape, hidden.shape
    (torch.Size([4, 10, 16]), torch.Size([2, 4, 16]))
    """

    rates = ("p", "hidden")

    def __init__(self, rnn: nn.LSTM | nn.GRU, p: float = 0.25, hidden: float | None = None) -> None:
        super().__init__()
        if not isinstance(rnn, nn.LSTM | nn.GRU):
            raise InputError(f"rnn dropout takes an nn.LSTM or nn.GRU, not {type(rnn).__name__}")
        if rnn.proj_size:
            raise InputError("rnn dropout takes no LSTM with projections; leave proj_size out")
        if rnn.dropout:
            raise InputError(
                f"the {type(rnn).__name__} has dropout={rnn.dropout:g} between its layers, drawn anew at each step; "
                "make it with dropout=0, for rnn dropout thins there too"
            )
        self.rnn = rnn
        self.p: float | Tensor = checked("p of rnn", p)
        self.hidden: float | Tensor = checked("hidden of rnn", p if hidden is None else hidden)

    def forward(self, x: Tensor, start: Any = None) -> tuple[Tensor, Any]:
        """Return outputs and last states, as ``nn.LSTM`` and ``nn.GRU`` do.

        Args:
            x: ``(steps, N, features)``, or ``(N, steps, features)`` if the recurrent layer has ``batch_first``.
            start: the first states, as the recurrent layer takes them; zeros if not given.

        Raises:
            InputError: a packed sequence, or a tensor of other shape.
        """
        if not isinstance(x, Tensor) or x.dim() != 3:
            what = f"of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"rnn dropout takes sequences of one length, a tensor with three axes, not one {what}")
        if not self.training:
            found: tuple[Tensor, Any] = self.rnn(x, start)
            return found
        rnn, lstm = self.rnn, isinstance(self.rnn, nn.LSTM)
        x = x.transpose(0, 1) if rnn.batch_first else x
        both = range(2 if rnn.bidirectional else 1)
        starts = self._starts(x, start)
        ends: list[list[Tensor]] = []
        for layer in range(rnn.num_layers):
            x = self._thinned(x, self.p, [1, x.shape[1], x.shape[2]])
            outputs = []
            for direction in both:
                at = layer * len(both) + direction
                weights: list[Any] = rnn.all_weights[at]
                kept = self._mask(x, self.hidden, [x.shape[1], rnn.hidden_size])
                loop = _lstm if lstm else _gru
                y, end = loop(x.flip(0) if direction else x, [s[at] for s in starts], weights, kept)
                outputs.append(y.flip(0) if direction else y)
                ends.append(end)
            x = torch.cat(outputs, -1) if rnn.bidirectional else outputs[0]
        last = [torch.stack(states) for states in zip(*ends, strict=True)]
        return x.transpose(0, 1) if rnn.batch_first else x, tuple(last) if lstm else last[0]

    def _starts(self, x: Tensor, start: Any) -> list[Tensor]:
        if start is not None:
            return list(start) if isinstance(self.rnn, nn.LSTM) else [start]
        layers = self.rnn.num_layers * (2 if self.rnn.bidirectional else 1)
        zeros = x.new_zeros(layers, x.shape[1], self.rnn.hidden_size)
        return [zeros, zeros] if isinstance(self.rnn, nn.LSTM) else [zeros]

    def _mask(self, x: Tensor, p: float | Tensor, shape: list[int]) -> Tensor | None:
        """Return what features are multiplied by, or None where all stay."""
        if not isinstance(p, Tensor) and p == 0.0:
            return None
        return (keep(x, p, shape) * (1 / (1 - p))).to(x.dtype)

    def _thinned(self, x: Tensor, p: float | Tensor, shape: list[int]) -> Tensor:
        kept = self._mask(x, p, shape)
        return x if kept is None else x * kept

    def extra_repr(self) -> str:
        """Return the rates."""
        return self._shown()


# Each takes inputs (steps, N, features), first states (N, hidden), the layer's weights and biases, and what its
# hidden state is multiplied by; it returns outputs (steps, N, hidden) and last states. Torch's sigmoid rounds
# otherwise in the last few numbers of what it walks through: here it gets parts of longer rows, and walks through
# each row by itself, so that a model's numbers are the same in any company.


def _lstm(x: Tensor, start: list[Tensor], weights: list[Any], kept: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    w_in, w_hidden, *biases = weights
    h, c = start
    outputs = []
    for part in F.linear(x, w_in, biases[0] + biases[1] if biases else None).unbind(0):
        gates = part + F.linear(h if kept is None else h * kept, w_hidden)
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), [h, c]


def _gru(x: Tensor, start: list[Tensor], weights: list[Any], kept: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    w_in, w_hidden, *biases = weights
    (h,) = start
    b_in, b_hidden = biases or (None, None)
    outputs = []
    for part in F.linear(x, w_in, b_in).unbind(0):
        own = F.linear(h if kept is None else h * kept, w_hidden, b_hidden)
        r, z, _ = (part + own).chunk(3, -1)
        n_in, n_own = part.chunk(3, -1)[2], own.chunk(3, -1)[2]
        n = torch.tanh(n_in + torch.sigmoid(r) * n_own)
        h = n + torch.sigmoid(z) * (h - n)
        outputs.append(h)
    return torch.stack(outputs), [h]
