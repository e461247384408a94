"""How long whole studies take: the command of `make demo`, and the same runs by other means.

The others are in `peers_study/`, and run in the environment of the peers: `make .venv-peers/installed`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import thalweg as tw
from clock import met, spent, table
from thalweg.recipe import Recipe
from thalweg.record import Store
from thalweg.study.facts import cores
from thalweg.study.verdict import Arm, verdict
from thalweg.technique import Choice, LogUniform

TIMES, TARGET = 3, 120.0
PROCESSES = 2
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers/bin/python"

CACHED, COLD, TEXT = 4.0, 2.0, 3.0
"""How many times less wall time than the best of the others: compiled code cached; from a cold start; pysource."""

RAY_EVERY = 4
"""Ray Tune makes one run in so many, and its time is scaled: each of its trials costs more than the run in it."""

PYSOURCE = "optimizer=momentum,nesterov,adam,adamw"
PYSOURCE_SEEDS, PYSOURCE_EPOCHS, PYSOURCE_EVERY = 11, 2, 8
"""204 runs at most, each a quarter as long as the task's own 8 epochs: what is paid once weighs the more. By plain
PyTorch one run in eight, scaled."""

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


@dataclass(frozen=True)
class Done:
    """A study that thalweg has made: seconds of the whole command, and what the others are given to do the same.

    Attributes:
        wall, cpu: seconds of the whole command.
        runs: how many there were.
        recipes: how many were compared.
        steps: of all runs.
        training: CPU seconds inside the training loop.
        plan: every run but those of the chosen settings, which follow from the trials.
        verdict: as the study's store has it.
    """

    wall: float
    cpu: float
    runs: int
    recipes: int
    steps: int
    training: float
    plan: dict[str, Any]
    verdict: dict[str, Any]


def section() -> str:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"THALWEG_CACHE": f"{folder}/thalweg", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        try:
            return _section(Path(folder))
        finally:
            del os.environ["THALWEG_CACHE"], os.environ["TORCHINDUCTOR_CACHE_DIR"]


def _section(folder: Path) -> str:
    arguments = demo()
    cold = ours(arguments)
    subprocess.run([sys.executable, "-c", CODE], check=True)
    cached = [ours(arguments) for _ in range(TIMES)]
    files = prepared(folder, "digits", cached[0].plan)
    others = {script: peer(script, files, cached[0].runs) for script in ("plain.py", "with_optuna.py")}
    others["with_ray.py"] = peer("with_ray.py", files, cached[0].runs, every=RAY_EVERY)
    same = agreement(cached[0].verdict, files["out"].with_name("plain.npz"))
    return "\n\n".join([_alone(cached), _beside(cold, cached, others), same, _pysource(folder)])


# -- measuring ---------------------------------------------------------------------------------------------------


def ours(arguments: Sequence[str]) -> Done:
    """Run thalweg's command into a new directory."""
    arguments = list(arguments)
    with tempfile.TemporaryDirectory() as out:
        arguments[arguments.index("--out") + 1] = out
        wall, cpu = spent([sys.executable, "-m", "thalweg", *arguments])
        with Store(Path(out)) as store:
            runs = store.runs().values()
            steps, training = sum(run.steps for run in runs), sum(run.cpu_seconds for run in runs)
            found = store.get("verdict")
            return Done(wall, cpu, len(runs), len(store.recipes()), steps, training, planned(store), found)


def planned(store: Store) -> dict[str, Any]:
    """Return a study's runs as plain numbers and words: those of its first arms, and each recipe's space."""
    runs = store.runs()
    found = []
    for entry in (entry for arm in ("tuning", "defaults", "sensitivity") for entry in store.entries(arm)):
        run = runs[entry.run]
        recipe = tomllib.loads(run.recipe)
        values = dict(recipe["optimizer"])
        found.append({
            "arm": entry.arm, "recipe": entry.recipe, "setting": entry.setting, "repeat": entry.repeat,
            "optimizer": values.pop("name"), "values": values, "batch_size": recipe["batch_size"],
            "epochs": recipe["epochs"], "seed": run.seed,
        })  # fmt: skip
    spaces = {row.name: _space(Recipe.from_toml(row.declared)) for row in store.recipes()}
    return {"task": store.get("task")["name"], "runs": found, "spaces": spaces}


def _space(recipe: Recipe) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for path, place in recipe.space().items():
        name = path.removeprefix("optimizer.")
        if isinstance(place, Choice):
            found[name] = ["choice", *place.values]
        else:
            found[name] = ["log" if isinstance(place, LogUniform) else "even", place.low, place.high]
    return found


def prepared(folder: Path, task: str, plan: Mapping[str, Any]) -> dict[str, Path]:
    """Write what the others are given: the plan, and the task's data as the task holds them."""
    made = tw.load_task(task)
    files = {"plan": folder / f"{task}.json", "data": folder / f"{task}.npz", "out": folder / "out.npz"}
    files["plan"].write_text(json.dumps(plan), encoding="utf-8")
    arrays = {}
    for word in ("train", "valid", "test"):
        part = getattr(made, word)
        arrays |= {f"{word}_x": part.inputs.numpy(), f"{word}_y": part.targets.numpy()}
    np.savez(files["data"], **arrays)
    return files


def peer(script: str, files: Mapping[str, Path], runs: int, every: int = 1) -> float:
    """Return the wall seconds of a whole study by one of the others; what a part of one leaves out is added."""
    name = Path(script).stem
    command = [PEERS, ROOT / "bench/peers_study" / script, files["plan"], files["data"], files["out"].with_stem(name)]
    command += [PROCESSES, every] if every > 1 else [PROCESSES]
    started = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    wall = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
    found = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"runs"'))
    print(f"{name}: {wall:.1f} s for {found['runs']} runs, {found['a_run']:.3f} s one more", file=sys.stderr)
    return float(wall if every == 1 else wall - found["beside"] + found["a_run"] * (runs - found["runs"]))


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


def _pysource(folder: Path) -> str:
    arguments = ["compare", "pysource", "--epochs", str(PYSOURCE_EPOCHS), "--seeds", str(PYSOURCE_SEEDS)]
    arguments += ["--vary", PYSOURCE, "--out", "pysource"]
    done = [ours(arguments), ours(arguments)]
    files = prepared(folder, "pysource", done[0].plan)
    plain = peer("plain.py", files, done[0].runs, every=PYSOURCE_EVERY)
    words = ("nothing cached", "compiled code cached")
    rows = [
        [
            f"thalweg, {word}",
            f"{one.wall:.1f} s",
            f"{plain / one.wall:.1f}",
            f"≥ {TEXT:g}",
            met(plain / one.wall >= TEXT),
        ]
        for word, one in zip(words, done, strict=True)
    ]
    rows.append(["plain PyTorch", f"{plain:.1f} s", "1.0", "", ""])
    command = shlex.join(["thalweg", *arguments[:-2]])
    return f"""### pysource

`{command}`: {done[0].runs} runs of the small transformer, each
{PYSOURCE_EPOCHS} epochs long and not the task's own 8, so that what is paid once weighs the more. Plain PyTorch made
one run in {PYSOURCE_EVERY}; for the others is added as much for each.

{table(["by", "wall", "plain PyTorch ÷ it", "target", ""], rows)}
"""


def demo() -> list[str]:
    """Return the arguments that `make demo` gives to thalweg."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^\t\$\(BIN\)/thalweg ((?:.*\\\n)*.*)", text, re.MULTILINE)
    assert found is not None, "the Makefile runs thalweg"
    return shlex.split(found[1].replace("\\\n", " "))
