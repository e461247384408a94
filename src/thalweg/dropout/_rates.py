"""Modules with rates: numbers, or buffers, of which each of many stacked models has its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from thalweg.errors import InputError

__all__ = ["Rated", "checked"]


class Rated(nn.Module):
    """A module whose attributes in ``rates`` are shares that leave, from 0 up to, but not, 1."""

    rates: tuple[str, ...] = ("p",)

    def as_buffers(self) -> Self:
        """Hold the rates as buffers, float64 and of shape ``()``, and return the module.

        They are in no state dict, as torch keeps no rate of dropout there, and stay float64 when weights are
        converted.
        """
        for name in self.rates:
            value = float(getattr(self, name))
            if name in self.__dict__:
                delattr(self, name)
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64), persistent=False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        held = {name: self._buffers.pop(name) for name in self.rates if name in self._buffers}
        super()._apply(fn, recurse)
        for name, rate in held.items():
            assert rate is not None
            place = fn(rate.float()).device
            self._buffers[name] = rate.to(place, torch.float32 if place.type == "mps" else torch.float64)
        return self

    def _shown(self) -> str:
        return ", ".join(f"{name}={float(getattr(self, name)):g}" for name in self.rates)


def checked(what: str, value: Any) -> float:
    """Return a rate, or refuse it by name.

    Raises:
        InputError: it is no number from 0 up to, but not, 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"{what} takes a number from 0 up to, but not, 1, not {value!r}")
    return float(value)
