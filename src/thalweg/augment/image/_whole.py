"""The words of formulas that need the picture as a whole, uint8, ``(height, width)`` or with channels after it."""

from __future__ import annotations

import numpy as np

from thalweg.augment.image._opencv import opencv

__all__ = ["compressed", "equalised", "stretched"]


def equalised(image: np.ndarray) -> np.ndarray:
    """Return a picture whose levels are spread evenly, channel by channel."""
    if image.ndim == 2:
        return opencv().equalizeHist(image)  # type: ignore[no-any-return]
    channels = [opencv().equalizeHist(np.ascontiguousarray(image[..., i])) for i in range(image.shape[2])]
    return np.stack(channels, -1)


def compressed(image: np.ndarray, quality: float) -> np.ndarray:
    """Return a picture after JPEG of a quality from 1 to 100."""
    channels = image.shape[2] if image.ndim == 3 else 1
    cv2 = opencv()
    given = image[..., ::-1] if channels == 3 else image
    _, written = cv2.imencode(".jpg", np.ascontiguousarray(given), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    found = cv2.imdecode(written, cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE)
    return found.reshape(image.shape)  # type: ignore[no-any-return]


def stretched(image: np.ndarray) -> np.ndarray:
    """Return a picture in which each channel goes from black to white, unless all of it is alike."""
    cv2, levels = opencv(), np.arange(256)
    channels = cv2.split(image) if image.ndim == 3 else [image]
    ends = [cv2.minMaxLoc(channel)[:2] for channel in channels]
    tables = [(levels - low) * 255 / (high - low) if high > low else levels for low, high in ends]
    found = [
        cv2.LUT(channel, np.rint(table.clip(0, 255)).astype(np.uint8))
        for channel, table in zip(channels, tables, strict=True)
    ]
    return cv2.merge(found).reshape(image.shape)  # type: ignore[no-any-return]
