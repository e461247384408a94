"""The words of formulas on colours: matrices from red, green and blue to the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["LUMA", "towards_grey", "turned_hue"]

LUMA = np.array([0.299, 0.587, 0.114])
"""How much red, green and blue count for the grey of a colour (ITU-R BT.601)."""

_YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_YIQ[1:] -= _YIQ[1:].mean(1, keepdims=True)  # greys have no colour, to the last digit
_BACK = np.linalg.inv(_YIQ)


def towards_grey(factor: Any) -> np.ndarray:
    """Return the matrix, ``(…, 3, 3)``, that multiplies what tells a colour from its grey."""
    factor = np.asarray(factor)[..., None, None]
    return factor * np.eye(3) + (1 - factor) * np.broadcast_to(LUMA, (3, 3))  # type: ignore[no-any-return]


def turned_hue(degrees: Any) -> np.ndarray:
    """Return the matrix, ``(…, 3, 3)``, that turns colours about grey."""
    angle = np.asarray(degrees) * (math.pi / 180)
    turn = np.zeros((*angle.shape, 3, 3))
    turn[..., 0, 0] = 1
    turn[..., 1, 1] = turn[..., 2, 2] = np.cos(angle)
    turn[..., 2, 1] = np.sin(angle)
    turn[..., 1, 2] = -turn[..., 2, 1]
    return _BACK @ turn @ _YIQ  # type: ignore[no-any-return]
