"""Planes through the space of a model's weights, and the loss over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.inspect._course import Loss, whole
from thalweg.inspect._landscape.drawing import Drawing, Drawn, Line
from thalweg.inspect._landscape.losses import Losses, Weights, task_of
from thalweg.inspect._table import aligned, number
from thalweg.key import Key
from thalweg.task import Task

__all__ = ["LossPlane", "PlanePath", "loss_plane", "trajectory_plane"]

NOTED = "Dropout is off; batch norms have, at each point, the statistics of the examples that the loss is taken over."


@dataclass(frozen=True, eq=False)
class PlanePath:
    """A trajectory as the plane shows it.

    Attributes:
        name: whose.
        points: where its points fall on the plane, shape ``(points, 2)``.
        losses: at the points themselves, not at where they fall.
        away: each point's distance from the plane, in parts of the way from the first point to the last.
    """

    name: str
    points: np.ndarray
    losses: np.ndarray
    away: np.ndarray


@dataclass(frozen=True, eq=False)
class LossPlane(Drawn):
    """What `loss_plane` and `trajectory_plane` found; printed, a table.

    Attributes:
        x, y: where along the two directions, shape ``(points,)`` each.
        losses: there, float64, shape ``(len(y), len(x))``.
        directions: orthonormal, of trajectories; or of the lengths of filters. Shape ``(2, weights)``.
        origin: the weights at (0, 0).
        start: the loss there.
        paths: trajectories on the plane.
        explained: the shares of the trajectories' squared distances from the origin along each direction.
        examples: how many the loss is a mean over.
    """

    x: np.ndarray
    y: np.ndarray
    losses: np.ndarray
    directions: Tensor
    origin: Tensor
    start: float
    paths: tuple[PlanePath, ...]
    explained: tuple[float, float] | None
    examples: int

    def __str__(self) -> str:
        if self.paths:
            rows = [
                (
                    path.name, number(path.losses[0]), number(path.losses[-1]),
                    f"({path.points[-1, 0]:.3g}, {path.points[-1, 1]:.3g})", f"{100 * path.away[-1]:.2g} %",
                )
                for path in self.paths
            ]  # fmt: skip
            head = ("path", "loss at its start", "at its end", "which falls on", "off the plane by")
            first, second = self.explained or (math.nan, math.nan)
            return (
                f"{aligned(head, rows)}\nof how far the weights moved, squared, the two directions of the plane show "
                f"{100 * first:.3g} % and {100 * second:.3g} %"
            )
        radii = np.hypot(*np.meshgrid(self.x, self.y)) / max(self.x[-1], self.y[-1])
        rings: list[tuple[str, ...]] = []
        for low, high in ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)):
            ring = self.losses[(radii > low) & (radii <= high)]
            if ring.size:
                at = f"{low * self.x[-1]:.2g} to {high * self.x[-1]:.2g}"
                rings.append((at, *(number(float(v)) for v in (ring.min(), np.median(ring), ring.max()))))
        return f"loss {number(self.start)} in the middle\n{aligned(('away by', 'least', 'median', 'most'), rings)}"

    def drawing(self) -> Drawing:
        """Return the picture: contours of the loss, and the paths."""
        finite = self.losses[np.isfinite(self.losses)]
        if not finite.size:
            raise InputError("the loss is nowhere finite on this plane; take a smaller reach")
        counted = f"Contours of the loss from {number(finite.min())} to {number(finite.max())}, by equal factors"
        over = f"{counted}, over {self.examples} training examples. {NOTED}"
        if self.paths:
            first, second = self.explained or (math.nan, math.nan)
            axes = (f"first direction ({100 * first:.3g} %)", f"second direction ({100 * second:.3g} %)")
            title, about = (
                "The loss over the plane of the trajectories",
                "Paths are seen from above: they leave the plane.",
            )
            note = (
                f"Directions: principal components of the weights along training, about the first path’s end. {over}"
            )
        else:
            axes = ("first direction, in parts of each filter’s norm", "second direction")
            title, about = "The loss around a solution", "Two random directions, of each filter’s own length."
            note = f"Li et al. 2018; biases and norms’ parameters stay where they are. {over}"
        return Drawing(
            title=title, about=about, note=note, values=self.losses, x=(float(self.x[0]), float(self.x[-1])),
            y=(float(self.y[0]), float(self.y[-1])), axes=axes, marks=((0.0, 0.0),),
            marked="the end of the first path" if self.paths else "the solution", table=str(self),
            lines=tuple(Line(path.name, path.points, path.losses) for path in self.paths),
            least=min(0.0, float(finite.min())) if finite.min() > 1e-9 or finite.min() < 0 else -1e-9,
            counted="place",
        )  # fmt: skip


def loss_plane(
    model: nn.Module,
    data: Task | Any,
    loss: Loss | None = None,
    *,
    reach: float = 1.0,
    points: int = 25,
    examples: int = 1000,
    seed: int = 0,
) -> LossPlane:
    """Evaluate the loss on a plane around a model's weights, along two random filter-normalised directions.

    Each direction is normal noise; the part of it that belongs to a filter (of a convolution) or to a unit's weights
    has the norm of that filter or of those weights, so that scales that ReLU networks may shift between layers do not
    count. Parameters of fewer than two axes stay as they are.

    Args:
        model: trained; untouched.
        data: a `thalweg.Task`, or ``(inputs, targets)``.
        loss: with data of your own, ``(output, targets) -> scalar``, a mean over the examples.
        reach: how far the plane goes to each side; at 1, every filter has moved by its own norm.
        points: along each side.
        examples: how many training examples, at most, the loss is a mean over.
        seed: of the directions, and of the examples.

    Raises:
        InputError: arguments that do not fit together, or a model without weights of two axes.

    Source: Li et al. 2018, "Visualizing the loss landscape of neural nets".

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect
    >>> torch.manual_seed(0) and None
    >>> x = torch.randn(64, 4)
    >>> found = inspect.loss_plane(nn.Linear(4, 1), (x, x[:, :1]), nn.functional.mse_loss, points=5)
    >>> found.losses.shape, bool(abs(found.losses[2, 2] - found.start) < 1e-6)
    ((5, 5), True)
    """
    task = task_of(model, data, loss)
    losses = Losses(task, model, whole("examples", examples), seed)
    side = _odd(points)
    if not (isinstance(reach, int | float) and 0 < reach < math.inf):
        raise InputError(f"reach takes a number above 0, not {reach!r}")
    pieces = torch.split(losses.vector, [math.prod(shape) for shape in losses.shapes])
    if all(len(shape) < 2 for shape in losses.shapes):
        raise InputError(f"{type(model).__name__} has no weights of two axes or more to move")
    directions = []
    for which in range(2):
        parts = []
        for name, piece, shape in zip(losses.names, pieces, losses.shapes, strict=True):
            noise = (Key(seed) / "landscape" / which / name).generator().standard_normal(piece.numel())
            parts.append(_normalised(torch.from_numpy(noise).to(piece), piece, shape))
        directions.append(torch.cat(parts))
    places = np.linspace(-reach, reach, side)
    both = torch.stack(directions)
    return _plane(losses, losses.vector, both, places, places, (), None)


def _normalised(noise: Tensor, weights: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give the noise of each filter that filter's norm."""
    if len(shape) < 2:
        return torch.zeros_like(noise)
    n, w = noise.view(shape[0], -1), weights.view(shape[0], -1)
    scaled: Tensor = n * (w.norm(dim=1, keepdim=True) / n.norm(dim=1, keepdim=True))
    return scaled.reshape(-1)


def trajectory_plane(
    trajectories: Mapping[str, Sequence[Weights]],
    model: nn.Module,
    data: Task | Any,
    loss: Loss | None = None,
    *,
    points: int = 25,
    examples: int = 1000,
    seed: int = 0,
) -> LossPlane:
    """Evaluate the loss on the plane in which weights moved most along training.

    Its origin is the first trajectory's last point, and its directions are the two principal components of all points
    about it. A plane holds little of a space of many dimensions: how far each path's end is off it is in the table.

    Args:
        trajectories: by name, the weights along training: at least two state dicts (or models) each, the last one
            the solution.
        model: of the same architecture; what is not trained is as it is here.
        data, loss, points, examples, seed: see `loss_plane`.

    Raises:
        InputError: arguments that do not fit together, or weights that never moved.

    Source: Li et al. 2018, section 7.

    >>> import copy, torch
    >>> from torch import nn
    >>> from thalweg import inspect
    >>> model, x = nn.Linear(2, 1), torch.randn(32, 2)
    >>> way = []
    >>> for _ in range(5):
    ...     way.append({name: p.detach().clone() for name, p in model.named_parameters()})
    ...     with torch.no_grad():
    ...         model.weight += 0.1
    >>> found = inspect.trajectory_plane({"mine": way}, model, (x, x[:, :1]), nn.functional.mse_loss, points=5)
    >>> found.paths[0].points.shape, round(sum(found.explained), 3)
    ((5, 2), 1.0)
    """
    if not isinstance(trajectories, Mapping) or not trajectories:
        raise InputError('trajectories are given by name: {"adam": [state_dict, …]}')
    task = task_of(model, data, loss)
    losses, side = Losses(task, model, whole("examples", examples), seed), _odd(points)
    ways = {}
    for name, way in trajectories.items():
        if isinstance(way, nn.Module | Mapping) or len(way) < 2:
            raise InputError(f'trajectory "{name}" takes a list of at least two state dicts')
        ways[str(name)] = torch.stack([losses.flat(weights) for weights in way])
    origin = next(iter(ways.values()))[-1]
    moved = torch.cat(list(ways.values())).double() - origin.double()
    if not bool(torch.isfinite(moved).all()):
        raise InputError("weights that are not finite lie on no plane; leave out what has diverged")
    _, sizes, found = torch.linalg.svd(moved, full_matrices=False)
    if not float(sizes[0]) > 0:
        raise InputError("the weights never moved; there is no plane to choose")
    if len(sizes) < 2 or not float(sizes[1]) > 1e-12 * float(sizes[0]):
        found = torch.stack([found[0], _across(found[0], seed)])
    directions = found[:2] * torch.where(found[:2].sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    share = sizes[:2].square() / sizes.square().sum()
    explained = (float(share[0]), float(share[1]) if len(share) > 1 else 0.0)
    paths = tuple(_path(name, way, origin, directions, losses) for name, way in ways.items())
    every = np.concatenate([path.points for path in paths])
    low, high = every.min(axis=0), every.max(axis=0)
    wide = np.maximum(high - low, 0.3 * (high - low).max())
    middle = (low + high) / 2
    x, y = (np.linspace(middle[i] - 0.65 * wide[i], middle[i] + 0.65 * wide[i], side) for i in range(2))
    return _plane(losses, origin, directions.to(origin), x, y, paths, explained)


def _path(name: str, way: Tensor, origin: Tensor, directions: Tensor, losses: Losses) -> PlanePath:
    moved = way.double() - origin.double()
    points = moved @ directions.T
    away = (moved - points @ directions).norm(dim=1) / (way[-1] - way[0]).double().norm().clamp(min=1e-300)
    return PlanePath(name, points.numpy(), losses(way), away.numpy())


def _across(direction: Tensor, seed: int) -> Tensor:
    """Return a random direction at right angles to another, for a path that is straight."""
    noise = torch.from_numpy((Key(seed) / "landscape" / "across").generator().standard_normal(len(direction)))
    noise -= (noise @ direction) * direction
    unit: Tensor = noise / noise.norm().clamp(min=1e-300)
    return unit


def _plane(
    losses: Losses,
    origin: Tensor,
    directions: Tensor,
    x: np.ndarray,
    y: np.ndarray,
    paths: tuple[PlanePath, ...],
    explained: tuple[float, float] | None,
) -> LossPlane:
    across = torch.from_numpy(x).to(origin)[:, None] * directions[0]
    # A row at a time, so that the weights of all points are never there at once.
    values = np.stack([losses(origin + across + up * directions[1]) for up in y.tolist()])
    start = float(losses(origin[None])[0])
    return LossPlane(x, y, values, directions, origin, start, paths, explained, len(losses.split))


def _odd(points: int) -> int:
    """Return a number of points that has one in the middle."""
    return whole("points", points, 3) | 1
