"""Fields of moves: maps that bend a picture, from places of the output to places of the input.

A field is a few numbers at nodes of a grid, and how they are spread from there: along rows and columns apart, so that
the moves of all pixels are two products of small matrices. It can be had at any place, in float64 too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thalweg.augment._draws import fields
from thalweg.augment.image._plane import Plane

if TYPE_CHECKING:
    from thalweg.augment._program import Step

__all__ = ["Field", "bells", "field_of", "graded", "knots", "meshed", "places", "smoothed"]

_REACH = 3
"""Nodes outside the picture: three standard deviations of what is spread from them."""

_SERIAL = 1 << 18
"""Multiplications in one product of matrices at most: more are shared among threads, on whose number a last bit could
depend."""

_STEPS, _NEAR = 200, 1e-3
"""Of the way back from where a place goes: iterations at most, and pixels."""


class _Spread(NamedTuple):
    """How far each of some nodes reaches along a side: the shape, where the first is, how far apart, how many."""

    shape: Callable[[np.ndarray], np.ndarray]
    spacing: float
    first: float
    number: int

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the nodes' weights at some places, float64, ``(…, number)``; outside, those at the outermost."""
        nodes = self.first + self.spacing * np.arange(self.number)
        return self.shape((places.clip(nodes[0], nodes[-1])[..., None] - nodes) / self.spacing)


class Field(NamedTuple):
    """Moves of one picture, or of many.

    Attributes:
        moves: along x and y at the nodes, in pixels, ``(…, 2, rows, columns)``.
        down, across: how they are spread along y and along x.
        height, width: of the picture.
    """

    moves: np.ndarray
    down: _Spread
    across: _Spread
    height: int
    width: int

    def grid(self, columns: int | None = None) -> np.ndarray:
        """Return the moves of all pixels, float32, ``(…, 2, height, width)``; or of so many columns."""
        columns = self.width if columns is None else columns
        along = _product(self.moves.astype(np.float32), _on_pixels(self.across, columns).T)
        return _product(_on_pixels(self.down, self.height), along)

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return one picture's moves at some places, ``(P,)``, float64."""
        nodes = self.moves.astype(np.float64).swapaxes(0, 1)
        along = _product(self.down.at(y), nodes.reshape(len(nodes), -1)).reshape(-1, *nodes.shape[1:])
        dx, dy = np.einsum("pck,pk->cp", along, self.across.at(x))
        return dx, dy

    def forward(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where places of the input go, ``(P,)``: to a thousandth of a pixel, unless the field folds there.

        A place goes where the field brings it from: ``x + move(x)`` is the place given. The iteration is
        ``x ← place − move(x)``, which comes nearer as long as neighbours' moves differ by less than they are apart.
        """
        found_x, found_y = np.array(x, np.float64), np.array(y, np.float64)
        todo = np.flatnonzero(np.isfinite(found_x + found_y))
        for _ in range(_STEPS):
            if not len(todo):
                break
            dx, dy = self.at(found_x[todo], found_y[todo])
            new_x, new_y = x[todo] - dx, y[todo] - dy
            off = np.maximum(np.abs(new_x - found_x[todo]), np.abs(new_y - found_y[todo]))
            found_x[todo], found_y[todo] = new_x, new_y
            todo = todo[off > _NEAR]
        return found_x, found_y


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return what `numpy.matmul` does of ``(…, m, k)`` and ``(…, k, n)``, by parts that one thread computes."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    found = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), m, n), a.dtype)
    wide = min(n, max(1, _SERIAL // (4 * k)))  # so that a part has two rows, for one is no product of matrices
    for columns in _parts(n, wide):
        for rows in _parts(m, max(1, _SERIAL // (k * wide))):
            np.matmul(a[..., rows, :], b[..., columns], out=found[..., rows, columns])
    return found


def _parts(number: int, most: int) -> list[slice]:
    """Return parts of about one size."""
    count = -(-number // most)
    return [slice(i * number // count, (i + 1) * number // count) for i in range(count)]


def smoothed(moves: np.ndarray, sigma: float, height: int, width: int) -> Field:
    """Return the field of uniform moves that a Gaussian smooths.

    Args:
        moves: uniform from -s to s, ``(…, 2, rows, columns)``, where s is the standard deviation that the field is to
            have, as a share of the shorter side.
        sigma: of the Gaussian, and how far apart they are, as a share of the shorter side.
        height, width: of the picture.
    """
    side, (rows, columns) = min(height, width), moves.shape[-2:]
    # Of numbers with variance 1/3, times a Gaussian one apart along both sides, whose squares add up to √π each.
    scale = side * math.sqrt(3 / math.pi)
    down, across = (_Spread(_bell, sigma * side, -0.5 - _REACH * sigma * side, count) for count in (rows, columns))
    return Field(moves * scale, down, across, height, width)


def bells(height: int, width: int, *, sigma: float, **_: Any) -> tuple[int, int]:
    """Return how many moves `smoothed` takes along height and width."""
    side = min(height, width)
    rows, columns = (math.ceil(size / side / sigma - 1e-9) + 2 * _REACH + 1 for size in (height, width))
    return rows, columns


def meshed(moves: np.ndarray, height: int, width: int) -> Field:
    """Return the field of a grid's nodes, the outermost at the rim, where they stay; linear between.

    Args:
        moves: in shares of a cell, ``(…, 2, rows, columns)``.
        height, width: of the picture.
    """
    rows, columns = moves.shape[-2:]
    high, wide = height / (rows - 1), width / (columns - 1)
    own = np.stack([moves[..., 0, :, :] * wide, moves[..., 1, :, :] * high], -3)
    own[..., 0, :, [0, -1]] = 0
    own[..., 1, [0, -1], :] = 0
    return Field(own, _Spread(_hat, high, -0.5, rows), _Spread(_hat, wide, -0.5, columns), height, width)


def graded(values: np.ndarray, spacing: float, first: float, height: int, width: int) -> np.ndarray:
    """Return numbers of a grid at all pixels, smooth from each to the next, float32, ``(height, width)``.

    Args:
        values: ``(rows, columns)``.
        spacing: how far apart they are, in pixels.
        first: where the first is, along both sides.
        height, width: of the picture.
    """
    down, across = (_Spread(_ease, spacing, first, count) for count in values.shape)
    return Field(values, down, across, height, width).grid()


def knots(height: int, width: int, *, cells: int, **_: Any) -> tuple[int, int]:  # noqa: ARG001
    """Return how many moves `meshed` takes along height and width."""
    return cells + 1, cells + 1


def field_of(step: Step, key: tuple[Any, Any, Any], height: int, width: int) -> Field:
    """Return a step's field for a picture of a size, or for many pictures: as many as the key has samples."""
    seeds, epochs, samples = key
    assert step.technique.nodes is not None
    rows, columns = step.technique.nodes(height, width, **step.values)
    numbers = fields(step.keys(seeds), epochs, samples, 2 * rows * columns)
    found = step.technique.formula(
        numbers.reshape(*np.shape(samples), 2, rows, columns), height, width, **step.values
    )
    assert isinstance(found, Field)
    return found


def places(field: Field, before: Plane | None, multiple: int = 1) -> np.ndarray:
    """Return where the pixels of a bent picture come from, x and y, float32, ``(…, 2, height, width)``.

    Args:
        field: of one picture or many.
        before: the map that the picture went through first, of one or as many.
        multiple: of which there are to be columns: some more than the width.
    """
    found = field.grid(-(-field.width // multiple) * multiple)
    x, y = found[..., 0, :, :], found[..., 1, :, :]
    x += np.arange(found.shape[-1], dtype=np.float32)
    y += np.arange(field.height, dtype=np.float32)[:, None]
    if before is None:
        return found
    numbers = (float(m) if np.ndim(m) == 0 else m[:, None, None].astype(np.float32) for m in before.inverse().m)
    with np.errstate(all="ignore"):  # columns beyond the width may be beyond the horizon
        x[:], y[:] = Plane(*numbers)(x, y)
    return found


def _bell(t: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.exp(-0.5 * t * t)
    return found


def _hat(t: np.ndarray) -> np.ndarray:
    found: np.ndarray = (1 - np.abs(t)).clip(0)
    return found


def _ease(t: np.ndarray) -> np.ndarray:
    t = np.abs(t).clip(0, 1)
    found: np.ndarray = 1 - t * t * (3 - 2 * t)
    return found


@lru_cache(64)
def _on_pixels(spread: _Spread, size: int) -> np.ndarray:
    """Return the nodes' weights at each pixel along a side, float32, ``(size, number)``."""
    return np.ascontiguousarray(spread.at(np.arange(size, dtype=np.float64)), np.float32)
