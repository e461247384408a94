"""Many pieces of memory in one call of a formula's kernel, over as many threads as torch has."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import numpy as np
import torch

from thalweg.optim._executors.kernel import WIDTHS, kernel
from thalweg.optim._technique import Optimizer

__all__ = ["WIDTHS", "run"]

ALONE = 1 << 16
"""Up to so many elements one thread is quicker than waking another."""

PIECE = 1 << 18
"""Elements of the pieces that threads take: some thousand times what handing one out costs."""


def run(technique: Optimizer, dtype: str, table: np.ndarray, before: tuple[str, ...] = ()) -> None:
    """Update every row of a table of addresses; see `kernel.kernel`.

    Args:
        technique: whose formula, of scope ``element``.
        dtype: of the parameters, a name in `WIDTHS`.
        table: int64, shape ``(rows, 4 + states)``: elements, then the addresses of constants, parameter, gradient
            and states. What they point to must outlive the call.
        before: names in `lifting.BEFORE`.
    """
    step = kernel(technique, dtype, before)
    threads = torch.get_num_threads()
    if threads > 1 and table[:, 0].sum() > ALONE:
        table = _pieces(table, dtype)
        parts = np.linspace(0, len(table), min(threads, len(table)) + 1).astype(int)
        pool = _pool(os.getpid(), threads)
        ends = list(zip(parts[:-1].tolist(), parts[1:].tolist(), strict=True))
        waiting = [pool.submit(step, table.ctypes.data, *end) for end in ends[1:]]
        step(table.ctypes.data, *ends[0])
        wait(waiting)
    else:
        step(table.ctypes.data, 0, len(table))


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """One for each process: threads do not survive a fork."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="thalweg")


def _pieces(table: np.ndarray, dtype: str) -> np.ndarray:
    """Cut rows into pieces of at most `PIECE` elements, in order."""
    counts = -(-table[:, 0] // PIECE)
    row = np.repeat(np.arange(len(table)), counts)
    starts = PIECE * (np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts))
    cut = table[row].copy()
    state = 4 if dtype == "bfloat16" else WIDTHS[dtype]
    widths = np.array([WIDTHS[dtype]] * 2 + [state] * (table.shape[1] - 4))
    cut[:, 2:] += starts[:, None] * widths
    cut[:, 0] = np.minimum(cut[:, 0] - starts, PIECE)
    return cut
