"""How smooth the loss is along the gradient: how far loss and gradient change over a range of step sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.inspect._course import Course, Data, Loss, Made, courses, whole
from thalweg.inspect._picture import Pictured
from thalweg.inspect._table import aligned, colour, middle, number

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Along", "Smoothness", "smoothness"]


@dataclass(frozen=True, eq=False)
class Along:
    """What one model's loss does along its gradient, at each step of its training.

    Attributes:
        model: its name.
        rates: step sizes, of which each moves the weights by ``rate × gradient``, float64, shape ``(points,)``.
        start: the loss where the walk begins, shape ``(steps,)``.
        losses: the loss of the same batch after each step size, shape ``(steps, points)``.
        changes: ‖g(x) − g(x − rate · g(x))‖, shape ``(steps, points)``.
        smoothness: the effective β: the most that the gradient changes per distance, shape ``(steps,)``.
    """

    model: str
    rates: np.ndarray
    start: np.ndarray
    losses: np.ndarray
    changes: np.ndarray
    smoothness: np.ndarray


@dataclass(frozen=True, eq=False)
class Smoothness(Pictured):
    """What `smoothness` found; printed, a table.

    Attributes:
        walks: one for each model.
    """

    walks: tuple[Along, ...]

    def __str__(self) -> str:
        head = ("", "loss", "range of the loss", "change of the gradient", "effective β")
        rows = [
            (
                walk.model, f"{number(walk.start[0])} to {number(walk.start[-1])}",
                number(middle(_range(walk.losses))), number(middle(walk.changes.max(1))),
                number(middle(walk.smoothness)),
            )
            for walk in self.walks
        ]  # fmt: skip
        steps, rates = len(self.walks[0].start), self.walks[0].rates
        count = f"{steps} steps" if steps > 1 else "1 step"
        return (
            f"{aligned(head, rows)}\nloss: from the first to the last of {count}; the others: medians over them, for "
            f"step sizes {rates[0]:.3g} to {rates[-1]:.3g}"
        )

    def chart(self) -> alt.HConcatChart:
        """Return the picture: over the steps, the range of the loss, that of the gradient's change, and β."""
        import altair as alt

        rows = [row for walk in self.walks for row in _rows(walk)]
        base = alt.Chart(alt.InlineData(values=rows)).encode(
            x=alt.X("step:Q", title="step"), color=colour([walk.model for walk in self.walks])
        )
        log = alt.Scale(type="log", nice=False)
        titles = {"loss": "loss along the gradient", "change": "change of the gradient"}
        panels = [
            base.transform_filter(f"isValid(datum.{name}_low)").encode(
                y=alt.Y(f"{name}_low:Q", title=title, scale=log), y2=f"{name}_high:Q"
            )
            for name, title in titles.items()
        ]
        several = len(rows) > len(self.walks)
        ranges = [panel.mark_area(opacity=0.45) if several else panel.mark_bar() for panel in panels]
        beta = base.transform_filter("isValid(datum.beta)").encode(y=alt.Y("beta:Q", title="effective β", scale=log))
        line = beta.mark_line(strokeWidth=2) if several else beta.mark_point(filled=True)
        chart = alt.hconcat(*(panel.properties(width=260, height=220) for panel in (*ranges, line)))
        assert isinstance(chart, alt.HConcatChart)
        return chart


def smoothness(
    models: nn.Module | Mapping[str, nn.Module],
    optimizer: Made,
    data: Data,
    loss: Loss,
    *,
    steps: int = 30,
    reach: tuple[float, float] | None = None,
    points: int = 8,
    seed: int = 0,
) -> Smoothness:
    """Train for some steps, and before each walk along the gradient: how far do loss and gradient change?

    At one step, on one batch, with the same dropout masks: from the weights x to x − rate · g(x), for rates over a
    range. The smaller the range of the loss and the change of the gradient, the better a step predicts what it does.
    Models, an optimizer that is given, and every generator of random numbers are afterwards as before, to the bit.

    Args:
        models: one, or several by name, such as one without and one with batch norm.
        optimizer: of the one model, or a function that makes one of each model's parameters:
            ``lambda p: optim.SGD(p, lr=0.1)``.
        data: batches ``(inputs, targets)``, such as a ``DataLoader``; begun again when it ends.
        loss: ``(output, targets) -> scalar``.
        steps: of training, before each of which is measured.
        reach: the smallest and the largest step size; left out: half and four times the optimizer's learning rate.
        points: how many step sizes, evenly spaced.
        seed: of dropout and shuffling.

    Raises:
        InputError: arguments that do not fit together, or a model that cannot take a batch.

    Source: Santurkar, Tsipras, Ilyas & Mądry 2018, How Does Batch Normalization Help Optimization?, section 3.1.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect, norm, optim, surgery
    >>> x = torch.randn(64, 8)
    >>> net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 2))
    >>> normed = surgery.operate(net, x, norm=norm.batch()).model
    >>> found = inspect.smoothness(
    ...     {"plain": net, "batch norm": normed}, lambda p: optim.SGD(p, lr=0.1), [(x, (x[:, 0] > 0).long())],
    ...     nn.functional.cross_entropy, steps=5)
    >>> [walk.model for walk in found.walks], found.walks[0].losses.shape
    (['plain', 'batch norm'], (5, 8))
    """
    whole("steps", steps)
    whole("points", points, 2)
    if reach is not None and not 0 < reach[0] < reach[1] < math.inf:
        raise InputError(f"reach takes two step sizes, 0 < low < high, not {reach[0]:g} and {reach[1]:g}")
    walks = []
    for name, course in courses(models, optimizer, data, loss, seed):
        rates = np.linspace(*(reach or _reach(course)), points)
        found = []
        for step in range(steps):
            if step:
                course.next()
            found.append(_walked(course, rates))
            course.step()
        start, losses, changes, beta = (np.array(part) for part in zip(*found, strict=True))
        walks.append(Along(name, rates, start, losses, changes, beta))
    return Smoothness(tuple(walks))


def _reach(course: Course) -> tuple[float, float]:
    rate = float(course.optimizer.param_groups[0]["lr"])
    if not rate > 0:
        raise InputError("the optimizer's learning rate is 0; give reach=, the smallest and the largest step size")
    return 0.5 * rate, 4.0 * rate


def _walked(course: Course, rates: np.ndarray) -> tuple[float, list[float], list[float], float]:
    """Return the loss, and along the gradient losses, changes of the gradient, and the most per distance."""
    here = course.weights()
    start, gradient = course.gradient()
    length = _norm(gradient)
    losses, changes = [], []
    for rate in rates:
        course.go_to([w - float(rate) * g for w, g in zip(here, gradient, strict=True)])
        value, there = course.gradient()
        losses.append(value)
        changes.append(_norm([a - b for a, b in zip(there, gradient, strict=True)]))
    course.go_to(here)
    beta = max(change / (rate * length) for change, rate in zip(changes, rates, strict=True)) if length else math.nan
    return start, losses, changes, float(beta)


def _norm(parts: list[Tensor]) -> float:
    return math.sqrt(sum(float(torch.linalg.vector_norm(x.double())) ** 2 for x in parts))


def _range(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # from one loss that is infinite to another
        return np.asarray(values.max(1) - values.min(1))


def _rows(walk: Along) -> list[dict[str, Any]]:
    """Return what the chart shows; what a logarithmic scale cannot show is left out."""
    rows = []
    for step in range(len(walk.start)):
        row: dict[str, Any] = {"model": walk.model, "step": step}
        for name, values in (("loss", walk.losses[step]), ("change", walk.changes[step])):
            shown = values[np.isfinite(values) & (values > 0)]
            ends = (float(shown.min()), float(shown.max())) if len(shown) else (None, None)
            row[f"{name}_low"], row[f"{name}_high"] = ends
        beta = float(walk.smoothness[step])
        row["beta"] = beta if math.isfinite(beta) and beta > 0 else None
        rows.append(row)
    return rows
