"""Dropout whose masks are a function of their key: run, step, layer and place; nothing else.

Unmodified modules are caught at ``F.dropout``, alone and under vmap alike, so a run drops the same units in any
company. Dropout inside torch's own attention and LSTM does not pass there; see `thalweg.train.step.drawn`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.overrides import TorchFunctionMode

from thalweg.train.stacked import TAKES_DROPOUT, pays

__all__ = ["KeyedDropout", "mask", "step_keys"]

_WHOLE = {F.dropout: None, F.dropout1d: 1, F.dropout2d: 2, F.dropout3d: 3}
"""What is caught, and how many trailing axes share one mask value."""

# splitmix64's constants (Steele, Lea & Flood 2014), as signed numbers: torch's int64 wraps around.
_GOLDEN = -0x61C8864680B583EB
_FIRST = -0x40A7B892E31B1A47
_SECOND = -0x6B2FB644ECCEEE15


class KeyedDropout(TorchFunctionMode):
    """While active, every dropout draws its mask from ``key`` and from how many came before it.

    Args:
        key: int64, shape ``()``; under vmap one a run. It holds run and step.
        replaced: functions of torch that are to be others; see `thalweg.train.stacked.REPLACED`.
    """

    def __init__(self, key: Tensor, replaced: Mapping[Any, Any] | None = None) -> None:
        super().__init__()
        self.key = key
        self.layer = 0
        self.replaced = replaced or {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _WHOLE:
            return self._drop(_WHOLE[function], *args, **kwargs)
        if function in self.replaced:
            ours = self.replaced[function]
            if pays(ours, args, kwargs, compiled=get_proxy_mode() is not None):
                more = {"dropout": partial(self._drop, None)} if ours in TAKES_DROPOUT else {}
                found = ours(*args, **kwargs, **more)
                if found is not NotImplemented:
                    return found
        return function(*args, **kwargs)

    def _drop(
        self, shared: int | None, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False  # noqa: A002, ARG002
    ) -> Tensor:  # fmt: skip
        if not training or p == 0.0:
            return input
        self.layer += 1
        shape = list(input.shape)
        if shared is not None:
            # (N, C, …) or (C, …): channels are dropped whole.
            shape[len(shape) - shared :] = [1] * shared
        keep = mask(_mix(self.key + _signed(self.layer * _GOLDEN)), shape, p)
        return input * keep.to(input.dtype) * (1.0 / (1.0 - p) if p < 1 else 0.0)


def mask(key: Tensor, shape: list[int], p: float) -> Tensor:
    """Return which elements stay, bool, of ``shape``; each leaves with probability ``p``.

    A counter hash (splitmix64) of key and place: no state, the same under vmap.
    """
    # Inductor computes with places symbolically, and knows no numbers that wrap around: the factor is hidden from it.
    factor = (key & 0) + _GOLDEN
    places = torch.arange(1, math.prod(shape) + 1, device=key.device).view(shape) * factor
    kept: Tensor = (_mix(places + key) & 0xFFFFFFFF) >= round(p * 2**32)
    return kept


def _mix(z: Any) -> Any:
    """Return splitmix64's finaliser, of a tensor or array of int64: every bit depends on every bit of ``z``."""
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * _FIRST
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * _SECOND
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def _signed(number: int) -> int:
    """Return a number modulo 2^64 as int64 holds it."""
    return (number + 2**63) % 2**64 - 2**63


def step_keys(keys: np.ndarray, steps: Sequence[int]) -> Tensor:
    """Return the runs' keys at their steps, int64, shape ``(runs,)``, from the runs' uint64 keys."""
    return torch.from_numpy(_mix(keys.view(np.int64) + np.array(steps, np.int64) * _GOLDEN))
