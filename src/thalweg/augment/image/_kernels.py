"""The words of formulas that mix a pixel with its neighbours: their weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["gaussian", "peak", "streak"]

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
_SELF = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])


def gaussian(sigma: Any, most: float) -> np.ndarray:
    """Return the weights along one side, ``(…, size)``, up to three times ``most``, the largest that sigma can be."""
    reach = math.ceil(3 * most)
    t = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (t / np.asarray(sigma)[..., None]) ** 2)
    return weights / weights.sum(-1, keepdims=True)  # type: ignore[no-any-return]


def streak(length: Any, degrees: Any, most: float) -> np.ndarray:
    """Return the weights, ``(…, size, size)``, of a line through the middle, evenly bright, at most ``most`` long."""
    reach = math.ceil(most / 2)
    t = np.linspace(-0.5, 0.5, 8 * reach + 1) * np.asarray(length)[..., None]
    angle = np.asarray(degrees)[..., None] * (math.pi / 180)
    cells = np.arange(-reach, reach + 1)
    x = (1 - np.abs((t * np.cos(angle))[..., None] - cells)).clip(0)
    y = (1 - np.abs((-t * np.sin(angle))[..., None] - cells)).clip(0)
    weights = np.einsum("...ti,...tj->...ij", y, x)
    return weights / weights.sum((-2, -1), keepdims=True)  # type: ignore[no-any-return]


def peak(amount: Any) -> np.ndarray:
    """Return the weights, ``(…, 3, 3)``, that add so many times the difference from the neighbours' mean."""
    return _SELF + np.asarray(amount)[..., None, None] * (_SELF - _SMOOTH)
