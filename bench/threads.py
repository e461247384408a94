"""Processes against threads: few runs of models that fill a core, with one thread each and with all of the cores."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.study.before import one_thread
from thalweg.study.engines.local import Local
from thalweg.study.facts import cores
from thalweg.study.plan import Job, Protocol
from thalweg.study.planning import at_work, make_plans
from thalweg.train import Member
from thalweg.train.planner import Plan

RUNS = (1, 3)
SECONDS = 20.0
"""What a run takes with one thread, about."""

ACCURACY = tw.Metric("accuracy", lambda output, y: (output.argmax(-1) == y).float(), True)


def mlp() -> nn.Module:
    hidden = [layer for _ in range(3) for layer in (nn.Linear(1024, 1024), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(1024, 10))


def cnn() -> nn.Module:
    first = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *first, nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


def task(model: type[nn.Module], shape: tuple[int, ...], batch_size: int) -> tw.Task:
    """Return a task of ten batches of noise."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(14 * batch_size, *shape, generator=generator)
    targets = torch.randint(0, 10, (len(inputs),), generator=generator)
    return tw.Task(model=model, data=(inputs, targets), loss=F.cross_entropy, metric=ACCURACY, name=model.__name__)


def measured(task: tw.Task, batch_size: int, runs: int, seconds: float) -> tuple[float, float, Plan]:
    """Return the wall seconds of runs with one thread each, with as many as there are cores, and what is chosen."""
    count = cores()
    recipe = tw.Recipe(tw.optim.adam(), batch_size=batch_size)
    plan = next(
        iter(make_plans(task, {"": recipe}, Protocol(trials=0, seeds=1), None, 1, compiles=False)[0].values())
    )
    steps = len(task.train) // batch_size
    recipe = replace(recipe, epochs=max(1, round(seconds / (steps * plan.step_seconds + plan.epoch_seconds))))
    protocol = Protocol(trials=0, seeds=runs)
    chosen = next(iter(make_plans(task, {"": recipe}, protocol, None, count, compiles=True)[0].values()))
    resolved = recipe.resolved()
    jobs = [Job(str(seed), Member(resolved, seed)) for seed in range(runs)]
    walls = []
    for threads in (1, count):
        plans = {resolved.together(): Plan("one by one", 1, 1.0, 1.0, "", threads=threads)}
        started = time.perf_counter()
        Local(task, processes=count).run(jobs, plans, on_record=lambda _: None, on_epochs=lambda _: None)
        walls.append(time.perf_counter() - started)
    return walls[0], walls[1], chosen


def section(seconds: float = SECONDS) -> str:
    """Return what was measured, as Markdown."""
    lines = []
    kinds = {
        "MLP, four layers of 1,024, batch 256": (mlp, (1024,), 256),
        "CNN, 64 channels on 32×32, batch 64": (cnn, (3, 32, 32), 64),
    }
    with one_thread():
        for name, (model, shape, batch_size) in kinds.items():
            for runs in RUNS:
                one, several, chosen = measured(task(model, shape, batch_size), batch_size, runs, seconds)
                lines.append(
                    f"| {name} | {runs} | {one:.1f} s | {several:.1f} s | {one / several:.2f} "
                    f"| {at_work(chosen, cores())} |"
                )
    head = f"| model | runs | one thread each | one after the other, {cores()} threads | ratio | chosen |"
    table = "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *lines])
    return f"## Processes against threads\n\nWall seconds, whole runs.\n\n{table}\n"
