"""The user's own cache: what takes seconds to make and is the same every time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from thalweg.files import write_whole

__all__ = ["folder", "kept", "kept_bytes"]


def folder() -> Path:
    """Return where it lies: ``$THALWEG_CACHE``, or ``thalweg`` in the user's cache."""
    given = os.environ.get("THALWEG_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "thalweg"


def kept(name: str, make: Callable[[], str]) -> str:
    """Return a text that is kept under a name; see `kept_bytes`."""
    return kept_bytes(name, lambda: make().encode()).decode()


def kept_bytes(name: str, make: Callable[[], bytes]) -> bytes:
    """Return what is kept under a name; made anew where it is not there, or not whole.

    Args:
        name: of the file; a different one for every different content.
        make: makes it.
    """
    path = folder() / name
    with suppress(OSError):
        checksum, _, content = path.read_bytes().partition(b"\n")
        if checksum == _checksum(content):
            return content
    content = make()
    with suppress(OSError):  # a cache that cannot be written is none
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _checksum(content) + b"\n" + content)
    return content


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
