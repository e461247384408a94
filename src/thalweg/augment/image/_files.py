"""Pictures read from files, through OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import InputError

__all__ = ["SUFFIXES", "files_in", "is_picture", "read_picture", "resized_to"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".gif")
"""How the names of files end that are taken for pictures, in small letters."""


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders, in the order of their paths, but hidden ones."""
    inside = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    shown = [path for path in inside if not any(part[0] == "." for part in path.parts)]
    return [folder / path for path in sorted(shown, key=lambda path: path.parts)]


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture by its name."""
    return path.suffix.lower() in SUFFIXES


def read_picture(path: Path, name: str = "") -> np.ndarray:
    """Return a picture as ``(height, width)`` where it is grey, else ``(height, width, 3)``, red first.

    Pictures are turned as their camera says; transparent ones are laid on white. Of several in a file, the first.

    Args:
        path: of the file.
        name: what messages call it; its path if not given.

    Returns:
        uint8 levels, or uint16 where the file has 16 bits.

    Raises:
        InputError: no OpenCV, or a file that is empty, broken, no picture, or of another depth.
    """
    cv2 = _opencv()
    name = name or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    if not content:
        raise InputError(f"{name} is empty; put a picture there, or take it out")
    how = cv2.IMREAD_UNCHANGED
    if content[:2] == b"\xff\xd8":  # only so is a photograph turned as its camera says
        how = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    whole = not content.startswith(b"\x89PNG") or b"IEND" in content[-4096:]
    image = _quietly(cv2, np.frombuffer(content, np.uint8), how) if whole else None
    if image is None:
        raise InputError(f"{name} cannot be read as a picture: it is broken, or none; save it anew, or take it out")
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name} has levels of type {image.dtype}; save it with 8 or 16 bits")
    if image.ndim == 2 or image.shape[2] == 1:
        return image.reshape(image.shape[:2])
    found = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_BGR2RGB)
    return found if image.shape[2] == 3 else _on_white(found, image[..., 3:])


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise InputError("reading pictures needs OpenCV: pip install 'thalweg[image]'") from error
    return cv2


def _quietly(cv2: Any, content: np.ndarray, how: int) -> np.ndarray | None:
    """Return what OpenCV reads, or None; what it would print beside our own sentence is left out."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        found: np.ndarray | None = cv2.imdecode(content, how)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return found


def _on_white(image: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    most = np.iinfo(image.dtype).max
    if (opaque == most).all():
        return image
    share = opaque / most
    return np.rint(image * share + most * (1 - share)).astype(image.dtype)


def resized_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture in another size, (height, width), whatever its sides were: means of areas where it shrinks."""
    if image.shape[:2] == size:
        return image
    cv2 = _opencv()
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    found: np.ndarray = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return found
