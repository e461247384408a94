"""Maps of the plane evaluated place by place in float64: what the quick ways are held against."""

import numpy as np


def direct(image, matrix, height, width, border="constant"):
    """Return the bilinear picture after a map, ``(height, width, channels)``."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    back = np.linalg.inv(matrix)
    u, v, w = (back @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])).reshape(3, height, width)
    return direct_at(image, u / w, v / w, border)


def direct_at(image, u, v, border="constant"):
    """Return the bilinear picture of places ``(u, v)`` of another, ``(height, width, channels)``."""
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    total = np.zeros((*u.shape, image.shape[2]))
    for dx in (0, 1):
        for dy in (0, 1):
            share = (dx + (1 - 2 * dx) * (1 - (u - left))) * (dy + (1 - 2 * dy) * (1 - (v - top)))
            total += share[..., None] * taken(image, top + dy, left + dx, border)
    return total


def taken(image, y, x, border):
    """Return the pixels at some rows and columns, which may lie outside."""
    high, wide = image.shape[:2]
    if border == "constant":
        inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        return np.where(inside[..., None], image[y.clip(0, high - 1), x.clip(0, wide - 1)].astype(float), 0.0)
    if border == "edge":
        return image[y.clip(0, high - 1), x.clip(0, wide - 1)].astype(float)
    rows, columns = (np.abs((i + n - 1) % (2 * n - 2) - (n - 1)) for i, n in ((y, high), (x, wide)))
    return image[rows, columns].astype(float)
