"""Dropout between layers, as a module."""

from __future__ import annotations

from torch import Tensor

from thalweg.dropout._asked import keep, normal, thinned
from thalweg.dropout._rates import Rated, checked
from thalweg.dropout._technique import DropoutTechnique
from thalweg.errors import InputError

__all__ = ["Thinning"]


class Thinning(Rated):
    """Dropout between layers: in training a technique's formula, in evaluation its input or what the technique says.

    Args:
        technique: one without a layer of its own, such as ``dropout.gaussian``.
        p: its rate.

    Raises:
        InputError: another technique, or a rate outside [0, 1).

    >>> import torch
    >>> from thalweg import dropout
    >>> layer = dropout.spatial(0.5).module()
    >>> y = layer(torch.ones(2, 3, 4, 4))
    >>> all(channel.unique().tolist() in ([0.0], [2.0]) for channel in y.flatten(0, 1))
    True
    """

    def __init__(self, technique: DropoutTechnique, p: float) -> None:
        super().__init__()
        if not isinstance(technique, DropoutTechnique) or technique.layer:
            raise InputError(f"Thinning takes a dropout that stands between layers, not {technique!r}")
        self.technique = technique
        self.p: float | Tensor = checked(f"p of {technique.name}", p)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape.

        Args:
            x: any shape; for ``spatial`` ``(N, channels, …)``, for ``rnn`` ``(N, steps, features)``.

        Raises:
            InputError: a tensor without channels, or without steps.
        """
        technique, shape = self.technique, self._shape(x)
        if not self.training:
            return x if technique.evaluated is None else technique.evaluated(x, p=self.p)
        if technique.draws == "keep" and technique.shares == "nothing" and technique.evaluated is None:
            return thinned(x, self.p)
        drawn = keep(x, self.p, shape) if technique.draws == "keep" else normal(x, shape)
        found: Tensor = technique.formula(x, drawn, p=self.p).to(x.dtype)
        return found

    def _shape(self, x: Tensor) -> list[int]:
        """Return the shape of what is drawn, which broadcasts against ``x``."""
        shape = list(x.shape)
        if self.technique.shares == "channels":
            if len(shape) < 3:
                raise InputError(f"{self.technique.name} drops channels of (N, channels, …), not of {tuple(shape)}")
            shape[2:] = [1] * (len(shape) - 2)
        if self.technique.shares == "steps":
            if len(shape) != 3:
                raise InputError(
                    f"{self.technique.name} drops features of (N, steps, features), not of {tuple(shape)}"
                )
            shape[1] = 1
        return shape

    def extra_repr(self) -> str:
        """Return the technique's name and its rate."""
        return f"{self.technique.name}, {self._shown()}"
