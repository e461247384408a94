"""Weather: what lies between camera and scene, as shares of the light that pass and light that is added.

A veil is made in numpy for one picture at a time, of levels or of a batch, so that both get the same one. Sizes are
shares of the picture's shorter side: a picture of any size gets the same weather.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thalweg.augment._draws import fields
from thalweg.augment.image._fields import graded
from thalweg.augment.image._opencv import opencv

if TYPE_CHECKING:
    from thalweg.augment._program import Step

__all__ = [
    "CLEAR", "Veil", "flakes", "glow", "hidden", "in_front", "mist", "octaves", "per_drop", "plasma", "shade",
    "streaks", "veil_of",
]  # fmt: skip

_OCTAVES, _DECAY, _UNEVEN = 5, 2.0, 0.8
"""Of the plasma: how many, by how much each is weaker than the one twice as coarse, and the strength of the first."""

_SHARP = 0.3
"""Pixels: less blur than this is not seen."""


class Veil(NamedTuple):
    """A level x becomes ``keep * x + light``, cut to 0 to 1: float32, ``(height, width)``, or numbers."""

    keep: Any
    light: Any


CLEAR = Veil(1.0, 0.0)
"""Nothing."""


def veil_of(step: Step, drawn: Any, key: tuple[int, int, int], height: int, width: int) -> Veil:
    """Return a step's veil for a picture of a size, both of its parts float32, ``(height, width)``."""
    numbers: tuple[Any, ...] = ()
    if step.technique.nodes is not None:
        seed, epoch, sample = key
        shape = step.technique.nodes(height, width, **step.values)
        numbers = (fields(step.keys(seed), epoch, sample, math.prod(shape)).reshape(shape),)
    found = step.technique.formula(*numbers, *drawn, height, width, **step.values)
    keep, light = (np.broadcast_to(np.asarray(part, np.float32), (height, width)) for part in found)
    return Veil(keep, light)


def in_front(veil: Veil, opacity: Any, level: float) -> Veil:
    """Return a veil with something in front of it, which hides a share of what is behind and has a level."""
    rest = 1 - opacity
    return Veil(veil.keep * rest, level + (veil.light - level) * rest)


def mist(share: Any, thickness: Any, level: float) -> Veil:
    """Return the veil that takes a share of the light where it is 1 thick, and has a level where nothing passes.

    Koschmieder 1924, Theorie der horizontalen Sichtweite: what passes is an exponential function of the thickness.
    """
    keep = np.exp(np.log1p(-np.float32(share)) * np.asarray(thickness, np.float32))
    return Veil(keep, np.float32(level) - np.float32(level) * keep)


def hidden(count: Any, each: float) -> float:
    """Return what share of the light so many drops take, each such a share of what is left."""
    return float(-math.expm1(-each * count))


# -- fog -----------------------------------------------------------------------------------------------


def octaves(height: int, width: int, **_: Any) -> tuple[int, int]:  # noqa: ARG001
    """Return how many numbers `plasma` takes."""
    return 1, sum((2**k + 1) ** 2 for k in range(1, _OCTAVES + 1))


def plasma(n: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a fractal of mean 1, at least 0, ``(height, width)``: grids of numbers, each twice as fine and weaker.

    The square that they cover has the longer side. Each grid is spread smoothly to the finest, and that to pixels.
    """
    side, cells = max(height, width), 2**_OCTAVES
    total, at = np.zeros((cells + 1, cells + 1), np.float32), 0
    for k in range(1, _OCTAVES + 1):
        count = (2**k + 1) ** 2
        own = (2 * n[0, at : at + count] - 1).reshape(2**k + 1, 2**k + 1)
        total += np.float32(_UNEVEN * _DECAY ** (1 - k)) * graded(own, cells / 2**k, 0.0, *total.shape)
        at += count
    found = graded(1 + total, side / cells, -0.5, height, width)
    return found.clip(0, out=found)


# -- rain and snow -------------------------------------------------------------------------------------


def per_drop(height: int, width: int, **values: Any) -> tuple[int, int]:  # noqa: ARG001
    """Return how many numbers the drops or flakes take: where each is across and down, and how near."""
    return 3, int(values["count"])


def streaks(n: np.ndarray, count: Any, degrees: Any, length: float, height: int, width: int) -> np.ndarray:
    """Return how much of what is behind them drops hide that fell while the picture was taken, ``(height, width)``.

    Near ones are longer and brighter; each is a line, brightest in the middle.

    Args:
        n: `per_drop` numbers.
        count: how many there are.
        degrees: from straight down, counter-clockwise.
        length: of the nearest, as a share of the shorter side.
    """
    side = min(height, width)
    across, down, near = n[:, : int(count)].astype(np.float64)
    size = 0.25 + 0.75 * near**2
    reach = length * side
    dots = np.ceil(reach * size).astype(np.int64) + 1
    drop = np.repeat(np.arange(len(dots)), dots)
    along = (np.arange(len(drop)) - np.repeat(np.cumsum(dots) - dots, dots) + 0.5) / dots[drop]
    far = (reach * size)[drop] * along
    x = (across * (width + 2 * reach) - reach - 0.5)[drop] + math.sin(math.radians(degrees)) * far
    y = (down * (height + reach) - reach - 0.5)[drop] + math.cos(math.radians(degrees)) * far
    wide = 0.0045 * side
    weight = (wide * (0.2 + 0.6 * near) * reach * size / dots)[drop] * (6 * along * (1 - along))
    return _opaque(_soft(_dotted(x, y, weight, height, width), wide / 2.5))


def flakes(n: np.ndarray, count: Any, degrees: Any, diameter: float, height: int, width: int) -> np.ndarray:
    """Return how much of what is behind them flakes hide, ``(height, width)``: many far and sharp, few near and soft.

    Args:
        n, count, degrees: as for `streaks`; flakes move by half of their own width.
        diameter: of the nearest, as a share of the shorter side.
    """
    side = min(height, width)
    across, down, near = n[:, : int(count)].astype(np.float64)
    dx, dy = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    total = np.zeros((height, width), np.float32)
    for low, high, share in ((0.0, 0.75, 0.22), (0.75, 0.95, 0.45), (0.95, 1.0, 1.0)):
        mine = (near >= low) & (near < high)
        sigma = diameter * share * side / 4
        path = np.linspace(-1, 1, 4) * sigma
        x = (across[mine] * (width + 4 * sigma) - 2 * sigma - 0.5)[:, None] + dx * path
        y = (down[mine] * (height + 4 * sigma) - 2 * sigma - 0.5)[:, None] + dy * path
        weight = np.full(x.shape, 2 * math.pi * sigma**2 * 2.5 * (1 - 0.6 * share) / len(path))
        total += _soft(_dotted(x, y, weight, height, width), sigma)
    return _opaque(total)


def _dotted(x: np.ndarray, y: np.ndarray, weight: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the sum of dots of some weights, each shared among the four pixels about it, ``(height, width)``."""
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    x, y, weight = x[inside] + 1, y[inside] + 1, weight[inside]
    left, top = x.astype(np.int64), y.astype(np.int64)
    x, y = x - left, y - top
    stride = width + 2
    at, right = top * stride + left, weight * x
    rest = weight - right
    low, low_right = rest * y, right * y
    places = np.concatenate([at, at + 1, at + stride, at + stride + 1])
    parts = np.concatenate([rest - low, right - low_right, low, low_right])
    total = np.bincount(places, parts, (height + 2) * stride).reshape(height + 2, stride)
    return np.ascontiguousarray(total[1:-1, 1:-1], np.float32)


def _soft(layer: np.ndarray, sigma: float) -> np.ndarray:
    """Return a layer out of focus, by a Gaussian."""
    if sigma < _SHARP:
        return layer
    cv2 = opencv()
    return cv2.GaussianBlur(layer, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)  # type: ignore[no-any-return]


def _opaque(amount: np.ndarray) -> np.ndarray:
    """Return what share is hidden behind an amount: those in front of each other hide no more than all."""
    found = np.exp(np.negative(amount, out=amount), out=amount)
    return np.subtract(1, found, out=found)  # type: ignore[no-any-return]


# -- light ---------------------------------------------------------------------------------------------


def shade(x: Any, y: Any, radius: Any, turns: tuple[Any, ...], soft: float, height: int, width: int) -> np.ndarray:
    """Return where a polygon lies, 0 to 1 across its edge, ``(height, width)``.

    Args:
        x, y: of its middle, as shares of the picture.
        radius: of the ellipse on which its corners lie, as a share of height and width.
        turns: for each corner, a number from 0 up to 1: where in its part of the ellipse it lies.
        soft: how wide its edge is, as a share of the shorter side.
    """
    angles = [2 * math.pi * (i + turn) / len(turns) for i, turn in enumerate(turns)]
    corners = [((x + radius * math.cos(a)) * width, (y + radius * math.sin(a)) * height) for a in angles]
    column, row = np.arange(width) + 0.5, np.arange(height) + 0.5
    found, inward = np.full((2, height, width), np.inf, np.float32)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        long = math.hypot(x1 - x0, y1 - y0) * max(soft * min(height, width), 1.0)
        down, across = (x1 - x0) / long * (row - y0) + 0.5, (y1 - y0) / long * (x0 - column)
        np.add.outer(down.astype(np.float32), across.astype(np.float32), out=inward)
        np.minimum(found, inward, out=found)
    return found.clip(0, 1, out=found)


def glow(x: Any, y: Any, strength: Any, diameter: float, height: int, width: int) -> np.ndarray:
    """Return how much of the picture the light of a lamp or sun covers, ``(height, width)``.

    A bright middle, a wide halo, and weak ghosts of the lens on the line through the picture's middle.

    Args:
        x, y: where it is, as shares of the picture.
        strength: of the middle, 0 to 1.
        diameter: of the middle, as a share of the shorter side.
    """
    side = min(height, width)
    rest, lit = np.ones((2, height, width), np.float32)
    for along, relative, share in _LIGHTS:
        centre = ((x + along * (0.5 - x) * 2) * width, (y + along * (0.5 - y) * 2) * height)
        sigma = relative * diameter * side / 4
        across, down = (
            np.exp(-0.5 * ((np.arange(count) + 0.5 - middle) / sigma) ** 2).astype(np.float32)
            for count, middle in zip((width, height), centre, strict=True)
        )
        np.multiply.outer(down * np.float32(strength * share), across, out=lit)
        rest *= np.subtract(1, lit, out=lit)
    return np.subtract(1, rest, out=rest)


_LIGHTS = ((0.0, 1.0, 1.0), (0.0, 2.2, 0.55), (0.0, 5.0, 0.35), (0.35, 0.35, 0.25), (0.7, 0.6, 0.15), (1.0, 0.9, 0.2))
"""Of a flare: where each light is, from the sun at 0 to its mirror image at 1; its width; its share."""
