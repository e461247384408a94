"""The same study with Optuna: one of its studies a recipe, drawn at random; then the other runs, in the same pool.

Usage: python with_optuna.py PLAN.json DATA.npz OUT.npz PROCESSES
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from plain import Run, Task, chosen, loaded, save, train

_task: Task
_journal: str


def tune(trials: list[Run], space: dict[str, Any], seed: int) -> list[Run]:
    """Return as many trials of one recipe as are planned: its defaults, and independent draws."""
    made: list[Run] = []

    def objective(trial: optuna.Trial) -> float:
        drawn = {}
        for name, (kind, *place) in space.items():
            if kind == "choice":
                drawn[name] = trial.suggest_categorical(name, place)
            else:
                drawn[name] = trial.suggest_float(name, *place, log=kind == "log")
        planned = trials[trial.number]
        run = {**planned, "values": planned["values"] | drawn}
        made.append(train(_task, run))
        return float(made[-1]["valid"])

    study = optuna.create_study(
        study_name=trials[0]["recipe"],
        storage=JournalStorage(JournalFileBackend(_journal)),
        sampler=optuna.samplers.RandomSampler(seed=seed),
        direction="maximize" if _task.higher_is_better else "minimize",
    )
    study.enqueue_trial({name: trials[0]["values"][name] for name in space})
    study.optimize(objective, n_trials=len(trials))
    return made


def _made(job: tuple[Any, ...]) -> list[Run]:
    return tune(*job) if len(job) == 3 else [train(_task, job[0])]


def main() -> None:
    global _task, _journal
    plan_path, data_path, out, processes = sys.argv[1:5]
    plan = json.loads(Path(plan_path).read_text())
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _task = loaded(plan["task"], data_path)
    trials: dict[str, list[Run]] = {}
    for run in plan["runs"]:
        if run["arm"] == "tuning":
            trials.setdefault(run["recipe"], []).append(run)
    jobs: list[tuple[Any, ...]] = [(mine, plan["spaces"][name], i) for i, (name, mine) in enumerate(trials.items())]
    jobs += [(run,) for run in plan["runs"] if run["arm"] != "tuning"]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _journal = str(Path(folder) / "journal")
        with multiprocessing.get_context("fork").Pool(int(processes)) as pool:
            runs = [run for part in pool.imap_unordered(_made, jobs) for run in part]
            by_arm = {arm: [run for run in runs if run["arm"] == arm] for arm in ("tuning", "defaults")}
            wanted, there = chosen(*by_arm.values(), higher_is_better=_task.higher_is_better)
            runs += [run for part in pool.imap_unordered(_made, [(run,) for run in wanted]) for run in part]
    a_run = (time.perf_counter() - started) / len(runs)
    print(json.dumps({"runs": len(runs), "a_run": a_run, "beside": 0.0}), flush=True)
    save(out, [*runs, *there])


if __name__ == "__main__":
    main()
