"""How long a whole study takes: the command of `make demo`, and the same runs by other means."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from clock import met, table
from thalweg.study.facts import cores
from thalweg.study.verdict import Arm, verdict
from whole import PROCESSES, ROOT, Done, nothing_cached, ours, peer, prepared

TIMES, TARGET = 3, 120.0

CACHED, COLD = 4.0, 2.0
"""How many times less wall time than the best of the others: compiled code cached; from a cold start."""

RAY_EVERY = 4
"""Ray Tune makes one run in so many, and its time is scaled: each of its trials costs more than the run in it."""

CODE = """
import torch, thalweg as tw
from thalweg.train.planner import graphs, measure
torch.set_num_threads(1)
task, kind = tw.load_task("digits"), tw.Recipe().resolved().together()
for graph in graphs(task, kind, measure(task, kind, processes=2)):
    graph.make()
"""
"""What fills the cache: a study as short as the demo's takes code that is there, and has none compiled."""

STAND_INS = ("adam_uncorrected", "yogi")
"""Recipes of which the others have something else, as costly."""

BY = {"plain.py": "plain PyTorch", "with_optuna.py": "Optuna", "with_ray.py": "Ray Tune"}


def section() -> str:
    with nothing_cached() as folder:
        return _section(folder)


def _section(folder: Path) -> str:
    arguments = demo()
    cold = ours(arguments)
    subprocess.run([sys.executable, "-c", CODE], check=True)
    cached = [ours(arguments) for _ in range(TIMES)]
    files = prepared(folder, "digits", cached[0].plan)
    others = {script: peer(script, files, cached[0].runs) for script in ("plain.py", "with_optuna.py")}
    others["with_ray.py"] = peer("with_ray.py", files, cached[0].runs, every=RAY_EVERY)
    same = agreement(cached[0].verdict, files["out"].with_name("plain.npz"))
    return "\n\n".join([_alone(cached), _beside(cold, cached, others), same])


# -- the page ----------------------------------------------------------------------------------------------------


def _alone(done: Sequence[Done]) -> str:
    walls, cpus, one = [x.wall for x in done], [x.cpu for x in done], done[-1]
    wall, cpu = median(walls), median(cpus)
    rows = [
        ["wall", f"{wall:.1f} s ({min(walls):.1f} to {max(walls):.1f})", f"≤ {TARGET:.0f} s", met(wall <= TARGET)],
        ["CPU, all processes", f"{cpu:.1f} s ({min(cpus):.1f} to {max(cpus):.1f})", "", ""],
        ["CPU / cores: the wall time were both cores always busy", f"{cpu / cores():.1f} s", "", ""],
        ["CPU inside the training loop", f"{one.training:.1f} s", "", ""],
        ["runs", f"{one.runs} of {one.recipes} recipes, {one.steps:,} steps in all", "", ""],
        ["runs a second of wall time", f"{one.runs / wall:.1f}", "", ""],
    ]
    return f"""## The study of `make demo`

The Makefile's command, from its start to the report: imports, planning, {one.runs} runs, verdict and page. Medians
of {TIMES} (least to most), compiled code cached.

{table(["", "measured", "target", ""], rows)}"""


def _beside(cold: Done, cached: Sequence[Done], others: Mapping[str, float]) -> str:
    best = min(others.values())
    walls = {"compiled code cached": (median(x.wall for x in cached), CACHED), "nothing cached": (cold.wall, COLD)}
    rows = [
        [f"thalweg, {how}", f"{wall:.1f} s", f"{best / wall:.1f}", f"≥ {target:g}", met(best / wall >= target)]
        for how, (wall, target) in walls.items()
    ]
    rows += [[BY[script], f"{seconds:.1f} s", f"{best / seconds:.1f}", "", ""] for script, seconds in others.items()]
    return f"""### The same study by other means

Wall time of whole commands, {PROCESSES} processes each, one thread a process; in the others' hands the same runs: the
trials, the chosen setting and the defaults on the same number of seeds, and the sensitivity to the rate. They share
one run, which is written by hand: eager steps, torch's fused optimizers where there are any, data in memory, the
validation split after every epoch; Yogi is pytorch_optimizer's, and Adam stands in for Adam without its correction.
Optuna draws its own trials. Ray Tune made one run in {RAY_EVERY} (its actors used again, its loggers off); for the
others is added what one run more takes, the difference between many and few.
Compiled code is there from a longer study of the same model, since one as short as this has none compiled; the
others, and ours with nothing cached, were timed once.

{table(["by", "wall", "best of the others ÷ it", "target", ""], rows)}"""


def agreement(ours: Mapping[str, Any], theirs: Path) -> str:
    """Return, in words, how the verdict on plain PyTorch's outcomes stands beside ours."""
    with np.load(theirs) as kept:
        arms = {
            arm: {key.removeprefix(f"{arm}/"): kept[key] for key in kept.files if key.startswith(f"{arm}/")}
            for arm in ("chosen", "defaults")
        }
    names = [row["name"] for row in ours["recipes"] if row["arm"] == "chosen"]
    made = {arm: {name: Arm(scores[name], runs=len(scores[name])) for name in names} for arm, scores in arms.items()}
    metric = {"name": ours["metric"], "higher_is_better": ours["higher_is_better"], "unit": ours["unit"]}
    other = verdict(made["chosen"], made["defaults"], metric=metric)
    holds = ours["best"] in other["tied"] and other["best"] in ours["tied"]
    rows, far = [], []
    for name in names:
        cells = [name]
        for arm in ("chosen", "defaults"):
            a, b = (_row(found, name, arm) for found in (ours, other))
            apart = (b["mean"] - a["mean"]) / max(1e-12, float(np.hypot(_half(a), _half(b))))
            cells += [f"{a['mean']:.2%}", f"{b['mean']:.2%}", f"{apart:+.1f}"]
        rows.append(cells)
        if abs(apart) > 1 and name not in STAND_INS:
            far.append(name)
    where = f" {', '.join(far)} {'is' if len(far) == 1 else 'are'} outside." if far else " None is outside."
    same = (
        f"ahead: {ours['best']} here, {other['best']} there; each cannot be told apart from the other's: {met(holds)}"
    )
    return f"""The verdict on plain PyTorch's outcomes, by thalweg's own statistics: {same}.

Mean test {ours["metric"]}, and how far apart the two are in half widths of the 95% interval of their difference
(over seeds). At its defaults a recipe is the same here and there, but for its seeds, and is to be within 1 nineteen
times in twenty.{where} A chosen setting is another one where the trials were luckier.

{table(["recipe", "chosen, here", "there", "apart", "defaults, here", "there", "apart"], rows)}"""


def _row(found: Mapping[str, Any], name: str, arm: str) -> dict[str, Any]:
    return next(row for row in found["recipes"] if (row["name"], row["arm"]) == (name, arm))


def _half(row: Mapping[str, Any]) -> float:
    low, high = row["seeds"] or (0.0, 0.0)
    return float(high - low) / 2


def demo() -> list[str]:
    """Return the arguments that `make demo` gives to thalweg."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^\t\$\(BIN\)/thalweg ((?:.*\\\n)*.*)", text, re.MULTILINE)
    assert found is not None, "the Makefile runs thalweg"
    return shlex.split(found[1].replace("\\\n", " "))
