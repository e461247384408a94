"""Internal covariate shift: what a step of the lower layers does to a layer's gradient, and to what enters it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.inspect._course import Course, Data, Loss, Made, courses, whole
from thalweg.inspect._picture import Pictured
from thalweg.inspect._signals import LAYERS
from thalweg.inspect._table import aligned, colour, middle, number

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Layer", "Shift", "shift"]


@dataclass(frozen=True, eq=False)
class Layer:
    """How one layer is shifted by those below it, at each step of training.

    Attributes:
        model: the model's name.
        layer: its own.
        number: its place among the layers, in the order of calls, from 1.
        gradient: ‖G‖, of its weights' gradient G before the step, shape ``(steps,)``.
        difference: ‖G − G′‖, where G′ is its gradient on the same batch once all layers below have been updated.
        cosine: of the angle between G and G′; 1 where there is no shift.
        moved: how far what enters it has moved by that update: the distance between normal distributions with the
            means and deviations of its units (2-Wasserstein), over the units' deviation.
    """

    model: str
    layer: str
    number: int
    gradient: np.ndarray
    difference: np.ndarray
    cosine: np.ndarray
    moved: np.ndarray


@dataclass(frozen=True, eq=False)
class Shift(Pictured):
    """What `shift` found; printed, a table.

    Attributes:
        layers: of all models, one after the other; the first of each is left out, for it has none below.
    """

    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        head = ("", "layer", "‖G‖", "‖G − G′‖", "cos(G, G′)", "inputs moved")
        rows = [
            (x.model, x.layer, *(number(middle(v)) for v in (x.gradient, x.difference, x.cosine, x.moved)))
            for x in self.layers
        ]
        steps = len(self.layers[0].gradient)
        return f"{aligned(head, rows, 2)}\nmedians over {steps} step{'s' * (steps > 1)}; inputs in their deviations"

    def chart(self) -> alt.HConcatChart:
        """Return the picture: each measure by layer, its median over the steps and the half around it."""
        import altair as alt

        names = list(dict.fromkeys(layer.model for layer in self.layers))
        panels = []
        for title, what in (
            ("‖G − G′‖", "difference"), ("cosine of G and G′", "cosine"), ("inputs moved, in deviations", "moved"),
        ):  # fmt: skip
            rows = [row for layer in self.layers if (row := _row(layer, what))]
            kind = alt.Scale(zero=False) if what == "cosine" else alt.Scale(type="log", nice=False)
            base = alt.Chart(alt.InlineData(values=rows)).encode(
                x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0)), color=colour(names)
            )
            line = base.mark_line(point=True, strokeWidth=2).encode(y=alt.Y("middle:Q", title=title, scale=kind))
            band = base.mark_rule(strokeWidth=6, opacity=0.3).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
            panels.append(alt.layer(band, line).properties(width=220, height=220))
        chart = alt.hconcat(*panels, title="points: medians over the steps; bars: the half of the steps around them")
        assert isinstance(chart, alt.HConcatChart)
        return chart


def shift(
    models: nn.Module | Mapping[str, nn.Module],
    optimizer: Made,
    data: Data,
    loss: Loss,
    *,
    steps: int = 30,
    seed: int = 0,
) -> Shift:
    """Train for some steps, and at each say how far a layer is shifted by the update of those below it.

    Two measures of internal covariate shift, both on the batch of the step, with the same dropout masks. Santurkar et
    al.'s: how far the gradient of a layer's weights changes when the layers called before it take the step, and it
    and those after it do not. Ioffe & Szegedy's: how far the distribution of what enters the layer moves by that.
    Models, an optimizer that is given, and every generator of random numbers are afterwards as before, to the bit.

    Args:
        models: one, or several by name, such as one without and one with batch norm.
        optimizer: of the one model, or a function that makes one of each model's parameters:
            ``lambda p: optim.SGD(p, lr=0.1)``.
        data: batches ``(inputs, targets)``, such as a ``DataLoader``; begun again when it ends.
        loss: ``(output, targets) -> scalar``.
        steps: of training.
        seed: of dropout and shuffling.

    Raises:
        InputError: arguments that do not fit together, or a model with fewer than two linear or convolution layers.

    Source: Santurkar, Tsipras, Ilyas & Mądry 2018, definition 2.1; Ioffe & Szegedy 2015, section 2.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect, optim
    >>> x = torch.randn(64, 8)
    >>> net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    >>> found = inspect.shift(net, optim.SGD(net.parameters(), lr=0.1), [(x, (x[:, 0] > 0).long())],
    ...                       nn.functional.cross_entropy, steps=3)
    >>> [layer.layer for layer in found.layers], bool((found.layers[0].difference > 0).all())
    (['2', '4'], True)
    """
    whole("steps", steps)
    found = []
    for name, course in courses(models, optimizer, data, loss, seed):
        layers, lower = _layers(course, name)
        seen = []
        for step in range(steps):
            if step:
                course.next()
            seen.append(_shifted(course, layers, lower))
        for i, (path, _) in enumerate(layers):
            parts = (np.array(part) for part in zip(*(one[i] for one in seen), strict=True))
            found.append(Layer(name, path or "the model", i + 2, *parts))
    return Shift(tuple(found))


def _layers(course: Course, name: str) -> tuple[list[tuple[str, nn.Module]], list[list[bool]]]:
    """Return the layers but for the first called, and for each which of the parameters are below it."""
    called: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: Any) -> None:
        called.setdefault(module, len(called))

    hooks = [module.register_forward_pre_hook(note) for module in course.model.modules()]
    try:
        course.loss()
    finally:
        for hook in hooks:
            hook.remove()
    names = {module: path for path, module in course.model.named_modules()}
    trained = {id(p) for p in course.parameters}
    layers = [(names[m], m) for m in called if isinstance(m, LAYERS)][1:]
    layers = [(path, m) for path, m in layers if id(m.weight) in trained]
    if not layers:
        raise InputError(f"{name} trains no linear or convolution layer behind its first, for others to shift")
    first: dict[int, int] = {}
    for module, when in called.items():
        for p in module.parameters(recurse=False):
            first[id(p)] = min(first.get(id(p), when), when)
    lower = [[first.get(id(p), math.inf) < called[layer] for p in course.parameters] for _, layer in layers]
    return layers, lower


def _shifted(
    course: Course, layers: list[tuple[str, nn.Module]], lower: list[list[bool]]
) -> list[tuple[float, float, float, float]]:
    """Take a step; return for each layer ‖G‖, ‖G − G′‖, their cosine, and how far its inputs moved."""
    weights: list[Any] = [layer.weight for _, layer in layers]
    old = course.weights()
    with _entering(layers) as entered:
        _, gradients = course.gradient(weights)
    before = dict(entered)
    course.step()
    new = course.weights()
    found = []
    for (_, layer), weight, g, below in zip(layers, weights, gradients, lower, strict=True):
        course.go_to([b if updated else a for a, b, updated in zip(old, new, below, strict=True)])
        with _entering([("", layer)]) as entered:
            _, (after,) = course.gradient([weight])
        found.append((*_compared(g, after), _distance(before[layer], entered[layer])))
    course.go_to(new)
    return found


@contextmanager
def _entering(layers: list[tuple[str, nn.Module]]) -> Iterator[dict[nn.Module, tuple[Tensor, Tensor]]]:
    """Take down mean and deviation of each unit that enters the layers, at their first call inside a ``with``."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(layer: nn.Module, given: tuple[Any, ...]) -> None:
        if layer not in seen and given and isinstance(given[0], Tensor):
            x = given[0].detach().double()
            axes = [i for i in range(x.dim()) if i != (x.dim() - 1 if isinstance(layer, nn.Linear) else 1)]
            seen[layer] = x.mean(axes), x.std(axes, correction=0)

    hooks = [layer.register_forward_pre_hook(note) for _, layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _compared(one: Tensor, other: Tensor) -> tuple[float, float, float]:
    a, b = one.double().flatten(), other.double().flatten()
    size, length = float(a.norm()), float(b.norm())
    cosine = float(a @ b) / (size * length) if size and length else math.nan
    return size, float((a - b).norm()), cosine


def _distance(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> float:
    """Return the 2-Wasserstein distance between independent normal units, over their deviation."""
    square = sum(float(((b - a) ** 2).sum()) for a, b in zip(before, after, strict=True))
    scale = float((before[1] ** 2).sum())
    return math.sqrt(square / scale) if scale else math.nan


def _row(layer: Layer, what: str) -> dict[str, Any] | None:
    values = getattr(layer, what)
    shown = values[np.isfinite(values) & ((values > 0) | (what == "cosine"))]
    if not len(shown):
        return None
    low, middle, high = np.quantile(shown, [0.25, 0.5, 0.75])
    return {"model": layer.model, "layer": layer.number, "low": low, "middle": middle, "high": high}
