"""One writer a study: a lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["INTACT", "Lock", "StoreError", "is_held", "unwritable"]

INTACT = "; what was recorded before is intact"
"""The end of a sentence on a disk that is full."""


class StoreError(ValueError):
    """A study directory that cannot be used; the message is one sentence that says why."""


def unwritable(place: Path, error: OSError) -> StoreError:
    """Return in a sentence why a place cannot be written; a disk that is full takes nothing from what is on it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return StoreError(f"{place} cannot be written: {error.strerror or error}{INTACT if full else ''}")


_HELD: set[Path] = set()
"""What this process holds: the kernel would give it the same lock twice, and take it away at the first close."""


class Lock:
    """The right to write in a directory, which is made if it is not there.

    ``lockf`` and not ``flock``: a child process that outlives its parent does not keep it.

    Args:
        directory: whose lock it is.

    Raises:
        StoreError: the directory cannot be written, or another store writes there.
    """

    def __init__(self, directory: Path) -> None:
        self._place = directory.resolve()
        if self._place in _HELD:
            raise StoreError(f"{directory} is in use by this process; close the store that writes there")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"{directory} cannot be written: {error.strerror}") from error
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise StoreError(
                    f"{directory} cannot be locked against a second process: {error.strerror}; keep the study in a "
                    "file system that has locks"
                ) from error
            raise StoreError(f"{directory} is in use by another process; wait for it, or stop it") from error
        _HELD.add(self._place)

    def release(self) -> None:
        """Give the right back."""
        _HELD.discard(self._place)
        os.close(self._file)


def is_held(directory: Path | str) -> bool | None:
    """Return whether a store writes in a directory, without touching its lock; None where that cannot be known.

    The lock's file is not opened where this process holds it: closing it would give the lock back.
    """
    place = Path(directory).resolve()
    if place in _HELD:
        return True
    if not sys.platform.startswith("linux") or struct.calcsize("P") != 8:  # elsewhere the structure is another one
        return None
    with suppress(OSError):
        file = os.open(place / "lock", os.O_RDONLY)
        try:
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            return bool(struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK)
        finally:
            os.close(file)
    return False
