"""What looking costs: checking a task before it is trained on.

Not called inspect.py: with ``python bench``, this folder comes before the standard library, which has one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import report
import watching
from clock import met, spent, table

TIMES, TARGET = 5, 15.0
TASKS = ("digits", "digits-cnn", "wine", "breast_cancer", "diabetes", "docstrings", "pysource")


def section() -> str:
    return "\n\n".join(["## Inspection", *(part() for part in PARTS)])


def checks() -> str:
    """``thalweg check`` on each built-in task, whole processes."""
    command = str(Path(sys.executable).with_name("thalweg"))
    rows = []
    for name in TASKS:
        walls, cpus = zip(*(spent([command, "check", name]) for _ in range(TIMES)), strict=True)
        target = [f"≤ {TARGET:g} s", met(median(walls) <= TARGET)] if name == "digits" else ["", ""]
        rows.append([f"`thalweg check {name}`", f"{median(walls):.1f} s", f"{median(cpus):.1f} s", *target])
    return f"""### A task, checked

Whole processes, medians of {TIMES}; nothing wrong is found in any of them, or the command would have ended with 1.

{table(["command", "wall", "CPU", "target of the wall time", ""], rows)}"""


PARTS = (checks, report.figures, watching.figures)
"""What this section measures, in order; each returns Markdown."""
