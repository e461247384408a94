"""Ctrl-C: one line and the exit code that shells give it, wherever in a command it comes, and however often.

Python raises KeyboardInterrupt where it happens to be, and that is a traceback while modules are imported, while
Python ends, or when Ctrl-C is pressed again while the first is seen to. Code in C makes other errors of it, such as
an import that failed; and where a function cannot raise, as ``__del__``, it is printed and lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thalweg.errors import causes

__all__ = ["CTRL_C", "stopping"]

SEEN_TO = 2.0
"""Seconds in which one that is pressed again says nothing new."""

ERRORS = 30.0
"""Seconds in which an error is taken for its doing: what was begun is ended on the way."""

_NEVER = float("-inf")

AGAIN = 0.02
"""Seconds after which one that was lost comes again."""


class _CtrlC:
    """What becomes of Ctrl-C, from `begin` to `end`.

    A program around that handles it otherwise, or ignores it, goes on to do so.

    Attributes:
        so: what is said of what is stopped.
        once: the file from whose being there on it is said; None if it always is.
    """

    def __init__(self) -> None:
        self.so, self._came, self._heard = "", _NEVER, False
        self.once: Path | None = None
        self._unraisable: Callable[[Any], Any] = sys.unraisablehook

    def begin(self) -> None:
        """Take Ctrl-C over, which raises KeyboardInterrupt still."""
        self.so, self.once, self._came = "", None, _NEVER
        here = threading.current_thread() is threading.main_thread()
        self._heard = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._heard:
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._lost
            signal.signal(signal.SIGINT, self._come)

    def caused(self, error: BaseException) -> bool:
        """Return whether an error is one of Ctrl-C's."""
        own = any(isinstance(one, KeyboardInterrupt) for one in causes(error))
        return own or time.monotonic() < self._came + ERRORS

    def told(self) -> int:
        """Say that something was stopped, in a line, and return the exit code."""
        with suppress(OSError):
            says = self.so and (self.once is None or os.path.exists(self.once))  # noqa: PTH110 – as elsewhere
            sys.stderr.write(f"\nstopped; {self.so}\n" if says else "\nstopped\n")
        exec("")  # Python forgets one that came inside an exec, of which it would end itself, by the signal
        return 130

    def end(self, *, for_good: bool) -> None:
        """Give Ctrl-C back; for good, where Python itself is about to end, it is ignored: nothing is left to stop."""
        if self._heard:
            signal.signal(signal.SIGINT, signal.SIG_IGN if for_good else signal.default_int_handler)
            sys.unraisablehook = self._unraisable
            self._heard = False

    def _come(self, *_: object) -> None:
        if time.monotonic() >= self._came + SEEN_TO:
            self._came = time.monotonic()
            raise KeyboardInterrupt

    def _lost(self, what: Any) -> None:
        if what.exc_type is not KeyboardInterrupt:
            self._unraisable(what)
            return
        self._came = _NEVER
        # To this thread, which may wait for something by then; from another, since this one is still here.
        threading.Timer(AGAIN, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()


CTRL_C = _CtrlC()


@contextmanager
def stopping(so: str, once: Path | None = None) -> Iterator[None]:
    """Say of what is done inside, where Ctrl-C stops it, what becomes of it.

    Args:
        so: what is said.
        once: a file that is made inside; while it is not there, nothing is said, because there is nothing yet.
    """
    CTRL_C.so, CTRL_C.once = so, once
    yield
    CTRL_C.so, CTRL_C.once = "", None
