"""Files that are written whole or not at all, whatever comes meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["flush_folder", "write_whole"]


def write_whole(path: Path, content: bytes, *, beside: Path | None = None) -> None:
    """Write a file, of which nobody sees a part; when this returns, it survives a power cut.

    What is no file, such as a pipe or a terminal, is written to.

    Args:
        path: where; a link is followed.
        content: what the file holds then.
        beside: where it is written first, in the same folder; a hidden name of this process's own, if not given.

    Raises:
        OSError: it cannot be written, and what was there is as it was.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    place = path.resolve()  # where a link leads
    beside = beside or place.with_name(f".{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
        flush_folder(place.parent)
    except BaseException:
        with suppress(OSError):  # as it may not be, where nothing can be written
            beside.unlink()
        raise


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system lets them be put there by themselves."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Some file systems in user space know nothing of it, and some folders may be written but not read.
        if error.errno not in (errno.EINVAL, errno.EACCES):
            raise
