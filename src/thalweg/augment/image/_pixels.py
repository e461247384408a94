"""A policy on one picture of uint8 levels, through OpenCV: neighbours in the policy become one warp, or one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.augment._program import Step, steps
from thalweg.augment.image._plane import Plane
from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment._technique import Policy

__all__ = ["augmented", "opencv", "table_of", "warped"]

_LEVELS = np.arange(256) / 255


def augmented(policy: Policy, image: Any, sample: int, epoch: int, seed: int) -> np.ndarray:
    """See `Policy.__call__`."""
    _check(image)
    pending: list[tuple[Step, list[float]]] = []
    for step in steps(policy, "image"):
        drawn = step.drawn(seed, epoch, sample)
        if drawn is None:
            continue
        if pending and pending[0][0].technique.stage != step.technique.stage:
            image, pending = _carried_out(image, pending), []
        pending.append((step, drawn))
    found: np.ndarray = _carried_out(image, pending) if pending else image.copy()
    return found


def _carried_out(image: np.ndarray, pending: list[tuple[Step, list[float]]]) -> np.ndarray:
    """Return a picture after steps of one stage."""
    if pending[0][0].technique.stage == "level":
        return opencv().LUT(image, table_of(pending)).reshape(image.shape)  # type: ignore[no-any-return]
    height, width = image.shape[:2]
    plane: Plane | None = None
    for step, drawn in pending:
        mine = step.technique.formula(*drawn, height, width, **step.values)
        plane = mine if plane is None else mine @ plane
        if step.technique.sized is not None:
            height, width = step.technique.sized(height, width, **step.values)
    assert plane is not None
    return warped(image, plane, height, width)


def table_of(pending: list[tuple[Step, list[float]]]) -> np.ndarray:
    """Return the table of 256 levels that steps on levels come to, each cut to 0 to 1."""
    x = _LEVELS
    for step, drawn in pending:
        x = step.technique.formula(x, *drawn, **step.values).clip(0.0, 1.0)
    found: np.ndarray = np.rint(x * 255).astype(np.uint8)
    return found


def warped(image: np.ndarray, plane: Plane, height: int, width: int, *, nearest: bool = False) -> np.ndarray:
    """Return a picture after a map of the plane, bilinear; 0 where nothing comes from.

    Args:
        image: ``(height, width)`` or ``(height, width, channels)``, uint8 or float32.
        plane: from places of the input to places of the output.
        height, width: of the output.
        nearest: take the nearest pixel, for what must not be mixed.
    """
    moved = _moved(image, plane, height, width)
    if moved is not None:
        return moved
    cv2, back = opencv(), plane.inverse().array()
    how = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    call = cv2.warpAffine if plane.affine else cv2.warpPerspective
    matrix = back[:2] if plane.affine else back
    if image.ndim == 2 or image.shape[2] <= 4:
        return call(image, matrix, (width, height), flags=how).reshape(height, width, *image.shape[2:])  # type: ignore[no-any-return]
    parts = [image[..., i : i + 4] for i in range(0, image.shape[2], 4)]
    done = [call(np.ascontiguousarray(part), matrix, (width, height), flags=how) for part in parts]
    return np.concatenate([part.reshape(height, width, -1) for part in done], -1)


def _moved(image: np.ndarray, plane: Plane, height: int, width: int) -> np.ndarray | None:
    """Return a picture that is only turned round or by quarters, whose pixels stay what they are; else None."""
    if not plane.affine:
        return None
    a, b, c, d, e, f = plane.m[:6]
    high, wide = image.shape[:2]
    cv2 = opencv()
    if b == d == 0 and abs(a) == abs(e) == 1 and (height, width) == (high, wide):
        if c != (0 if a > 0 else wide - 1) or f != (0 if e > 0 else high - 1):
            return None
        if a > 0 and e > 0:
            return image.copy()
        return cv2.flip(image, 1 if e > 0 else 0 if a > 0 else -1).reshape(image.shape)  # type: ignore[no-any-return]
    if a == e == 0 and abs(b) == abs(d) == 1 and (height, width) == (wide, high):
        if c != (0 if b > 0 else high - 1) or f != (0 if d > 0 else wide - 1):
            return None
        turned = cv2.transpose(image).reshape(wide, high, *image.shape[2:])
        how = {(1, 1): None, (-1, 1): 1, (1, -1): 0, (-1, -1): -1}[int(b), int(d)]
        return turned if how is None else cv2.flip(turned, how).reshape(turned.shape)  # type: ignore[no-any-return]
    return None


def _check(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        what = f"an array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a policy takes a picture (height, width) or (height, width, channels), not {what}")
    if image.dtype != np.uint8:
        raise InputError(
            f"a policy takes uint8 levels, not {image.dtype}; for floats from 0 to 1, make a tensor "
            "(N, channels, height, width) and call batch"
        )
    if not image.size:
        raise InputError(f"the picture is empty: its shape is {image.shape}")


def opencv() -> Any:
    """Return OpenCV, or say what to install."""
    try:
        import cv2
    except ImportError as error:
        raise InputError("augmenting uint8 pictures needs OpenCV: pip install 'thalweg[image]'") from error
    return cv2
