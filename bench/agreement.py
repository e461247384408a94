"""Whether a run in a population is the run that it would have been by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from clock import met, table
from thalweg.train import Member, Result, train

SEEDS, STEPS, BATCH_SIZE, TARGET = 3, 100, 108, 1e-10  # 10 batches an epoch


def section() -> str:
    torch.set_num_threads(1)  # as in a study
    members = [
        Member(tw.Recipe(optimizer(), epochs=STEPS // 10, batch_size=BATCH_SIZE).resolved(), seed)
        for optimizer in tw.optim.CATALOGUE.values()
        for seed in range(SEEDS)
    ]
    columns: dict[str, dict[str, float]] = {}
    over: dict[str, str] = {}
    for case, (net, standardize) in CASES.items():
        task = digits(net, standardize)
        plain, moved = alone(task, members), alone(digits(partial(_moved, net), standardize), members)
        columns[case] = _worst(members, train(task, members, "vmapped", keep_weights=True), plain)
        columns[f"{case}: alone, moved"] = _worst(members, moved, plain)
        over[case] = ", ".join(name for name, value in columns[case].items() if not value <= TARGET)
    rows = [[name, *(f"{of[name]:.1e}" for of in columns.values())] for name in tw.optim.CATALOGUE]
    verdicts = [[case, f"≤ {TARGET:.0e}", met(not names), names] for case, names in over.items()]
    return f"""## Alone and in company

Digits in float64, {STEPS} steps, every optimizer at its defaults with {SEEDS} seeds: all {len(members)} runs as one
population by vmap, against each by itself. Shown is the largest difference of any tensor of the state dict, in parts
of that tensor's largest element. What rounding can do at all is in the columns beside: each run by itself, against
itself by itself with its initial weights moved by one rounding.

{table(["model", "target, for every optimizer", "", "over it"], verdicts)}

{table(["optimizer", *columns], rows)}

Where a run is over the target, moving it by one rounding takes it about as far. On standardized pixels, one that is
blank in a whole batch is a constant times the sum of what batch norm hands back, which is 0: its gradient is rounding
and nothing else, and an optimizer that divides by the gradient's size, or takes its sign, makes steps of it. And the
running mean that schedule_free's average gets is that of centred inputs, 0 but for rounding, while its weights agree.
Soap's basis has directions that no gradient has used yet, which rounding chooses, whatever the pixels.
"""


def batch_norm() -> nn.Module:
    # A bias before a batch norm would have a gradient of 0 but for rounding; as everyone does, it is left out.
    return nn.Sequential(
        nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)
    )


def layer_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))


CASES = {
    "batch norm": (batch_norm, False),
    "layer norm": (layer_norm, False),
    "batch norm, standardized pixels": (batch_norm, True),
}


def digits(net: Callable[[], nn.Module], standardize: bool) -> tw.Task:
    images, targets = load_digits(return_X_y=True)
    return tw.Task(
        model=lambda: net().double(),
        data=(images / 16, targets),
        loss=F.cross_entropy,
        metric=tw.accuracy,
        standardize=standardize,
        dtype=torch.float64,
        name="digits",
    )


def alone(task: tw.Task, members: Sequence[Member]) -> list[Result]:
    return [train(task, [member], keep_weights=True)[0] for member in members]


def _worst(members: Sequence[Member], some: Sequence[Result], others: Sequence[Result]) -> dict[str, float]:
    """Return, for every optimizer, its runs' largest difference; NaN stays NaN."""
    found = dict.fromkeys(tw.optim.CATALOGUE, 0.0)
    for member, a, b in zip(members, some, others, strict=True):
        assert a.steps == b.steps == STEPS
        assert a.weights is not None
        assert b.weights is not None
        parts = [(a.weights[name] - kept).abs().max() / kept.abs().max() for name, kept in b.weights.items()]
        name = member.recipe.optimizer.name
        found[name] = float(np.maximum(found[name], float(torch.stack(parts).max())))
    return found


def _moved(net: Callable[[], nn.Module]) -> nn.Module:
    moved = net().double()
    with torch.no_grad():
        for p in moved.parameters():
            p.mul_(1 + 2**-52)
    return moved
