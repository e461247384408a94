"""Whether a run in a population is the run that it would have been by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from clock import met, table
from thalweg.train import Member, Result, train

SEEDS, STEPS, BATCH_SIZE, TARGET = 3, 100, 108, 1e-10  # 10 batches an epoch
ULP = 1 + 2**-52


def section() -> str:
    torch.set_num_threads(1)  # as in a study
    members = [
        Member(tw.Recipe(optimizer(), epochs=STEPS // 10, batch_size=BATCH_SIZE).resolved(), seed)
        for optimizer in tw.optim.CATALOGUE.values()
        for seed in range(SEEDS)
    ]
    nets = {"batch norm": batch_norm, "layer norm": layer_norm}
    tasks = {name: digits(net, used=0.1) for name, net in nets.items()}
    found = {name: _worst(members, together(task, members), alone(task, members)) for name, task in tasks.items()}
    holds = all(value <= TARGET for of in found.values() for value in of.values())

    blank = digits(batch_norm, used=0.0)
    plain = alone(blank, members)
    found["batch norm, blank pixels too"] = _worst(members, together(blank, members), plain)
    moved = alone(digits(lambda n: _scaled(batch_norm(n), ULP), used=0.0), members)
    found["the same, alone and alone one rounding apart"] = _worst(members, moved, plain)
    rows = [[name, *(f"{of[name]:.1e}" for of in found.values())] for name in tw.optim.CATALOGUE]
    rows.append(["**largest**", *(f"**{np.max(list(of.values())):.1e}**" for of in found.values())])
    over = [name for name, value in found["batch norm, blank pixels too"].items() if not value <= TARGET]
    return f"""## Alone and in company

Digits in float64, {STEPS} steps, every optimizer at its defaults with {SEEDS} seeds: all {len(members)} runs as one
population by vmap, against each by itself. Shown is the largest difference of any tensor of the state dict, in parts
of that tensor's largest element. Target: ≤ {TARGET:.0e} for every optimizer, with batch norm and layer norm:
{met(holds)} in the first two columns; over it in the third: {", ".join(over) or "none"}.

{table(["optimizer", *found], rows)}

The first two columns use the pixels that are inked in a tenth of the images or more. A pixel that is blank in a whole
batch is one number times the sum of what batch norm hands back, which is 0: its gradient is rounding and nothing
else, and an optimizer that divides by the gradient's size makes steps of it (adagrad, with ε = 1e-10, most). Such a
run differs as much from itself when its initial weights are one rounding apart: the last two columns.
"""


def batch_norm(pixels: int) -> nn.Module:
    # A bias before a batch norm would have a gradient of 0 but for rounding; as everyone does, it is left out.
    return nn.Sequential(
        nn.Linear(pixels, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)
    )


def layer_norm(pixels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(pixels, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))


def digits(net: Callable[[int], nn.Module], used: float) -> tw.Task:
    """Return the task on the pixels inked in at least this share of the images."""
    images, targets = load_digits(return_X_y=True)
    images = images[:, (images > 0).mean(0) >= used]
    return tw.Task(
        model=lambda: net(images.shape[1]).double(),
        data=(images, targets),
        loss=F.cross_entropy,
        metric=tw.accuracy,
        standardize=True,
        dtype=torch.float64,
        name="digits",
    )


def together(task: tw.Task, members: Sequence[Member]) -> list[Result]:
    return train(task, members, "vmapped", keep_weights=True)


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


def _scaled(net: nn.Module, factor: float) -> nn.Module:
    net.double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(factor)
    return net
