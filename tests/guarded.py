"""Arrays between closed pages of memory: what is read or written outside of one ends the process."""

import ctypes
import mmap
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

_LIBC = ctypes.CDLL(None, use_errno=True)
_KEPT = []


def guarded(shape, dtype, at_end):
    """Return an array that begins where the first open page does, or ends where the last one does."""
    page, count = mmap.PAGESIZE, int(np.prod(shape)) * np.dtype(dtype).itemsize
    inside = -(-count // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for closed in (start, start + page + inside):
        assert _LIBC.mprotect(ctypes.c_void_p(closed), ctypes.c_size_t(page), 0) == 0
    _KEPT.append(memory)
    offset = page + (inside - count if at_end else 0)
    return np.frombuffer(memory, dtype, int(np.prod(shape)), offset).reshape(shape)


def must_survive(code):
    """Run a program that may import this file, in a process of its own, and say where it did not come to its end."""
    begin = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    program = begin + textwrap.dedent(code) + "\nprint('done')\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "done\n", (done.returncode, done.stderr[-500:])
