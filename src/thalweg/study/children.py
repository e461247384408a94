"""Processes forked from a study: Ctrl-C does not reach them, and none outlives its parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

__all__ = ["Child", "fork"]


@dataclass
class Child:
    """A process, and this end of the pipe to it."""

    pipe: Connection
    process: Any

    def end(self, patience: float = 0.0) -> int | None:
        """End it, and return its exit code; within ``patience`` seconds it may end by itself."""
        self.process.join(timeout=patience)
        self.process.kill()  # where what the task imported keeps it
        self.process.join()
        self.pipe.close()
        code: int | None = self.process.exitcode
        return code


def fork(work: Callable[[Connection], object]) -> Child:
    """Fork a process, with one thread for torch, that does some work and ends.

    Args:
        work: gets the other end of the pipe; what it closes over is shared with this process as it is now.
    """
    context: Any = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=partial(_begin, work, theirs, os.getpid()), daemon=True)
    with _no_interrupt():
        process.start()
    theirs.close()
    return Child(ours, process)


def _begin(work: Callable[[Connection], object], pipe: Connection, parent: int) -> None:
    _belong_to(parent)
    torch.set_num_threads(1)
    work(pipe)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back, so that a process that is forked meanwhile never gets it; see `_belong_to`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _belong_to(parent: int) -> None:
    """Leave Ctrl-C to the parent; and have the kernel kill this process when that ends, however (Linux's prctl)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
