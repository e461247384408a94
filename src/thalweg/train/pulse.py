"""Signs of life from what may take long, for whoever takes silence for a standstill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["beat", "heard"]

EVERY = 1.0
"""Seconds between two signs, at least."""


@dataclass
class _Listener:
    tell: Callable[[], None]
    told: float


_LISTENER: ContextVar[_Listener | None] = ContextVar("thalweg_listener", default=None)


def beat() -> None:
    """Give a sign of life, to be called wherever seconds may have passed; nothing happens where nobody listens."""
    one = _LISTENER.get()
    if one is not None and (now := time.monotonic()) - one.told >= EVERY:
        one.told = now
        one.tell()


@contextmanager
def heard(tell: Callable[[], None]) -> Iterator[None]:
    """Have a function called about once a second, as long as there are signs of life inside a ``with``.

    >>> with heard(lambda: print("alive")):
    ...     beat()  # within the first second
    """
    before = _LISTENER.set(_Listener(tell, time.monotonic()))
    try:
        yield
    finally:
        _LISTENER.reset(before)
