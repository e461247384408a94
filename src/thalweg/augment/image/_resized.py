"""Windows of whole pixels at another size: OpenCV's resizing is quicker than a warp, and gives all but the rim."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thalweg.augment.image._opencv import opencv
from thalweg.augment.image._plane import moved

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

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
    exact = (min(x0, x1) + 0.5, min(y0, y1) + 0.5, max(x0, x1) + 0.5, max(y0, y1) + 0.5)
    x, y, right, bottom = edges = [round(edge) for edge in exact]
    if max(abs(edge - there) for edge, there in zip(edges, exact, strict=True)) > 1e-6:
        return None
    high, wide = image.shape[:2]
    if x < 0 or y < 0 or right > wide or bottom > high or x == right or y == bottom:
        return None
    cv2 = opencv()
    found = cv2.resize(image[y:bottom, x:right], (width, height), interpolation=cv2.INTER_LINEAR)
    if a < 0 or e < 0:
        found = cv2.flip(found, 1 if e > 0 else 0 if a > 0 else -1)
    filled: np.ndarray = found.reshape(height, width, *image.shape[2:])
    rows, columns = (max(math.ceil(abs(f) / 2 - 0.5), 0) for f in (e, a))
    other = border != "edge"
    sides = [(y > 0 or other, bottom < high or other), (x > 0 or other, right < wide or other)]
    for (before, after), rim, size, down in zip(sides, (rows, columns), (height, width), (True, False), strict=True):
        before, after = (before, after) if (e if down else a) > 0 else (after, before)
        for wanted, start in ((before, 0), (after, size - rim)):
            if not (wanted and rim):
                continue
            if down:
                filled[start : start + rim] = warp(image, moved(0.0, -start) @ plane, rim, width)
            else:
                filled[:, start : start + rim] = warp(image, moved(-start, 0.0) @ plane, height, rim)
    return filled
