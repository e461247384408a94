"""Many pieces of memory in one call of a formula's kernel, over as many threads as torch has."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

from thalweg.optim._executors.kernel import WIDTHS

__all__ = ["WIDTHS", "walk", "widths"]

ALONE = 1 << 19
"""Up to so many elements one thread is done before another has been woken and has done its share."""

PIECE = 1 << 16
"""Elements of the pieces that threads take in turn: few enough that they end together."""


def walk(step: Callable[[int, int, int], None], table: np.ndarray, elements: int, widths: np.ndarray) -> None:
    """Update every row of a table by a kernel.

    Args:
        step: see `kernel.kernel`.
        table: int64, shape ``(rows, 4 + states)``: elements, then the addresses of constants, parameter, gradient
            and states. What they point to must outlive the call.
        elements: in all rows.
        widths: see `widths`.
    """
    threads = 1 if elements <= ALONE else torch.get_num_threads()
    if threads == 1:
        step(table.ctypes.data, 0, len(table))
        return
    table, following = _pieces(table, widths), ctypes.c_int64(0)
    work = table.ctypes.data, ctypes.addressof(following), len(table)
    pool = _pool(os.getpid(), threads)
    waiting = [pool.submit(step, *work) for _ in range(1, threads)]
    step(*work)
    for one in waiting:
        one.result()


def widths(dtype: str, states: int) -> np.ndarray:
    """Return the bytes of an element of parameter, gradient and each state."""
    state = 4 if dtype == "bfloat16" else WIDTHS[dtype]
    return np.array([WIDTHS[dtype]] * 2 + [state] * states)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """One for each process: threads do not survive a fork."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="thalweg")


def _pieces(table: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Cut rows into pieces of at most `PIECE` elements, in order."""
    counts = -(-table[:, 0] // PIECE)
    row = np.repeat(np.arange(len(table)), counts)
    starts = PIECE * (np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts))
    cut = table[row]
    cut[:, 2:] += starts[:, None] * widths
    cut[:, 0] = np.minimum(cut[:, 0] - starts, PIECE)
    return cut
