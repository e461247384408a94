"""What a command costs, and how a figure stands beside its target."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Sequence


def spent(command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return its wall seconds and the CPU seconds of it and of all its processes."""
    before, started = _cpu(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return wall, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def met(holds: bool) -> str:
    return "met" if holds else "**missed**"
