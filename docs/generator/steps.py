"""Charts of what acts at each step: optimizers, wrappers, schedules, gradients, averages, rules to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import altair as alt
import numpy as np
import torch
from torch import Tensor

from generator.examples import selected
from generator.look import FAINT, INK, MAIN, SECOND, chart, curve
from thalweg import average, optim, schedule, stop, wrapper
from thalweg.average import AverageTechnique
from thalweg.gradient import GradientTechnique
from thalweg.schedule import ScheduleTechnique
from thalweg.technique import Technique

__all__ = ["CHARTS"]

START, STEPS, STEEP = (-1.2, 1.0), 100, 10.0


def valley(place: Tensor) -> Tensor:
    """Return the height of Rosenbrock's valley with a steepness of 10: lowest, 0, at (1, 1)."""
    x, y = place[..., 0], place[..., 1]
    return ((1 - x) ** 2 + STEEP * (y - x * x) ** 2).sum()


def path(make: Callable[[Any, float], Any], rate: float) -> np.ndarray:
    """Return the places that an optimizer goes through, ``(STEPS + 1, 2)``: weights of a matrix of one row."""
    p = torch.nn.Parameter(torch.tensor([START], dtype=torch.float64))
    optimizer = make([p], rate)
    seen = [p.detach().clone()]

    def closure() -> Tensor:
        optimizer.zero_grad()
        height = valley(p)
        height.backward()
        return height

    for _ in range(STEPS):
        if not torch.isfinite(p).all():
            break
        optimizer.step(closure)
        seen.append(p.detach().clone())
    return torch.cat(seen).numpy()


def best(make: Callable[[Any, float], Any], rates: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the rate at which an optimizer ends lowest, and the places that it then goes through."""
    found = []
    for rate in rates:
        places = path(make, float(rate))
        height = float(valley(torch.from_numpy(places[-1:])))
        ended = len(places) == STEPS + 1 and math.isfinite(height)
        found.append((height if ended else math.inf, float(rate), places))
    _, rate, places = min(found, key=lambda one: one[0])
    return rate, places


@cache
def ground() -> alt.LayerChart:
    """Return the valley's lines of equal height, and its lowest place."""
    columns: dict[str, list[Any]] = {"x": [], "y": [], "i": [], "line": []}
    for line, height in enumerate((0.1, 0.5, 2.0, 5.0, 10.0, 20.0, 40.0)):
        across = math.sqrt(height) * np.cos(np.linspace(0, 2 * math.pi, 120))
        up = math.sqrt(height / STEEP) * np.sin(np.linspace(0, 2 * math.pi, 120))
        x = 1 + across
        for i, (a, b) in enumerate(zip(x, x * x + up, strict=True)):
            for name, value in zip(columns, (float(a), float(b), i, line), strict=True):
                columns[name].append(value)
    lines = chart(columns).mark_line(strokeWidth=1, opacity=0.5, color=FAINT, clip=True).encode(
        x=alt.X("x:Q", title=None, scale=alt.Scale(domain=[-1.8, 1.8])),
        y=alt.Y("y:Q", title=None, scale=alt.Scale(domain=[-0.8, 2.2])),
        detail="line:N", order="i:Q",
    )  # fmt: skip
    goal = chart({"x": [1.0], "y": [1.0]}).mark_point(shape="cross", size=70, color=INK, filled=True).encode(
        x="x:Q", y="y:Q"
    )  # fmt: skip
    return alt.layer(lines, goal)


def walked(paths: dict[str, np.ndarray]) -> alt.LayerChart:
    """Return the valley with paths by name: the first in the main colour."""
    layers: list[Any] = [ground()]
    names = list(paths)
    columns: dict[str, list[Any]] = {"name": [], "x": [], "y": [], "i": []}
    for name, places in paths.items():
        for i, (x, y) in enumerate(places):
            for key, value in zip(columns, (name, float(x), float(y), i), strict=True):
                columns[key].append(value)
    colour = alt.Color(
        "name:N", scale=alt.Scale(domain=names, range=[MAIN, SECOND][: len(names)]), legend=alt.Legend(columns=1)
    )
    base = chart(columns).encode(x="x:Q", y="y:Q", color=colour)
    layers += [base.mark_line(strokeWidth=1.5, clip=True).encode(order="i:Q"), base.mark_circle(size=14, clip=True)]
    return alt.layer(*layers).properties(width=440, height=300)


def _rates(technique: Technique) -> np.ndarray:
    place = technique.space.get("lr")
    low, high = (place.low, place.high) if place is not None else (1e-2, 1e1)  # type: ignore[union-attr]
    return np.geomspace(low, high, 13)


def _maker(technique: Technique) -> Callable[[Any, float], Any]:
    name, chosen = selected(technique)
    return lambda p, rate: getattr(optim, name)(p, lr=rate, **chosen)


@cache
def _plain() -> tuple[float, np.ndarray]:
    return best(_maker(optim.sgd), _rates(optim.sgd))


def _optimizer(technique: Technique) -> tuple[Any, str]:
    rate, places = best(_maker(technique), _rates(technique))
    paths = {f"{technique.name}, rate {rate:.2g}": places}
    if technique.name != "sgd":
        paths[f"sgd, rate {_plain()[0]:.2g}"] = _plain()[1]
    return walked(paths), (
        f"{STEPS} steps in a curved valley, whose lowest place is the cross; each at that one of 13 rates of its "
        "search range that ends lowest."
    )


def _wrapper(technique: Technique) -> tuple[Any, str]:
    kinds: dict[str, Callable[[Any], Any]] = {
        "sam": lambda inner: wrapper.SAM(inner, rho=0.2), "lookahead": lambda inner: wrapper.Lookahead(inner, k=5)
    }  # fmt: skip
    rate = 0.02
    plain = path(lambda p, lr: optim.SGD(p, lr=lr), rate)
    around = path(lambda p, lr: kinds[technique.name](optim.SGD(p, lr=lr)), rate)
    return walked({f"{technique.name} around sgd": around, "sgd": plain}), (
        f"{STEPS} steps in a curved valley, whose lowest place is the cross, at a rate of {rate}."
    )


def _schedule(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, ScheduleTechnique)
    total = 200
    if technique.state:
        rate = technique(patience=2, factor=0.5).resolved(total)
        seen, epochs = rate.start(), 20
        losses = [0.3 + 0.7 * math.exp(-e / 2) + 0.02 * math.sin(9.0 * e) for e in range(epochs)]
        rates = []
        for epoch in range(epochs):
            rates.append(rate(epoch * 10, seen))
            seen = rate.observe(seen, losses[epoch], (epoch + 1) * 10)
        steps = np.arange(epochs)
        made = curve({"multiplier": (steps, rates), "loss": (steps, losses)}, "epoch", "multiplier, loss")
        return made, "What it makes of a loss, made up here, with a patience of 2 and a factor of ½."
    alone = {"warmup": schedule.warmup(40)}.get(technique.name) or technique()
    made = curve(
        {technique.name: (np.arange(total), alone.multipliers(total))}, "step", "multiplier", domain=(0, 1.05)
    )
    return made, f"The multiplier of the rate over a run of {total} steps."


def _gradient(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, GradientTechnique)
    draw = np.random.default_rng(1)
    given = {"clip_adaptive": (1.0,), "centralise": ()}.get(technique.name, (1.0,))
    before = draw.normal(size=(24, 2)) * draw.lognormal(0, 0.6, size=(24, 1))
    after = []
    for g in before:
        p = torch.nn.Parameter(torch.tensor([[0.6, 0.3]], dtype=torch.float64))
        p.grad = torch.tensor(g[None])
        technique(*given).apply([p])
        after.append(p.grad[0].numpy())
    ends = np.array(after)
    scale = {"domain": [-3, 3]}
    base = {"x": alt.X("x:Q", title="∂L/∂w₁", scale=alt.Scale(**scale)),
            "y": alt.Y("y:Q", title="∂L/∂w₂", scale=alt.Scale(**scale))}  # fmt: skip
    lines = chart({"x": before[:, 0].tolist(), "y": before[:, 1].tolist(), "u": ends[:, 0].tolist(),
                   "v": ends[:, 1].tolist()})  # fmt: skip
    made = alt.layer(
        lines.mark_rule(color=FAINT, opacity=0.6, clip=True).encode(**base, x2="u:Q", y2="v:Q"),
        lines.mark_circle(color=FAINT, size=22, clip=True).encode(**base),
        lines.mark_circle(color=MAIN, size=34, clip=True).encode(x="u:Q", y="v:Q"),
    ).properties(width=300, height=300)
    word = "" if technique.name == "centralise" else ", at a threshold of 1"
    return made, f"Gradients of a unit of two weights before (grey) and after (blue){word}."


def _average(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, AverageTechnique)
    total, epoch = 400, 20
    draw = np.random.default_rng(0)
    w = np.exp(-np.arange(total) / 60) + 0.12 * draw.normal(size=total)
    values = {**technique.hyperparameters, **({"decay": 0.98} if "decay" in technique.hyperparameters else {})}
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    model.weight.data.fill_(float(w[0]))
    averaged = average.Averaged(model, technique(**technique.how(values)))
    steps, means = [], []
    for step in range(1, total):
        model.weight.data.fill_(float(w[step]))
        if technique.takes(values, step, total, epoch):
            averaged.update()
            steps.append(step)
            means.append(averaged.module.weight.item())
    made = curve({technique.name: (steps, means), "weight": (np.arange(total), w)}, "step", "weight", behind=True)
    word = "with a decay of 0.98" if "decay" in values else f"in epochs of {epoch} steps"
    return made, f"A noisy weight and its average, {word}."


def _stop(technique: Technique) -> tuple[Any, str]:
    draw = np.random.default_rng(3)
    epochs = np.arange(40)
    losses = 0.3 + 0.7 * np.exp(-epochs / 5) + 0.006 * epochs + 0.015 * draw.normal(size=40)
    rule = {"patience": stop.patience(5)}.get(technique.name) or stop.never()
    seen = rule.start()
    for loss in losses:
        seen, ended = rule.observe(seen, float(loss))
        if ended:
            break
    last = seen.epoch
    at = {"patience": seen.best_epoch}.get(technique.name, last) - 1
    line = curve({"validation loss": (epochs[:last], losses[:last])}, "epoch", "validation loss")
    rest = chart({"x": epochs[last - 1 :].tolist(), "y": losses[last - 1 :].tolist()}).mark_line(
        color=FAINT, strokeDash=[3, 3]
    ).encode(x="x:Q", y="y:Q")  # fmt: skip
    point = chart({"x": [int(at)], "y": [float(losses[at])]}).mark_point(size=90, color=SECOND, filled=True).encode(
        x="x:Q", y="y:Q"
    )  # fmt: skip
    return alt.layer(line, rest, point).properties(width=420, height=200), (
        "A validation loss, made up here: blue while training goes on, the point at the weights that are taken"
        + (", with a patience of 5." if technique.name == "patience" else ".")
    )


CHARTS: dict[str, Callable[[Technique], tuple[Any, str]]] = {
    "optimizer": _optimizer, "wrapper": _wrapper, "schedule": _schedule, "gradient": _gradient, "average": _average,
    "stop": _stop,
}  # fmt: skip
"""From a technique of a kind to its chart and what it shows."""
