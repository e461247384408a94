"""Files that are written whole or not at all, whatever comes meanwhile."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, of which nobody sees a part; what is no file, such as a pipe or a terminal, is written to.

    Raises:
        OSError: it cannot be written, and what was there is as it was.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    place = path.resolve()  # where a link leads
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
    except BaseException:
        with suppress(OSError):  # as it may not be, where nothing can be written
            beside.unlink()
        raise
