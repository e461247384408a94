"""Machine code for a plainer processor than this one, which runs here too."""

import platform
from contextlib import contextmanager

import pytest

from thalweg.optim._executors import machine

by_cpu = pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3"])
named_here = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of this kind")


@contextmanager
def plainer(cpu, *makers):
    """Have some cached functions compile for a plainer processor; they forget what they have, before and after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "processor", lambda: (cpu, ""))
        for make in makers:
            make.cache_clear()
        yield
    for make in makers:
        make.cache_clear()
