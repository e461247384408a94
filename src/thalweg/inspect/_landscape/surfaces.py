"""Surfaces on which optimizers are tried: their formulas, starts and minima, one entry each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import unknown
from thalweg.key import Key

__all__ = ["SURFACES", "Surface", "surface_of"]

Draw = Callable[[int, Key], np.ndarray]
"""From a number of steps and a key to what each step's gradient is changed by, shape ``(steps, coordinates)``."""


@dataclass(frozen=True)
class Surface:
    """A function of two coordinates, or of one, with everything a picture of it needs.

    Attributes:
        title: its name in words.
        about: what it shows, in a sentence.
        formula: from coordinates, shape ``(…, coordinates)``, to the loss, shape ``(…)``; of what is drawn at random,
            the mean.
        start: where paths begin.
        window: the part that is shown, ``((low, high), …)``, one pair a coordinate.
        minima: where the loss is least; empty where there is no least one.
        least: the loss there; of the surface without minima, minus infinity.
        source: where it is from.
        steps: how many are shown, if not said otherwise.
        noise: what is added to the gradient of each step; nothing if None.
        limits: each step ends in this interval, in every coordinate: the nearest point of it.
        settings: hyperparameters, by technique, that its source asks for.
        lr: the rate of every optimizer for which none is given; it is searched for if None.
    """

    title: str
    about: str
    formula: Callable[[Tensor], Tensor] = field(repr=False)
    start: tuple[float, ...]
    window: tuple[tuple[float, float], ...]
    minima: tuple[tuple[float, ...], ...]
    least: float
    source: str
    steps: int = 200
    noise: Draw | None = field(default=None, repr=False)
    limits: tuple[float, float] | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lr: float | None = None

    def __call__(self, points: Any) -> np.ndarray:
        """Return the loss at points, float64: ``(…, coordinates)`` to ``(…)``."""
        return self.formula(torch.as_tensor(np.asarray(points, float))).numpy()

    def gradient(self, points: Tensor) -> Tensor:
        """Return the gradient at points, of the same shape, without what is drawn at random."""
        with torch.enable_grad():
            x = points.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(self.formula(x).sum(), x)
        return found


def surface_of(name: str) -> Surface:
    """Return a surface by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in SURFACES:
        raise unknown("surface", name, SURFACES)
    return SURFACES[name]


def _beale(p: Tensor) -> Tensor:
    x, y = p[..., 0], p[..., 1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _rosenbrock(p: Tensor) -> Tensor:
    x, y = p[..., 0], p[..., 1]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _himmelblau(p: Tensor) -> Tensor:
    x, y = p[..., 0], p[..., 1]
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _ravine(p: Tensor) -> Tensor:
    x, y = p[..., 0], p[..., 1]
    return (x**2 + 50 * y**2) / 2


def _saddle(p: Tensor) -> Tensor:
    x, y = p[..., 0], p[..., 1]
    return x**2 - y**2


def _shaken(steps: int, key: Key) -> np.ndarray:
    return 4.0 * key.generator().standard_normal((steps, 2))


C = 3.0
"""Of Reddi, Kale & Kumar's example: above 2."""

LARGE, DELTA = 10.0, 0.1
"""C and δ of their example with losses drawn at random."""


def _convex(p: Tensor) -> Tensor:
    return p[..., 0] * (C - 2) / 3


def _convex_noisy(p: Tensor) -> Tensor:
    return p[..., 0] * DELTA


def _every_third(steps: int, key: Key) -> np.ndarray:  # noqa: ARG001
    """Of what comes in turn, C x and twice −x: each gradient less the mean one."""
    gradients = np.where(np.arange(1, steps + 1) % 3 == 1, C, -1.0)
    return (gradients - (C - 2) / 3)[:, None]


def _rarely(steps: int, key: Key) -> np.ndarray:
    """Of what is drawn, C x with probability (1 + δ) / (C + 1) and else −x: each gradient less the mean one."""
    rare = key.generator().random(steps) < (1 + DELTA) / (LARGE + 1)
    return (np.where(rare, LARGE, -1.0) - DELTA)[:, None]


_REDDI = {"adam": {"beta1": 0.0, "beta2": 1 / (1 + C**2)}, "amsgrad": {"beta1": 0.0, "beta2": 1 / (1 + C**2)}}
_REDDI_NOISY = {"adam": {"beta1": 0.0, "beta2": 0.1}, "amsgrad": {"beta1": 0.0, "beta2": 0.1}}

SURFACES: dict[str, Surface] = {
    "beale": Surface(
        "Beale’s function", "Flat far from its minimum, with steep walls: rates that suit one do not suit the other.",
        _beale, (1.0, 1.5), ((-1.0, 4.5), (-2.4, 2.0)), ((3.0, 0.5),), 0.0, "Beale 1958",
    ),
    "rosenbrock": Surface(
        "Rosenbrock’s valley", "The curved valley is found at once; along its bottom the gradient is almost nothing.",
        _rosenbrock, (-1.2, 1.0), ((-2.0, 2.0), (-1.0, 3.0)), ((1.0, 1.0),), 0.0, "Rosenbrock 1960", steps=400,
    ),
    "himmelblau": Surface(
        "Himmelblau’s function", "Four minima of equal depth: from one start, optimizers may end in different ones.",
        _himmelblau, (0.0, -3.0), ((-5.5, 5.5), (-5.5, 5.5)),
        ((3.0, 2.0), (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.283185991286170),
         (3.584428340330492, -1.848126526964404)),
        0.0, "Himmelblau 1972", steps=120,
    ),
    "ravine": Surface(
        "A ravine", "Fifty times as steep across as along: what is a step along it, across it is a leap.",
        _ravine, (-9.0, 1.2), ((-10.0, 3.0), (-2.0, 2.0)), ((0.0, 0.0),), 0.0, "x²/2 + 25 y²", steps=120,
    ),
    "saddle": Surface(
        "A saddle", "Almost on the ridge, the way down is all but level; what remembers or rescales leaves it first.",
        _saddle, (-1.6, 1e-3), ((-2.0, 2.0), (-2.0, 2.0)), (), -np.inf, "x² − y²", steps=120,
    ),
    "noisy": Surface(
        "A ravine in noise", "Each gradient has normal noise of standard deviation 4 on it, as a small batch’s has.",
        _ravine, (-9.0, 1.2), ((-10.0, 3.0), (-2.0, 2.0)), ((0.0, 0.0),), 0.0, "x²/2 + 25 y², g + N(0, 16)",
        steps=200, noise=_shaken,
    ),
    "reddi": Surface(
        "Adam’s convex counterexample",
        "Losses 3 x, −x, −x in turn on [−1, 1]: on the whole x = −1 is best, and Adam goes to +1.",
        _convex, (0.0,), ((-1.05, 1.05),), ((-1.0,),), -(C - 2) / 3, "Reddi, Kale & Kumar 2018, theorem 1",
        steps=300, noise=_every_third, limits=(-1.0, 1.0), settings=_REDDI, lr=0.02,
    ),
    "reddi-noisy": Surface(
        "Adam’s counterexample, drawn at random",
        "Loss 10 x with probability 0.1, else −x, on [−1, 1]: the mean falls towards −1, and Adam goes to +1.",
        _convex_noisy, (0.0,), ((-1.05, 1.05),), ((-1.0,),), -DELTA, "Reddi, Kale & Kumar 2018, theorem 3",
        steps=600, noise=_rarely, limits=(-1.0, 1.0), settings=_REDDI_NOISY, lr=0.01,
    ),
}  # fmt: skip
"""By name."""
