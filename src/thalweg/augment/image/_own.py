"""Steps that are carried out alone, on one picture of uint8 levels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.augment._draws import fields
from thalweg.augment.image._opencv import opencv
from thalweg.augment.image._veils import veil_of
from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment._program import Step

__all__ = ["STAGES", "channels_of", "check_channels", "per_channel", "scales"]


def colour(image: np.ndarray, step: Step, drawn: list[float], _: Any) -> np.ndarray:
    if channels_of(image) == 1:  # only where it was chosen: see `check_channels`
        return image
    return opencv().transform(image, step.technique.formula(*drawn, **step.values))  # type: ignore[no-any-return]


def separable(image: np.ndarray, step: Step, drawn: list[float], _: Any) -> np.ndarray:
    cv2, weights = opencv(), step.technique.formula(*drawn, **step.values)
    found = cv2.sepFilter2D(image, cv2.CV_32F, weights, weights, borderType=cv2.BORDER_REPLICATE)
    return _rounded(found).reshape(image.shape)


def kernel(image: np.ndarray, step: Step, drawn: list[float], _: Any) -> np.ndarray:
    cv2, weights = opencv(), step.technique.formula(*drawn, **step.values)
    found = cv2.filter2D(image, cv2.CV_32F, weights, borderType=cv2.BORDER_REPLICATE)
    return _rounded(found).reshape(image.shape)


def grain(image: np.ndarray, step: Step, drawn: list[float], key: tuple[int, int, int]) -> np.ndarray:
    seed, epoch, sample = key
    layered = image[..., None] if image.ndim == 2 else image
    height, width, channels = layered.shape
    numbers = fields(step.keys(seed), epoch, sample, image.size).reshape(channels, height, width).transpose(1, 2, 0)
    found = step.technique.formula(layered / np.float32(255), numbers, *drawn, **step.values)
    return _rounded(found * np.float32(255)).reshape(image.shape)


def hole(image: np.ndarray, step: Step, drawn: list[float], _: Any) -> np.ndarray:
    height, width = image.shape[:2]
    row, column = np.arange(height)[:, None], np.arange(width)[None]
    found = image.copy()
    found[step.technique.formula(row, column, *drawn, height, width, **step.values)] = round(
        255 * step.values["fill"]
    )
    return found


def veil(image: np.ndarray, step: Step, drawn: list[float], key: tuple[int, int, int]) -> np.ndarray:
    cv2, (keep, light) = opencv(), veil_of(step, drawn, key, *image.shape[:2])
    light, passed = light * np.float32(255), np.empty_like(light)
    found = []
    for channel in cv2.split(image):
        cv2.multiply(channel, keep, dst=passed, dtype=cv2.CV_32F)
        found.append(cv2.add(passed, light, dtype=cv2.CV_8U))
    return cv2.merge(found).reshape(image.shape)  # type: ignore[no-any-return]


def whole(image: np.ndarray, step: Step, drawn: list[float], _: Any) -> np.ndarray:
    return step.technique.formula(image, *drawn, **step.values)  # type: ignore[no-any-return]


def last(image: np.ndarray, step: Step, drawn: list[float], _: Any) -> np.ndarray:
    channels = channels_of(image)
    table = _floats(step, tuple(drawn), channels)
    if channels > 4:
        return np.stack([table[image[..., i], i] for i in range(channels)], -1)
    return opencv().LUT(image, table[:, None]).reshape(image.shape)  # type: ignore[no-any-return]


@lru_cache(64)
def _floats(step: Step, drawn: tuple[float, ...], channels: int) -> np.ndarray:
    """Return what each of 256 levels becomes in each channel, float32, ``(256, channels)``."""
    values = {name: np.array(per_channel(step, name, channels)) for name in step.values}
    found: np.ndarray = step.technique.formula(np.arange(256)[:, None] / 255, *drawn, **values)
    return np.broadcast_to(found, (256, channels)).astype(np.float32)


@lru_cache(64)
def scales(step: Step, channels: int) -> np.ndarray | None:
    """Return what levels are multiplied by, and what is added, for each channel of 16 pixels; None if that is not it.

    float32, ``(2, 16, channels)``.
    """
    table = _floats(step, (), channels).astype(np.float64)
    factor = (table[-1] - table[0]) / 255
    near = np.abs(table[0] + factor * np.arange(256)[:, None] - table)
    if not (near <= 1e-6 * np.abs(table).max(0)).all():
        return None
    return np.array([[factor] * 16, [table[0]] * 16], np.float32)


def _rounded(levels: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.rint(levels.clip(0, 255)).astype(np.uint8)
    return found


def channels_of(image: np.ndarray) -> int:
    """Return how many channels a picture has; 1 where it has no axis of them."""
    return image.shape[2] if image.ndim == 3 else 1


def check_channels(step: Step, channels: int) -> None:
    """Refuse pictures of so many channels as a step does not take, whether or not anything happens to them.

    Steps on colours take red, green and blue. Those that choose among steps take grey pictures too, to which steps on
    colours do nothing.
    """
    stage = step.technique.stage
    if stage == "colour" and channels != 3:
        raise InputError(f"{step.technique.name} takes pictures of 3 channels, not {channels}")
    if (stage in ("chosen", "mixture") or step.technique.name == "jpeg") and channels not in (1, 3):
        raise InputError(
            f"{step.technique.name} takes grey pictures, or red, green and blue: 1 or 3 channels, not {channels}"
        )


def per_channel(step: Step, name: str, channels: int) -> tuple[float, ...]:
    """Return a hyperparameter of one number a channel."""
    numbers: tuple[float, ...] = step.values[name]
    if len(numbers) not in (1, channels):
        raise InputError(
            f"{name} of {step.technique.name} has {len(numbers)} numbers, and the picture {channels} channels"
        )
    return tuple(numbers) * channels if len(numbers) == 1 else tuple(numbers)


STAGES = {
    "colour": colour, "separable": separable, "kernel": kernel, "grain": grain, "hole": hole, "veil": veil,
    "whole": whole,
    "foreign": whole, "last": last,
}  # fmt: skip
"""What carries each of them out: from a picture, the step, its random numbers, and the seed, epoch and sample."""
