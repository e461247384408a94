"""Whole studies as commands, timed from their start to the report, and the same runs by other means.

The others are in `peers_study/`, and run in the environment of the peers: `make .venv-peers/installed`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import thalweg as tw
from clock import spent
from thalweg.recipe import Recipe
from thalweg.record import Store
from thalweg.technique import Choice, LogUniform

PROCESSES = 2
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers/bin/python"


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


@contextmanager
def nothing_cached() -> Iterator[Path]:
    """Give thalweg and Inductor caches that are empty; return the folder that holds them."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"THALWEG_CACHE": f"{folder}/thalweg", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        try:
            yield Path(folder)
        finally:
            del os.environ["THALWEG_CACHE"], os.environ["TORCHINDUCTOR_CACHE_DIR"]


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
