"""OpenCV, imported where it is used."""

from __future__ import annotations

from functools import cache
from typing import Any

from thalweg.errors import InputError

__all__ = ["opencv"]


@cache
def opencv() -> Any:
    """Return OpenCV, or say what to install: before version 5, its warps are off by up to 6 levels."""
    try:
        import cv2
    except ImportError as error:
        raise InputError("augmenting uint8 pictures needs OpenCV: pip install 'thalweg[image]'") from error
    if int(cv2.__version__.partition(".")[0]) < 5:
        raise InputError(
            f"augmenting uint8 pictures needs OpenCV 5 or later, and {cv2.__version__} is installed: "
            "pip install --upgrade opencv-python-headless"
        )
    return cv2
