"""The same runs with Ray Tune: each run one of its trials, actors used again, nothing logged but the results.

Usage: python with_ray.py PLAN.json DATA.npz OUT.npz PROCESSES [EVERY]    # one run in so many; all if not given
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0"}

from plain import Run, chosen, loaded, save, train

import ray
from ray import tune


def trial(config: dict[str, Any]) -> None:
    """Make one run and report it once, at its end."""
    run = train(loaded(config["task"], config["data"]), config["run"])
    tune.report({"run": run, "valid": run["valid"]})


def fit(runs: Sequence[Run], task: str, data: str, folder: str, processes: int) -> list[Run]:
    """Return the runs, made by one call of the tuner."""
    tuner = tune.Tuner(
        trial,
        param_space={"task": task, "data": data, "run": tune.grid_search(list(runs))},
        tune_config=tune.TuneConfig(max_concurrent_trials=processes, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )
    results = list(tuner.fit())
    if failed := [result.error for result in results if result.error]:
        raise RuntimeError(f"{len(failed)} trials failed; the first: {failed[0]}")
    return [result.metrics["run"] for result in results]


def main() -> None:
    plan_path, data, out, processes = sys.argv[1:5]
    every = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    plan = json.loads(Path(plan_path).read_text())
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init("local", num_cpus=int(processes), **quiet)
    place = (plan["task"], str(Path(data).resolve()))
    few, part, begun = plan["runs"][: 2 * int(processes)], plan["runs"][::every], 0.0
    with tempfile.TemporaryDirectory() as folder:
        there: list[Run] = []
        if every > 1:  # to know what a fit costs by itself
            started = time.perf_counter()
            fit(few, *place, folder, int(processes))
            begun = time.perf_counter() - started
        started = time.perf_counter()
        runs = fit(part, *place, folder, int(processes))
        if every == 1:
            by_arm = {arm: [run for run in runs if run["arm"] == arm] for arm in ("tuning", "defaults")}
            wanted, there = chosen(*by_arm.values(), higher_is_better=loaded(*place).higher_is_better)
            runs += fit(wanted, *place, folder, int(processes))
        spent = time.perf_counter() - started
    a_run = (spent - begun) / (len(runs) - len(few) * (every > 1))
    print(json.dumps({"runs": len(runs), "a_run": a_run, "beside": begun}), flush=True)
    if every == 1:
        save(out, [*runs, *there])
    ray.shutdown()


if __name__ == "__main__":
    main()
