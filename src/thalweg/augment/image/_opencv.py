"""OpenCV, imported where it is used."""

from __future__ import annotations

from functools import cache
from typing import Any

from thalweg.errors import InputError

__all__ = ["opencv"]


@cache
def opencv() -> Any:
    """Return OpenCV, or say what to install."""
    try:
        import cv2
    except ImportError as error:
        raise InputError("augmenting uint8 pictures needs OpenCV: pip install 'thalweg[image]'") from error
    return cv2
