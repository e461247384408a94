"""Layers with something before or behind them, which keep their own names: ``fc1.weight`` stays ``fc1.weight``.

A layer becomes one of these in place, so whoever holds it, or reads its weight, goes on as before.
"""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["CONVOLUTIONS", "KINDS", "behind", "put_around", "takes"]


class _Around(nn.Module):
    """Calls ``before`` on what enters a layer and ``behind`` on what leaves it, where they are there."""

    before: nn.Module
    behind: nn.Module

    def forward(self, input: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A002  torch's name
        """Return what the layer makes of its input, with what is around it."""
        given = self.before(input) if "before" in self._modules else input
        found = super().forward(given, *args, **kwargs)
        return self.behind(found) if "behind" in self._modules else found


class Linear(_Around, nn.Linear):
    """``nn.Linear``, and what surgery put around it."""


class Conv1d(_Around, nn.Conv1d):
    """``nn.Conv1d``, and what surgery put around it."""


class Conv2d(_Around, nn.Conv2d):
    """``nn.Conv2d``, and what surgery put around it."""


class Conv3d(_Around, nn.Conv3d):
    """``nn.Conv3d``, and what surgery put around it."""


class ConvTranspose1d(_Around, nn.ConvTranspose1d):
    """``nn.ConvTranspose1d``, and what surgery put around it."""


class ConvTranspose2d(_Around, nn.ConvTranspose2d):
    """``nn.ConvTranspose2d``, and what surgery put around it."""


class ConvTranspose3d(_Around, nn.ConvTranspose3d):
    """``nn.ConvTranspose3d``, and what surgery put around it."""


KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Linear, nn.Conv1d: Conv1d, nn.Conv2d: Conv2d, nn.Conv3d: Conv3d, nn.ConvTranspose1d: ConvTranspose1d,
    nn.ConvTranspose2d: ConvTranspose2d, nn.ConvTranspose3d: ConvTranspose3d,
}  # fmt: skip
"""What each layer becomes."""

CONVOLUTIONS = tuple(kind for kind in KINDS if kind is not nn.Linear)


def takes(layer: nn.Module) -> bool:
    """Return whether something can be put around a layer: one of torch's own, or one that has something already."""
    return type(layer) in KINDS or isinstance(layer, _Around)


def behind(layer: nn.Module) -> nn.Module | None:
    """Return what surgery has put behind a layer before."""
    return layer._modules.get("behind") if isinstance(layer, _Around) else None  # noqa: SLF001  a typed attribute


def put_around(layer: nn.Module, place: str, module: nn.Module) -> None:
    """Put a module around a layer, in place.

    Args:
        layer: of a type in `KINDS`, or made one before.
        place: ``"before"`` or ``"behind"``.
        module: a norm, or a dropout.
    """
    if not isinstance(layer, _Around):
        layer.__class__ = KINDS[type(layer)]
    layer.add_module(place, module)
