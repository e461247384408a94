"""The user's own cache: what takes seconds to make and is the same every time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["folder", "kept"]


def folder() -> Path:
    """Return where it lies: ``$THALWEG_CACHE``, or ``thalweg`` in the user's cache."""
    given = os.environ.get("THALWEG_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "thalweg"


def kept(name: str, make: Callable[[], str]) -> str:
    """Return a text that is kept under a name; made anew where it is not there, or not whole.

    Args:
        name: of the file; a different one for every different text.
        make: makes the text.
    """
    path = folder() / name
    with suppress(OSError, UnicodeError):
        checksum, _, text = path.read_bytes().decode().partition("\n")
        if checksum == _checksum(text):
            return text
    text = make()
    temporary = path.with_name(f"{name}.{os.getpid()}.tmp")
    with suppress(OSError):  # a cache that cannot be written is none
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(f"{_checksum(text)}\n{text}".encode())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return text


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
