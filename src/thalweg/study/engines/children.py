"""Processes forked from a study: Ctrl-C does not reach them, and none outlives its parent."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

__all__ = ["Child", "fork", "is_forked"]

_IMPORTED = os.getpid()

GRACE = 0.5
"""Seconds that programs have to remove what they have written by half."""


@dataclass
class Child:
    """A process, and this end of the pipe to it.

    Attributes:
        leads: whether it leads a process group of its own: what it has started ends with it.
    """

    pipe: Connection
    process: Any
    leads: bool = False

    def end(self, patience: float = 0.0) -> int | None:
        """End it, and return its exit code; within ``patience`` seconds it may end by itself."""
        wait([self.process.sentinel], patience)
        if self.leads:
            deadline = time.monotonic() + GRACE
            there = _signal_group(self.process.pid, signal.SIGTERM)
            while there and time.monotonic() < deadline:
                self.process.join(0.01)
                there = _signal_group(self.process.pid, 0)
            if there:
                _signal_group(self.process.pid, signal.SIGKILL)
        self.process.kill()  # where what the task imported keeps it
        self.process.join()
        self.pipe.close()
        code: int | None = self.process.exitcode
        return code


def fork(work: Callable[[Connection], object], *, leads: bool = False) -> Child:
    """Fork a process, with one thread for torch, that does some work and ends.

    Args:
        work: gets the other end of the pipe; what it closes over is shared with this process as it is now.
        leads: see `Child`; for one that starts programs, which would outlive it.
    """
    context: Any = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=partial(_begin, work, theirs, os.getpid(), leads), daemon=True)
    with _no_interrupt(), _no_pools():
        process.start()
    theirs.close()
    return Child(ours, process, leads)


def _begin(work: Callable[[Connection], object], pipe: Connection, parent: int, leads: bool) -> None:
    if leads:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, _end_group)
    _belong_to(parent, signal.SIGTERM if leads else signal.SIGKILL)
    _end_first()
    torch.set_num_threads(1)
    gc.freeze()  # what is there is the parent's: to look through it for garbage would copy its pages
    work(pipe)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back, so that a process that is forked meanwhile never gets it; see `_belong_to`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_forked() -> bool:
    """Return whether this process was itself forked: OpenMP may then know of threads that only its parent has."""
    by_multiprocessing = multiprocessing.parent_process() is not None and multiprocessing.get_start_method() == "fork"
    return os.getpid() != _IMPORTED or by_multiprocessing


@contextmanager
def _no_pools() -> Iterator[None]:
    """Be without the threads of OpenMP and OpenCV inside a ``with``: a child that was forked would wait for them."""
    if not is_forked():  # or this process would wait for its parent's
        with suppress(AttributeError):  # of OpenMP before 5.0, and of libraries whose pools survive a fork
            ctypes.CDLL(None).omp_pause_resource_all(1)
    cv2 = sys.modules.get("cv2")
    before = cv2.getNumThreads() if cv2 is not None else 1
    if cv2 is not None:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        if cv2 is not None:
            cv2.setNumThreads(before)


def _belong_to(parent: int, number: signal.Signals) -> None:
    """Leave Ctrl-C to the parent; and get a signal from the kernel when that ends, however (Linux's prctl)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)
    if os.getppid() != parent:
        os._exit(1)


def _end_first() -> None:
    """Have the kernel end this process, which can be begun again, before its parent where memory runs out (Linux)."""
    place = Path("/proc/self/oom_score_adj")
    with suppress(OSError):
        place.write_text(str(min(1000, int(place.read_text()) + 500)))


def _signal_group(leader: int, number: int) -> bool:
    """Send a signal to a process group, 0 for none; return whether anybody is there."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end_group(*_: object) -> None:
    """End this process with all that it has started; compilers remove what they have written by half."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.killpg(0, signal.SIGTERM)
