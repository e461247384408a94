"""Warps by machine code, where it is exact enough; None where it is not, and OpenCV has to do."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from thalweg.augment.image._plane import Plane

__all__ = ["BLOCK", "bent_floats", "bent_levels", "ending_fits", "warped_floats", "warped_levels", "warped_small"]

BLOCK = 16
"""Columns of places that are read together."""

_EXACT = 8192.0
"""Coordinates are float32: with none beyond this, they are exact to a thousandth of a pixel."""

_SMALL = 64 * 64
"""Pixels of pictures that are warped in one call, whatever becomes of each."""

_FAR = 1 << 31
"""Offsets are int32."""


def ending_fits(*, table: bool, scaled: bool) -> bool:
    """Return whether a warp can go on with a table of levels, a scale for each channel, or both, in one pass."""
    from thalweg.augment.image._level_words import looks_up_many

    return not (table and scaled) or looks_up_many()


@cache
def _levels() -> Any:
    from thalweg.augment.image import _level_code

    return _level_code


@cache
def _floats() -> Any:
    from thalweg.augment.image import _float_code

    return _float_code


def warped_levels(
    image: np.ndarray,
    plane: Plane,
    height: int,
    width: int,
    border: str,
    table: np.ndarray | None = None,
    scales: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return a picture of uint8 levels after a map of the plane, bilinear.

    Args:
        image: ``(height, width)`` or ``(height, width, channels)``, at most four of them.
        plane: from places of the input to places of the output.
        height, width: of the output.
        border: what lies outside the picture: one of `thalweg.augment.image._plane.BORDERS`.
        table: what levels become, uint8, ``(256,)``.
        scales: what they are then multiplied by, and what is added, float32, ``(2, 16, channels)``: the same for
            each of 16 pixels. The picture returned is float32.
    """
    high, wide = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    m = plane.inverse().m
    if channels > 4 or not _fits(m, high, wide, height, width, border, plane.affine):
        return None
    image = _rows(image)
    stride = image.strides[0]
    if stride * high >= _FAR:
        return None
    found = np.empty((height, width, *image.shape[2:]), np.uint8 if scales is None else np.float32)
    kind = {"reflected": border == "reflect", "table": table is not None, "scaled": scales is not None}
    memory = None
    if plane.affine and m[1] == m[3] == 0:
        memory = np.empty((width + 16) * (8 + 4 * channels), np.uint8)
        run = _levels().resize(channels, **kind)
    else:
        run = _levels().warp(channels, perspective=not plane.affine, **kind)
    addresses = (0 if array is None else _address(array) for array in (image, found, table, scales, memory))
    run(
        struct.pack(_levels().CELLS, *addresses, high, wide, height, width, stride, *m, *_limits(high, wide, border)),
        0,
        0,
    )
    return found


def bent_levels(
    image: np.ndarray,
    places: np.ndarray,
    width: int,
    border: str,
    table: np.ndarray | None = None,
    scales: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return a picture of uint8 levels whose pixels come from any places, bilinear.

    Args:
        image, border, table, scales: as for `warped_levels`.
        places: x and y, float32, ``(2, height, columns)``, contiguous; ``columns`` is a multiple of `BLOCK`, and
            those from ``width`` on are not looked at.
        width: of the output.
    """
    high, wide = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    height = places.shape[1]
    if channels > 4 or min(high, wide) < 2 or max(high, wide, height, width) > _EXACT:
        return None
    image = _rows(image)
    found = np.empty((height, width, *image.shape[2:]), np.uint8 if scales is None else np.float32)
    run = _levels().bend(channels, reflected=border == "reflect", table=table is not None, scaled=scales is not None)
    addresses = (0 if array is None else _address(array) for array in (image, found, table, scales, places))
    sizes = (high, wide, height, width, image.strides[0])
    run(struct.pack(_levels().CELLS, *addresses, *sizes, *[0.0] * 9, *_limits(high, wide, border)), 0, 0)
    return found


def bent_floats(images: np.ndarray, places: np.ndarray, into: np.ndarray, border: str) -> bool:
    """Write pictures whose pixels come from any places into another array; return whether that was done.

    Args:
        images: float32, ``(N, channels, height, width)``, contiguous.
        places: as for `bent_levels`, of each picture, ``(N, 2, height, columns)``.
        into: the same as images, of another size, contiguous.
        border: as for `warped_levels`.
    """
    count, channels, high, wide = images.shape
    height, width = into.shape[2:]
    if min(high, wide) < 2 or max(high, wide, height, width) > _EXACT:
        return False
    cells = struct.pack(
        _floats().CELLS, _address(images), _address(into), _address(places), count, channels, high, wide, height,
        width, *_limits(high, wide, border),
    )  # fmt: skip
    _floats().bend(reflected=border == "reflect")(cells, 0, 0)
    return True


def _rows(image: np.ndarray) -> np.ndarray:
    """Return a picture whose rows have no gaps, itself where that is so."""
    channels = image.shape[2] if image.ndim == 3 else 1
    stride, *within = image.strides
    if tuple(within) == (channels, 1)[-len(within) :] and stride >= image.shape[1] * channels:
        return image
    return np.ascontiguousarray(image)


def warped_floats(image: np.ndarray, plane: Plane, into: np.ndarray, border: str) -> bool:
    """Write a picture after a map of the plane into another array; return whether that was done.

    Args:
        image: float32, ``(channels, height, width)``, contiguous.
        plane, border: as for `warped_levels`.
        into: the same, of another size, contiguous.
    """
    channels, high, wide = image.shape
    height, width = into.shape[1:]
    m = plane.inverse().m
    if not _fits(m, high, wide, height, width, border, plane.affine) or high * wide >= _FAR:
        return False
    matrix = struct.pack("<9d", *m)
    maps = np.frombuffer(matrix, np.float64)
    cells = struct.pack(
        _floats().CELLS, _address(image), _address(into), _address(maps), 1, channels, high, wide, height, width,
        *_limits(high, wide, border),
    )  # fmt: skip
    _floats().warp(perspective=not plane.affine, reflected=border == "reflect")(cells, 0, 0)
    return True


def warped_small(images: np.ndarray, plane: Plane, into: np.ndarray, border: str) -> np.ndarray:
    """Write small pictures after affine maps of their own into another array; return which, bool, ``(N,)``.

    To ask of each whether it only moves takes longer than to warp it.

    Args:
        images: float32, ``(N, channels, height, width)``, contiguous.
        plane: of N samples.
        border: as for `warped_levels`.
        into: the same, of another size, contiguous.
    """
    count, channels, high, wide = images.shape
    height, width = into.shape[2:]
    none = np.zeros(count, dtype=bool)
    if not plane.affine or min(high, wide) < 2 or max(high * wide, height * width) > _SMALL:
        return none
    maps = np.ascontiguousarray(plane.inverse().array(count))
    reach = np.abs(maps[:, :2]) @ np.array([width - 1.0, height - 1.0, 1.0])
    done: np.ndarray = (reach <= _EXACT).all(1)
    maps[~done] = np.eye(3)
    cells = struct.pack(
        _floats().CELLS, _address(images), _address(into), _address(maps), count, channels, high, wide, height, width,
        *_limits(high, wide, border),
    )  # fmt: skip
    _floats().warp(perspective=False, reflected=border == "reflect")(cells, 0, 0)
    return done


def _fits(m: tuple[float, ...], high: int, wide: int, height: int, width: int, border: str, affine: bool) -> bool:
    """Return whether places are exact to a thousandth of a pixel; not so where numbers are none."""
    if high < 2 or wide < 2:
        return False
    a, b, c, d, e, f, g, h, i = m
    right, bottom = width - 1, height - 1
    most = max(abs(a) * right + abs(b) * bottom + abs(c), abs(d) * right + abs(e) * bottom + abs(f), high, wide)
    if affine:
        return most <= _EXACT
    corners = (i, i + g * right, i + h * bottom, i + g * right + h * bottom)
    least = max(min(corners), -max(corners))
    if not least > 0:
        return False
    spread = (abs(g) * right + abs(h) * bottom + abs(i)) / least
    return most / least * (spread if border == "reflect" else 1.0) <= _EXACT and max(high, wide) * spread <= _EXACT


def _limits(high: int, wide: int, border: str) -> tuple[float, ...]:
    """Return the least and greatest x and y that differ from those further out."""
    return (-1.0, wide, -1.0, high) if border == "constant" else (0.0, wide - 1.0, 0.0, high - 1.0)


def _address(array: np.ndarray) -> Any:
    return array.__array_interface__["data"][0]
