"""The words of geometric formulas: maps of the plane, from places in the input to places in the output.

x goes to the right and y down, and pixels have their centres at whole numbers. A map's numbers are floats, or arrays
of one number a sample: the same formula serves one picture and a batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = [
    "BORDERS", "Plane", "about", "between", "fitted", "floor", "grown", "log_between", "lower", "mirrored", "moved",
    "quarter", "root", "sheared", "square_to", "turned", "upturned",
]  # fmt: skip

BORDERS = "constant|reflect|edge"
"""What lies outside a picture: black, the picture mirrored about its outermost pixels, or those pixels."""


class Plane:
    """A map of the plane: ``(x, y, 1)`` goes to ``m (x, y, 1)``, up to its last number. ``a @ b`` does b first.

    Args:
        m: nine numbers, row by row.
    """

    __slots__ = ("m",)

    def __init__(self, *m: Any) -> None:
        self.m = m

    def __matmul__(self, other: Plane) -> Plane:
        a, b, c, d, e, f, g, h, i = self.m
        j, k, z, m, n, o, p, q, r = other.m
        if _affine(self) and _affine(other):
            return Plane(a * j + b * m, a * k + b * n, a * z + b * o + c,
                         d * j + e * m, d * k + e * n, d * z + e * o + f, 0.0, 0.0, 1.0)  # fmt: skip
        return Plane(a * j + b * m + c * p, a * k + b * n + c * q, a * z + b * o + c * r,
                     d * j + e * m + f * p, d * k + e * n + f * q, d * z + e * o + f * r,
                     g * j + h * m + i * p, g * k + h * n + i * q, g * z + h * o + i * r)  # fmt: skip

    def inverse(self) -> Plane:
        """Return the map back."""
        a, b, c, d, e, f, g, h, i = self.m
        if _affine(self):
            one = 1.0 / (a * e - b * d)
            return Plane(e * one, -b * one, (b * f - c * e) * one, -d * one, a * one, (c * d - a * f) * one,
                         0.0, 0.0, 1.0)  # fmt: skip
        one = 1.0 / (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
        return Plane((e * i - f * h) * one, (c * h - b * i) * one, (b * f - c * e) * one,
                     (f * g - d * i) * one, (a * i - c * g) * one, (c * d - a * f) * one,
                     (d * h - e * g) * one, (b * g - a * h) * one, (a * e - b * d) * one)  # fmt: skip

    def __call__(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return where a place goes."""
        a, b, c, d, e, f, g, h, i = self.m
        w = g * x + h * y + i
        return (a * x + b * y + c) / w, (d * x + e * y + f) / w

    @property
    def affine(self) -> bool:
        """Whether parallel lines stay so."""
        return _affine(self)

    def array(self, count: int | None = None) -> np.ndarray:
        """Return the matrix, float64, ``(3, 3)``; or of so many samples, ``(count, 3, 3)``."""
        if count is None:
            return np.array(self.m, np.float64).reshape(3, 3)
        columns = [np.broadcast_to(np.asarray(x, np.float64), count) for x in self.m]
        return np.stack(columns, -1).reshape(count, 3, 3)

    def of(self, samples: np.ndarray) -> Plane:
        """Return the map of some of the samples, by their numbers."""
        return Plane(*(x[samples] if isinstance(x, np.ndarray) else x for x in self.m))

    def where(self, chosen: np.ndarray) -> Plane:
        """Return the map for the samples that are chosen, bool ``(count,)``, and for the others that to itself."""
        still = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        if _affine(self):
            moved = [np.where(chosen, x, y) for x, y in zip(self.m[:6], still[:6], strict=True)]
            return Plane(*moved, 0.0, 0.0, 1.0)
        return Plane(*(np.where(chosen, x, y) for x, y in zip(self.m, still, strict=True)))


def _affine(plane: Plane) -> bool:
    g, h, i = plane.m[6:]
    return type(g) is float and type(h) is float and type(i) is float and g == h == 0.0 and i == 1.0


def between(u: Any, low: float, high: float) -> Any:
    """Return the number at a share ``u`` of the way from ``low`` to ``high``."""
    return low + (high - low) * u


def log_between(u: Any, low: float, high: float) -> Any:
    """Return the same along the logarithm."""
    start, end = math.log(low), math.log(high)
    power = start + (end - start) * u
    return math.exp(power) if isinstance(power, float) else power.exp() if hasattr(power, "exp") else np.exp(power)


def floor(x: Any) -> Any:
    """Return the whole number at or below."""
    return np.floor(x) if isinstance(x, np.ndarray) else float(math.floor(x))


def lower(x: Any, most: float) -> Any:
    """Return x where it is at most ``most``, else that."""
    return np.minimum(x, most) if isinstance(x, np.ndarray) else min(x, most)


def root(x: Any) -> Any:
    """Return the square root."""
    return np.sqrt(x) if isinstance(x, np.ndarray) else math.sqrt(x)


def moved(dx: Any, dy: Any) -> Plane:
    """Return the map that adds."""
    return Plane(1.0, 0.0, dx, 0.0, 1.0, dy, 0.0, 0.0, 1.0)


def grown(fx: Any, fy: Any) -> Plane:
    """Return the map that multiplies."""
    return Plane(fx, 0.0, 0.0, 0.0, fy, 0.0, 0.0, 0.0, 1.0)


def turned(degrees: Any) -> Plane:
    """Return the turn about the origin, counter-clockwise as one sees it."""
    angle = degrees * (math.pi / 180.0)
    c, s = (np.cos(angle), np.sin(angle)) if isinstance(angle, np.ndarray) else (math.cos(angle), math.sin(angle))
    return Plane(c, s, 0.0, -s, c, 0.0, 0.0, 0.0, 1.0)


def sheared(x_degrees: Any, y_degrees: Any) -> Plane:
    """Return the map that moves x in proportion to y, and y in proportion to x, by the tangents of two angles."""
    tan = np.tan if isinstance(x_degrees, np.ndarray) else math.tan
    return Plane(1.0, tan(x_degrees * (math.pi / 180.0)), 0.0, tan(y_degrees * (math.pi / 180.0)), 1.0, 0.0,
                 0.0, 0.0, 1.0)  # fmt: skip


def about(plane: Plane, height: float, width: float) -> Plane:
    """Return a map whose origin is the middle of a picture."""
    x, y = (width - 1) / 2, (height - 1) / 2
    return moved(x, y) @ plane @ moved(-x, -y)


def mirrored(width: float) -> Plane:
    """Return the map that turns left and right round."""
    return Plane(-1.0, 0.0, width - 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def upturned(height: float) -> Plane:
    """Return the map that turns top and bottom round."""
    return Plane(1.0, 0.0, 0.0, 0.0, -1.0, height - 1.0, 0.0, 0.0, 1.0)


def quarter(turns: Any) -> Plane:
    """Return so many quarters of a turn about the origin, counter-clockwise as one sees it."""
    sines = np.array([0.0, 1.0, 0.0, -1.0])
    at = np.asarray(turns).astype(int) % 4
    s, c = sines[at], sines[(at + 1) % 4]
    if not isinstance(turns, np.ndarray):
        s, c = float(s), float(c)
    return Plane(c, s, 0.0, -s, c, 0.0, 0.0, 0.0, 1.0)


def fitted(x: Any, y: Any, from_height: Any, from_width: Any, height: float, width: float) -> Plane:
    """Return the map of a window, whose upper left corner is at ``(x, y)``, to a whole picture.

    The corners of the outer pixels' areas go to corners: x, y, and sizes count from those.
    """
    fx, fy = width / from_width, height / from_height
    return Plane(fx, 0.0, (0.5 - x) * fx - 0.5, 0.0, fy, (0.5 - y) * fy - 0.5, 0.0, 0.0, 1.0)


def square_to(x0: Any, y0: Any, x1: Any, y1: Any, x2: Any, y2: Any, x3: Any, y3: Any) -> Plane:
    """Return the perspective map of the unit square to four corners.

    Upper left, upper right, lower right, lower left (Heckbert 1989, Fundamentals of Texture Mapping, section 2.2.3).
    """
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    of = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / of, (dx1 * sy - sx * dy1) / of
    return Plane(x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1.0)
