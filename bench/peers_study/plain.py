"""A whole study in plain PyTorch, as one writes it by hand: a pool of processes over runs.

Usage: python plain.py PLAN.json DATA.npz OUT.npz PROCESSES [EVERY]    # one run in so many; all if not given

The plan says which runs: of each recipe its trials, its defaults and its sensitivity to the rate; the chosen
setting's runs follow from the trials. Prints how many runs it made, how much wall time one more takes, and the
seconds that it spent on knowing that.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Run = dict[str, Any]
"""``recipe``, ``optimizer`` with its ``values``, ``batch_size``, ``epochs``, ``seed``; ``arm`` and ``setting``."""

CHUNK = 256
"""How many examples pass at once in evaluation."""

SETTING = ("recipe", "optimizer", "values", "batch_size", "epochs", "setting")
"""What a run's chosen setting hands on to the runs on other seeds."""


# -- one run -----------------------------------------------------------------------------------------------------


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def accuracy(output: Tensor, targets: Tensor) -> Tensor:
    return (output.argmax(1) == targets).float()


class Task:
    """Data in memory, and what to do with them."""

    def __init__(self, name: str, path: str) -> None:
        with np.load(path) as data:
            self.data = {name: torch.from_numpy(data[name]) for name in data.files}
        self.model: Callable[[], nn.Module] = mlp
        self.loss, self.metric, self.higher_is_better = F.cross_entropy, accuracy, True
        if name == "pysource":
            from thalweg.task import pysource

            self.model, self.loss, self.metric = pysource.Transformer, pysource.loss, pysource.bits
            self.higher_is_better = False

    def outcomes(self, model: nn.Module, split: str) -> Tensor:
        """Return the metric of every example."""
        x, y = self.data[f"{split}_x"], self.data[f"{split}_y"]
        model.eval()
        with torch.no_grad():
            parts = [self.metric(model(a), b) for a, b in zip(x.split(CHUNK), y.split(CHUNK), strict=True)]
        return torch.cat(parts)


@cache
def loaded(name: str, path: str) -> Task:
    """Return a task, read once in a process that has one thread from then on."""
    torch.set_num_threads(1)
    return Task(name, path)


def make_optimizer(name: str, params: Iterable[nn.Parameter], values: dict[str, float]) -> torch.optim.Optimizer:
    """Return torch's own in its quickest mode; of those that it lacks, another library's or the nearest in cost."""
    lr, eps = values["lr"], values.get("eps", 1e-8)
    betas = values.get("beta1", 0.9), values.get("beta2", 0.999)
    decay = values.get("weight_decay", 0.0)
    match name:
        case "sgd" | "momentum" | "nesterov":
            rho = values.get("momentum", 0.0)
            return torch.optim.SGD(params, lr, momentum=rho, nesterov=name == "nesterov", fused=True)
        case "adagrad":
            return torch.optim.Adagrad(params, lr, lr_decay=values["lr_decay"], eps=eps, fused=True)
        case "adadelta":
            return torch.optim.Adadelta(params, lr, rho=values["rho"], eps=eps, foreach=True)
        case "rmsprop":
            return torch.optim.RMSprop(params, lr, alpha=values["beta"], eps=eps, foreach=True)
        case "adam" | "adam_l2" | "amsgrad" | "adam_uncorrected":  # the last without its missing correction
            return torch.optim.Adam(params, lr, betas, eps, decay, amsgrad=name == "amsgrad", fused=True)
        case "adamw":
            return torch.optim.AdamW(params, lr, betas, eps, decay, fused=True)
        case "nadam":
            return torch.optim.NAdam(params, lr, betas, eps, momentum_decay=values["psi"], foreach=True)
        case "yogi":
            import pytorch_optimizer

            return pytorch_optimizer.Yogi(params, lr, betas, eps=eps)
    raise ValueError(f"no optimizer for {name}")


def train(task: Task, run: Run) -> Run:
    """Train once; return the run with its curve, its last scores and every test example's outcome."""
    torch.manual_seed(run["seed"] % 2**63)
    model = task.model()
    optimizer = make_optimizer(run["optimizer"], model.parameters(), run["values"])
    x, y, size = task.data["train_x"], task.data["train_y"], run["batch_size"]
    curve = []
    for _ in range(run["epochs"]):
        model.train()
        batches = torch.randperm(len(x)).split(size)
        total = torch.zeros(())
        for rows in batches:
            optimizer.zero_grad()
            loss = task.loss(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        curve.append((float(total) / len(batches), float(task.outcomes(model, "valid").mean())))
        if not np.isfinite(curve[-1][0]):  # diverged: what is left would be NaN too
            break
    scores = {split: task.outcomes(model, split) for split in ("train", "valid", "test")}
    valid = float(scores["valid"].mean()) if np.isfinite(curve[-1][0]) else float("nan")
    if not np.isfinite(valid):  # counted as the model that it began as
        torch.manual_seed(run["seed"] % 2**63)
        scores["test"] = task.outcomes(task.model(), "test")
    test = scores["test"].numpy()
    return run | {"curve": curve, "train": float(scores["train"].mean()), "valid": valid, "test": test}


# -- the study ---------------------------------------------------------------------------------------------------


def best(runs: Iterable[Run], *, higher_is_better: bool) -> dict[str, Run]:
    """Return each recipe's best trial by its last validation score."""
    sign = 1.0 if higher_is_better else -1.0
    found: dict[str, tuple[float, Run]] = {}
    for run in sorted(runs, key=lambda run: run["setting"]):
        score = sign * run["valid"] if np.isfinite(run["valid"]) else -np.inf
        if run["recipe"] not in found or score > found[run["recipe"]][0]:
            found[run["recipe"]] = score, run
    return {recipe: run for recipe, (_, run) in found.items()}


def chosen(trials: Iterable[Run], defaults: Sequence[Run], *, higher_is_better: bool) -> tuple[list[Run], list[Run]]:
    """Return the chosen settings' runs on the defaults' seeds: those to be made, and those made as defaults."""
    wanted, there = [], []
    picked = best(trials, higher_is_better=higher_is_better)
    for run in defaults:
        trial = picked[run["recipe"]]
        if trial["values"] == run["values"]:
            there.append(run | {"arm": "chosen", "setting": trial["setting"]})
        else:
            kept = {key: trial[key] for key in SETTING}
            wanted.append({**kept, "arm": "chosen", "seed": run["seed"], "repeat": run["repeat"]})
    return wanted, there


def save(path: str, runs: Sequence[Run]) -> None:
    """Write the outcomes of the two arms that are judged, shape ``(repeats, examples)``, by arm and recipe."""
    arms = sorted({(run["arm"], run["recipe"]) for run in runs if run["arm"] in ("defaults", "chosen")})
    outcomes = {}
    for arm, recipe in arms:
        mine = [run for run in runs if (run["arm"], run["recipe"]) == (arm, recipe)]
        mine.sort(key=lambda run: run["repeat"])
        outcomes[f"{arm}/{recipe}"] = np.stack([run["test"] for run in mine])
        print(f"{arm} {recipe}: {outcomes[f'{arm}/{recipe}'].mean():.4f}", file=sys.stderr)
    settings = {f"setting/{run['recipe']}": np.array(run["setting"]) for run in runs if run["arm"] == "chosen"}
    np.savez(path, **outcomes, **settings)


_task: Task


def _made(run: Run) -> Run:
    return train(_task, run)


def main() -> None:
    global _task
    plan_path, data_path, out, processes = sys.argv[1:5]
    every = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    plan = json.loads(Path(plan_path).read_text())
    _task = loaded(plan["task"], data_path)
    started = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(int(processes)) as pool:
        runs = list(pool.imap_unordered(_made, plan["runs"][::every]))
        there: list[Run] = []
        if every == 1:
            by_arm = {arm: [run for run in runs if run["arm"] == arm] for arm in ("tuning", "defaults")}
            wanted, there = chosen(*by_arm.values(), higher_is_better=_task.higher_is_better)
            runs += list(pool.imap_unordered(_made, wanted))
    a_run = (time.perf_counter() - started) / len(runs)
    print(json.dumps({"runs": len(runs), "a_run": a_run, "beside": 0.0}), flush=True)
    if every == 1:
        save(out, [*runs, *there])


if __name__ == "__main__":
    main()
