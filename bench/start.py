"""How long the command line takes to answer at all."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from clock import met, spent, table

TIMES, TARGET = 11, 0.3
COMMANDS = {
    "thalweg --help": [str(Path(sys.executable).with_name("thalweg")), "--help"],
    "python -c 'import thalweg'": [sys.executable, "-c", "import thalweg"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def section() -> str:
    rows = []
    for name, command in COMMANDS.items():
        spent(command)  # fills the disk's cache
        walls, cpus = zip(*(spent(command) for _ in range(TIMES)), strict=True)
        wall, cpu = median(walls), median(cpus)
        target = [f"≤ {TARGET} s", met(wall <= TARGET)] if name == "thalweg --help" else ["", ""]
        rows.append([f"`{name}`", f"{wall:.3f} s", f"{cpu:.3f} s", *target])
    return f"""## Start

Whole processes, medians of {TIMES}; the first run, which reads from the disk, is left out.

{table(["command", "wall", "CPU", "target of the wall time", ""], rows)}
"""
