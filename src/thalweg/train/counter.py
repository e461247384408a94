"""Random bits as a function of key and place: a counter hash without state, the same under vmap and compiled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["GOLDEN", "HASHING", "QUICKER", "hashed", "mix", "normals", "signed", "step_keys"]

# splitmix64's constants (Steele, Lea & Flood 2014), as signed numbers: torch's int64 wraps around.
GOLDEN = -0x61C8864680B583EB
_FIRST = -0x40A7B892E31B1A47
_SECOND = -0x6B2FB644ECCEEE15

QUICKER: list[Callable[[Tensor, Sequence[int]], Tensor | None]] = []
"""Who may know the hashes of a shape's places sooner; None leaves it to others."""


def hashed(key: Tensor, shape: Sequence[int], places: Tensor | None = None) -> Any:
    """Return int64 of ``shape`` whose bits are random; elements with the same place, from 1, have the same."""
    for quick in QUICKER if places is None else ():
        if (found := quick(key, shape)) is not None:
            return found
    # Inductor computes with places symbolically, and knows no numbers that wrap around: the factor is hidden from it.
    factor = (key & 0) + GOLDEN
    if places is None:
        places = torch.arange(1, math.prod(shape) + 1, device=key.device).view(list(shape))
    return mix(places * factor + key)


def mix(z: Any) -> Any:
    """Return splitmix64's finaliser, of a tensor or array of int64: every bit depends on every bit of ``z``."""
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * _FIRST
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * _SECOND
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def signed(number: int) -> int:
    """Return a number modulo 2^64 as int64 holds it."""
    return (number + 2**63) % 2**64 - 2**63


def normals(key: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return independent standard normal numbers of ``shape``, by Box and Muller's transform of two uniforms.

    Computed in float32, or in float64 where ``dtype`` is that. None is beyond ±6.7.
    """
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    bits = hashed(key, shape)
    above_0 = (((bits >> 32) & 0xFFFFFFFF) + 1).to(wide) * 2.0**-32
    turn = (bits & 0xFFFFFFFF).to(wide) * (2.0 * math.pi * 2.0**-32)
    found: Tensor = ((-2.0 * above_0.log()).sqrt() * turn.cos()).to(dtype)
    return found


def step_keys(keys: np.ndarray, steps: Sequence[int]) -> Tensor:
    """Return the runs' keys at their steps, int64, shape ``(runs,)``, from the runs' uint64 keys."""
    return torch.from_numpy(mix(keys.view(np.int64) + np.array(steps, np.int64) * GOLDEN))


HASHING = (GOLDEN, _FIRST, _SECOND)
"""What `thalweg.train.thinning` takes."""
