"""How long the study of `make demo` takes: the command as it stands in the Makefile."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from pathlib import Path
from statistics import median

from clock import met, spent, table
from thalweg.record import Store
from thalweg.study.facts import cores

TIMES, TARGET = 3, 120.0
MAKEFILE = Path(__file__).parents[1] / "Makefile"


def section() -> str:
    arguments = demo()
    walls, cpus = [], []
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory() as out:
            arguments[arguments.index("--out") + 1] = out
            wall, cpu = spent([sys.executable, "-m", "thalweg", *arguments])
            with Store(Path(out)) as store:
                runs, recipes = store.runs(), len(store.recipes())
        walls.append(wall)
        cpus.append(cpu)
    wall, cpu = median(walls), median(cpus)
    training, steps = sum(run.cpu_seconds for run in runs.values()), sum(run.steps for run in runs.values())
    rows = [
        ["wall", f"{wall:.1f} s ({min(walls):.1f} to {max(walls):.1f})", f"≤ {TARGET:.0f} s", met(wall <= TARGET)],
        ["CPU, all processes", f"{cpu:.1f} s ({min(cpus):.1f} to {max(cpus):.1f})", "", ""],
        ["CPU / cores: the wall time were both cores always busy", f"{cpu / cores():.1f} s", "", ""],
        ["CPU inside the training loop", f"{training:.1f} s", "", ""],
        ["runs", f"{len(runs)} of {recipes} recipes, {steps:,} steps in all", "", ""],
        ["runs a second of wall time", f"{len(runs) / wall:.1f}", "", ""],
    ]
    return f"""## The study of `make demo`

The Makefile's command, from its start to the report: imports, planning, {len(runs)} runs, verdict and page. Medians
of {TIMES} (least to most).

{table(["", "measured", "target", ""], rows)}
"""


def demo() -> list[str]:
    """Return the arguments that `make demo` gives to thalweg."""
    found = re.search(r"^\t\$\(BIN\)/thalweg ((?:.*\\\n)*.*)", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, "the Makefile runs thalweg"
    return shlex.split(found[1].replace("\\\n", " "))
