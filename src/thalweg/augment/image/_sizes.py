"""What size pictures have after steps that change it."""

from __future__ import annotations

from typing import Any

from thalweg.errors import InputError

__all__ = ["cut", "given_size", "padded"]


def given_size(height: int, width: int, *, size: Any, **_: Any) -> tuple[int, int]:  # noqa: ARG001
    """Return the size that a step is given."""
    if len(size) != 2:
        raise InputError(f"a size is a height and a width, not {list(size)}")
    return int(size[0]), int(size[1])


def cut(height: int, width: int, *, size: Any, **_: Any) -> tuple[int, int]:
    """Return the size of a window, which a picture has to hold."""
    high, wide = given_size(height, width, size=size)
    if high > height or wide > width:
        raise InputError(
            f"a window of {high} × {wide} does not fit into a picture of {height} × {width}: pad it first"
        )
    return high, wide


def padded(height: int, width: int, *, left: int, top: int, right: int, bottom: int, **_: Any) -> tuple[int, int]:
    """Return the size with margins."""
    return height + top + bottom, width + left + right
