"""Many pieces of memory in one call of a formula's kernel, over as many threads as torch has."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue

import numpy as np
import torch

from thalweg.optim._executors.kernel import PIECE, WIDTHS

__all__ = ["ALONE", "PIECE", "WIDTHS", "walk"]

ALONE = 1 << 19
"""Up to so many elements one thread is done before another has been woken and has done its share."""

Kernel = Callable[[int, int, int], None]


def walk(step: Kernel, table: np.ndarray, elements: int) -> None:
    """Update every row of a table by a kernel.

    Args:
        step: see `kernel.kernel`.
        table: int64, shape ``(rows, 4 + states)``: elements, then the addresses of constants, parameter, gradient
            and states. What they point to must outlive the call.
        elements: in all rows.
    """
    threads = 1 if elements <= ALONE else torch.get_num_threads()
    if threads == 1:
        step(table.ctypes.data, 0, len(table))
        return
    shared = np.zeros(2, np.int64)
    work = step, table, shared
    helpers = _helpers(os.getpid(), threads - 1)
    for _ in range(threads - 1):
        helpers.put(work)
    _share(*work)


def _share(step: Kernel, table: np.ndarray, shared: np.ndarray) -> None:
    step(table.ctypes.data, shared.ctypes.data, len(table))


@cache
def _helpers(process: int, threads: int) -> SimpleQueue[tuple[Kernel, np.ndarray, np.ndarray]]:
    """Return where so many threads wait for work; those of each process are its own, for none survives a fork."""
    waiting: SimpleQueue[tuple[Kernel, np.ndarray, np.ndarray]] = SimpleQueue()

    def help_out() -> None:
        while True:
            _share(*waiting.get())

    for i in range(threads):
        threading.Thread(target=help_out, name=f"thalweg-{i}", daemon=True).start()
    return waiting
