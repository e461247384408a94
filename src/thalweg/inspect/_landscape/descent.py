"""Optimizers on test surfaces: their paths, each at a rate that is given or found by a small search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from thalweg import optim
from thalweg.errors import InputError
from thalweg.inspect._course import whole
from thalweg.inspect._landscape.drawing import Drawing, Drawn, Line
from thalweg.inspect._landscape.surfaces import Surface, surface_of
from thalweg.inspect._table import aligned, number
from thalweg.key import Key
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import CATALOGUES, not_known
from thalweg.technique import Ingredient

__all__ = ["Descent", "OptimizerPath", "descent"]

TRIED = np.geomspace(1e-4, 10.0, 41)
"""Rates that the search tries: eight to a factor of ten."""

LONGEST = 0.25
"""Of a step, in the window's widths: what leaps farther than that is not followed by the eye."""

GRID = 161


@dataclass(frozen=True, eq=False)
class OptimizerPath:
    """Where one optimizer went.

    Attributes:
        name: of the optimizer, as it was asked for.
        lr: its learning rate.
        searched: whether the rate was searched for; else it was given.
        points: float64, shape ``(steps + 1, coordinates)``; NaN from where it left all bounds.
        losses: there, shape ``(steps + 1,)``.
        settings: all its hyperparameters.
    """

    name: str
    lr: float
    searched: bool
    points: np.ndarray
    losses: np.ndarray
    settings: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Descent(Drawn):
    """What `descent` found; printed, a table.

    Attributes:
        surface: on which.
        paths: one an optimizer.
        seed: of the noise.
    """

    surface: Surface
    paths: tuple[OptimizerPath, ...]
    seed: int

    def __str__(self) -> str:
        head = ("optimizer", "rate", "loss at the end", "where", "steps to a hundredth")
        rows = []
        for path in self.paths:
            last = _last(path.points)
            told = ", ".join(f"{x:.3g}" for x in path.points[last])
            rows.append(
                (
                    path.name, f"{path.lr:.3g}{' (searched)' if path.searched else ''}", number(path.losses[last]),
                    f"({told})", self._reached(path),
                )
            )  # fmt: skip
        return f"{self.surface.title}: {self.surface.about}\n{aligned(head, rows)}"

    def _reached(self, path: OptimizerPath) -> str:
        """Return after how many steps the loss above the least one is for good a hundredth of that at the start."""
        least = self.surface.least
        if not math.isfinite(least):
            return ""
        above = path.losses - least
        late = np.flatnonzero(~(above <= above[0] / 100))
        return str(late[-1] + 1) if len(late) and late[-1] + 1 < len(above) else "not reached"

    def drawing(self) -> Drawing:
        """Return the picture: contours of the loss, minima, and paths; of one coordinate, over the steps."""
        surface, steps = self.surface, len(self.paths[0].points) - 1
        if len(surface.window) == 1:
            (low, high), x = surface.window[0], (0.0, float(steps))
            places = np.linspace(low, high, GRID)
            values = np.repeat(surface(places[:, None])[:, None], 2, axis=1)
            lines = [np.column_stack([np.arange(steps + 1), path.points]) for path in self.paths]
            axes, y, minima = ("step", "x"), (low, high), [(float(steps), m[0]) for m in surface.minima]
        else:
            x, y = surface.window
            grid = np.stack(np.meshgrid(np.linspace(*x, GRID), np.linspace(*y, GRID)), axis=-1)
            values, lines, axes = surface(grid), [path.points for path in self.paths], ("x", "y")
            minima = [(m[0], m[1]) for m in surface.minima]
        note = f"{surface.source}."
        if any(path.searched for path in self.paths):
            given = "" if all(path.searched for path in self.paths) else " where none was given"
            note += (
                f" Rates were searched for{given}: of {len(TRIED)} from {TRIED[0]:g} to {TRIED[-1]:g}, the one with "
                f"the lowest mean loss over {steps} steps, none of which is longer than a quarter of the picture."
            )
        return Drawing(
            title=surface.title, about=surface.about, note=note, values=values, x=x, y=y, axes=axes,
            marks=tuple(minima), marked="minimum", table=str(self).partition("\n")[2],
            lines=tuple(
                Line(path.name if "lr=" in path.name else f"{path.name}, rate {path.lr:.2g}", points, path.losses)
                for path, points in zip(self.paths, lines, strict=True)
            ),
            least=surface.least,
        )  # fmt: skip


def descent(
    surface: str | Surface = "beale",
    optimizers: Sequence[str | Ingredient] = ("sgd", "momentum", "adam"),
    *,
    steps: int | None = None,
    seed: int = 0,
) -> Descent:
    """Let optimizers of this library go down a test surface, in float64.

    A rate that is not given is searched for: of 41 rates, eight to a factor of ten, the one whose path has the lowest
    mean loss, among those that stay finite and take no step longer than a quarter of the picture. Where the surface's
    source asks for other hyperparameters than the defaults, as Adam's counterexamples do, optimizers have those, and
    rates are the surface's.

    Args:
        surface: a name in `SURFACES`, or a surface of your own.
        optimizers: names, or ingredients such as ``optim.adam(lr=0.1)``.
        steps: how many; the surface's own number if not given.
        seed: of the noise, where the surface has any; all optimizers get the same.

    Raises:
        InputError: an unknown surface or optimizer, none, or the same one twice.

    >>> from thalweg import inspect, optim
    >>> found = inspect.descent("ravine", ["momentum", optim.adam(lr=0.5)], steps=100)
    >>> [path.name for path in found.paths], found.paths[1].lr
    (['momentum', 'adam(lr=0.5)'], 0.5)
    >>> bool(found.paths[0].losses[-1] < found.paths[0].losses[0] / 1000)
    True
    """
    where = surface if isinstance(surface, Surface) else surface_of(surface)
    count = whole("steps", where.steps if steps is None else steps)
    if isinstance(optimizers, str | Ingredient) or not optimizers:
        raise InputError("optimizers takes a list of at least one, such as ['sgd', 'adam']")
    asked = [_asked(one, where) for one in optimizers]
    names = [repr(one) for one in asked]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f'"{twice}" is named twice; every optimizer is shown once')
    return Descent(where, tuple(_path(one, where, count, seed) for one in asked), seed)


def _asked(one: Any, surface: Surface) -> Ingredient:
    """Return an optimizer with what is said of it; else with what the surface's source asks for."""
    if isinstance(one, str):
        known = CATALOGUES["optimizer"]
        if one not in known:
            raise not_known("optimizer", one)
        one = known[one]()
    if not isinstance(one, Ingredient) or not isinstance(one.technique, optim.Optimizer):
        raise InputError(f"{one!r} is no optimizer; take one of thalweg.optim")
    asked: Ingredient = one.technique(**{**surface.settings.get(one.name, {}), **dict(one.values)})
    return asked


def _path(one: Ingredient, surface: Surface, steps: int, seed: int) -> OptimizerPath:
    settings = dict(one.resolved())
    given = settings["lr"] if "lr" in dict(one.values) else surface.lr
    rates = TRIED.tolist() if given is None else [float(given)]
    noise = surface.noise(steps, Key(seed) / "landscape") if surface.noise is not None else None
    points = _walked(one.technique, [{**settings, "lr": rate} for rate in rates], surface, steps, noise)
    losses = surface(points)
    best = 0 if given is not None else _best(points, losses, surface, one.name)
    return OptimizerPath(
        repr(one), rates[best], given is None, points[best], losses[best], {**settings, "lr": rates[best]}
    )


def _walked(
    technique: Any, settings: Sequence[Mapping[str, Any]], surface: Surface, steps: int, noise: np.ndarray | None
) -> np.ndarray:
    """Return paths, shape ``(settings, steps + 1, coordinates)``; all walk at once."""
    x = torch.tensor([surface.start] * len(settings), dtype=torch.float64)
    update = PopulationStep(technique, settings, x, [tuple(x.shape[1:])])
    ones = np.ones(len(settings))
    seen = [x.clone()]
    far = 1e6 * max(abs(end) for pair in surface.window for end in pair)
    for t in range(1, steps + 1):
        g = surface.gradient(x)
        if noise is not None:
            g += torch.from_numpy(noise[t - 1])
        update.step(g, t, ones)
        if surface.limits is not None:
            x.clamp_(*surface.limits)
        at = update.weights().clone()
        at[~(at.abs() < far).all(dim=1)] = math.nan
        seen.append(at)
    paths = torch.stack(seen, dim=1).numpy()
    lost = np.isnan(paths).any(axis=2)
    paths[np.maximum.accumulate(lost, axis=1)] = np.nan
    return paths


def _best(points: np.ndarray, losses: np.ndarray, surface: Surface, name: str) -> int:
    """Return the setting with the lowest mean loss that is fit to be looked at.

    On a surface without a least loss what counts is what happens inside the picture, for as long as that is.
    """
    low, high = np.array(surface.window).T
    inside = ((points >= low) & (points <= high)).all(axis=2)
    if not math.isfinite(surface.least):
        stays = np.minimum.accumulate(inside, axis=1)
        last = np.maximum(stays.sum(axis=1) - 1, 0)
        losses = np.where(stays, losses, losses[np.arange(len(losses)), last][:, None])
        points = np.where(stays[:, :, None], points, points[np.arange(len(points)), last][:, None])
    with np.errstate(invalid="ignore"):
        longest = (np.abs(np.diff(points, axis=1)) / (high - low)).max(axis=(1, 2))
    fit = np.isfinite(losses).all(axis=1) & (longest <= LONGEST)
    if not fit.any():
        raise InputError(
            f"none of the rates from {TRIED[0]:g} to {TRIED[-1]:g} suits {name} here; write {name}(lr=…)"
        )
    return int(np.argmin(np.where(fit, losses.mean(axis=1), np.inf)))


def _last(points: np.ndarray) -> int:
    """Return the last step that is there."""
    there = np.flatnonzero(np.isfinite(points).all(axis=1))
    return int(there[-1]) if len(there) else 0
