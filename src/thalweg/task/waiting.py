"""What is said where something takes long that is quick for most tasks."""

from __future__ import annotations

import logging
import time

__all__ = ["Waiting"]

PATIENCE = 3.0
"""Seconds after which it is said what is being done."""


class Waiting:
    """Something that may take long, and of which that is said, once.

    It is a warning of the logger ``thalweg``, which Python writes to standard error unless told otherwise. There is
    no thread behind it: under a limit on the address space its memory would be missing elsewhere.
    """

    def __init__(self) -> None:
        self.began, self.said = time.monotonic(), False

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def say(self, line: str, least: float = PATIENCE) -> None:
        """Say what is being done, if that was not said, and it takes ``least`` seconds already."""
        if not self.said and self.seconds >= least:
            logging.getLogger("thalweg").warning(line)
            self.said = True
