"""How much of this machine a study gets, beside whatever else runs on it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256

__all__ = ["at_once"]

PROBE = 0.15
"""Seconds for which it is tried how much processor time there is."""


@cache
def at_once(processes: int, seconds: float = PROBE) -> float:
    """Return how many of so many processes really work at once, by keeping as many threads busy for a moment.

    On a machine with nothing else to do that is all of them, or as many as there are cores; where others work too, it
    is fewer, and need not be a whole number. It is tried once, and the same afterwards.

    Args:
        processes: how many work at once.
        seconds: how long it is tried, by the clock.

    >>> 0 < at_once(2, 0.05) <= 2
    True
    """
    block = bytes(1 << 18)  # so long that Python lets other threads work meanwhile

    def work(end: float) -> float:
        began = time.thread_time()
        while time.perf_counter() < end:
            sha256(block).digest()
        return time.thread_time() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(processes) as threads:
        worked = sum(threads.map(work, [began + seconds] * processes))
    return float(min(max(worked / (time.perf_counter() - began), 0.05), processes))
