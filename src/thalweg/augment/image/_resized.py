"""Windows of whole pixels at another size: OpenCV's resizing, a few times quicker than a warp, gives all but the rim."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from thalweg.augment.image._opencv import opencv

if TYPE_CHECKING:
    from collections.abc import Callable

    from thalweg.augment.image._plane import Plane

__all__ = ["resized"]


def resized(
    image: np.ndarray,
    plane: Plane,
    height: int,
    width: int,
    border: str,
    warp: Callable[[np.ndarray, Plane, int, int], np.ndarray],
) -> np.ndarray | None:
    """Return a window of a picture at another size, perhaps turned round; None where the map is no such thing.

    Args:
        image, plane, height, width, border: as for `thalweg.augment.image._pixels.warped`.
        warp: what gives the rim, whose pixels take some of what lies beside the window.
    """
    a, _, _, _, e, _ = plane.m[:6]
    back = plane.inverse()
    (x0, y0), (x1, y1) = back(-0.5, -0.5), back(width - 0.5, height - 0.5)
    left, right = sorted((x0 + 0.5, x1 + 0.5))
    top, bottom = sorted((y0 + 0.5, y1 + 0.5))
    edges = np.rint([left, top, right, bottom])
    high, wide = image.shape[:2]
    if np.abs(edges - (left, top, right, bottom)).max() > 1e-6:
        return None
    x, y, right, bottom = edges.astype(int).tolist()
    if x < 0 or y < 0 or right > wide or bottom > high or x == right or y == bottom:
        return None
    cv2 = opencv()
    found = cv2.resize(image[y:bottom, x:right], (width, height), interpolation=cv2.INTER_LINEAR)
    if a < 0 or e < 0:
        found = cv2.flip(found, 1 if e > 0 else 0 if a > 0 else -1)
    found = found.reshape(height, width, *image.shape[2:])
    rows, columns = (max(math.ceil(abs(f) / 2 - 0.5), 0) for f in (e, a))
    inner = (border != "edge", border != "edge")
    sides = [(y > 0 or inner[0], bottom < high or inner[1]), (x > 0 or inner[0], right < wide or inner[1])]
    for (before, after), rim, size, down in zip(sides, (rows, columns), (height, width), (True, False), strict=True):
        before, after = (before, after) if (e if down else a) > 0 else (after, before)
        for wanted, start in ((before, 0), (after, size - rim)):
            if not (wanted and rim):
                continue
            if down:
                found[start : start + rim] = warp(image, _moved(plane, 0, start), rim, width)
            else:
                found[:, start : start + rim] = warp(image, _moved(plane, start, 0), height, rim)
    return found


def _moved(plane: Plane, x: int, y: int) -> Plane:
    from thalweg.augment.image._plane import moved

    return moved(-float(x), -float(y)) @ plane
