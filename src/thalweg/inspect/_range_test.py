"""The learning-rate range test: the rate rises from step to step, and the loss says from where to where it may be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg import optim
from thalweg.errors import InputError
from thalweg.inspect._batches import again, moved
from thalweg.inspect._kept import kept
from thalweg.inspect._picture import Pictured
from thalweg.inspect._steps import Steps
from thalweg.recipe import Recipe
from thalweg.task import Task, apply
from thalweg.technique import Choice, Ingredient

if TYPE_CHECKING:
    import altair as alt

__all__ = ["RangeTest", "range_test"]

BEGUN, DONE = 0.1, 0.9
"""The band is from where so much of the loss's whole fall is made to where so much is."""

EXPLODED = 3.0
"""The sweep ends when the loss is higher than it began, and above its lowest by so many times that."""

WIDTH = 0.03
"""The standard deviation of the smoothing weights, as a share of the sweep."""


@dataclass(frozen=True, eq=False)
class RangeTest(Pictured):
    """What a sweep of the learning rate found.

    Attributes:
        rates: the learning rates, rising, float64, shape ``(n,)``; those up to where the sweep ended.
        losses: the loss of the batch that followed the update at each rate, shape ``(n,)``.
        smoothed: the same, each averaged with those around it, by Gaussian weights over the sweep.
        start: the loss before the first update.
        band: rates between which the loss falls, ``(low, high)``; None where it does not fall clearly. ``low`` is the
            first rate at which a tenth of the smoothed loss's whole fall is made, ``high`` the first at which nine
            tenths are.
        ended: in a few words, why the sweep went no further.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    start: float
    band: tuple[float, float] | None
    ended: str

    def __str__(self) -> str:
        rates = f"{self.rates[0]:.2g} to {self.rates[-1]:.2g}" if len(self.rates) else "none"
        head = f"learning rates {rates} in {len(self.rates)} steps; {self.ended}"
        if self.band is None:
            return f"{head}\nno band: the loss does not fall clearly at any rate"
        best = int(np.argmin(self.smoothed))
        low, high = self.band
        return (
            f"{head}\n"
            f"band {low:.2g} to {high:.2g}: from a tenth to nine tenths of the smoothed loss's fall, which is from "
            f"{self.smoothed[0]:.4g} to {self.smoothed[best]:.4g} at {self.rates[best]:.2g}"
        )

    def chart(self) -> alt.LayerChart:
        """See `curve`."""
        return self.curve()

    def curve(self) -> alt.LayerChart:
        """Return the chart: the loss over the rate, its smoothed course, and the band."""
        import altair as alt

        table = {"rate": self.rates, "loss": self.losses, "smoothed": self.smoothed}
        rows = [dict(zip(table, map(float, row), strict=True)) for row in zip(*table.values(), strict=True)]
        x = alt.X(
            "rate:Q",
            title="learning rate",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(format=".0e", grid=False),
        )
        around = alt.Scale(domain=self._limits(), nice=False)
        base = alt.Chart(alt.InlineData(values=rows)).encode(x=x)
        y = {name: alt.Y(f"{name}:Q", title="loss", scale=around) for name in ("loss", "smoothed")}
        points = base.mark_point(filled=True, size=12, opacity=0.4, color="#8a8f98", clip=True).encode(y=y["loss"])
        line = base.mark_line(strokeWidth=2, color="#2b6cb0", clip=True).encode(y=y["smoothed"])
        layers: list[Any] = [points, line]
        if self.band is not None:
            ends = alt.InlineData(values=[{"low": self.band[0], "high": self.band[1]}])
            band = alt.Chart(ends).mark_rect(opacity=0.15, color="#2b6cb0")
            layers.insert(0, band.encode(x=alt.X("low:Q", title="learning rate"), x2="high:Q"))
        chart = alt.layer(*layers).properties(width=520, height=280)
        assert isinstance(chart, alt.LayerChart)
        return chart

    def _limits(self) -> list[float]:
        """Return what of the loss is shown: what lies before it explodes."""
        low, top = float(np.min([self.start, *self.smoothed])), float(np.max([self.start, *self.smoothed[:1]]))
        pad = 0.25 * (top - low) or 1.0
        return [low - pad, top + pad]


def range_test(
    subject: Task | nn.Module,
    optimizer: Recipe | Ingredient | torch.optim.Optimizer | Any = None,
    data: Iterable[tuple[Any, Tensor]] | None = None,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    steps: int = 100,
    seed: int = 0,
) -> RangeTest:
    """Sweep the learning rate over a short training, and say between which rates the loss falls.

    The rate rises by the same factor each step. The sweep ends early when the loss explodes. Whatever it was given is
    left bit for bit as it was, also when it raises or is interrupted: parameters and gradients, buffers, the
    optimizer's groups and state, which modules are in training, and every generator of random numbers.

    Args:
        subject: a `thalweg.Task`, or your own module.
        optimizer: with a task, an ingredient of `thalweg.optim`, or a recipe, of which all counts but schedule,
            average and epochs. With a module, its torch optimizer, whose step needs no closure; groups keep the
            ratios of their rates, and the first group has the rate.
        data: with a module, batches ``(inputs, targets)``, such as a ``DataLoader``; begun again when it ends.
        loss: with a module, ``(output, targets) -> scalar``.
        low, high: the first and the last rate. Left out: a factor of ten beyond where the ingredient is searched, or
            1e-6 and 10.
        steps: how many.
        seed: of a task's initial weights, order and dropout; of a module's dropout and shuffling.

    Raises:
        InputError: arguments that do not fit together.

    >>> import thalweg as tw
    >>> found = tw.schedule.range_test(tw.load_task("digits"), tw.optim.sgd(), steps=60)
    >>> low, high = found.band
    >>> 0.001 < low < high < 10
    True
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 3:
        raise InputError(f"steps takes a whole number from 3 up, not {steps!r}")
    if isinstance(subject, Task):
        if data is not None or loss is not None:
            raise InputError("a task brings its data and loss along; leave data and loss out")
        recipe = _recipe(subject, optimizer)
        rates = _rates(low, high, steps, recipe.optimizer)
        return _sweep(rates, Steps(subject, recipe, seed))
    if not isinstance(subject, nn.Module):
        raise InputError(f"a range test takes a Task or an nn.Module, not {type(subject).__name__}")
    if not isinstance(optimizer, torch.optim.Optimizer) or data is None or not callable(loss):
        raise InputError(
            "with a module, give range_test(model, optimizer, data, loss), the optimizer one of torch's kind"
        )
    if isinstance(data, Iterator):
        raise InputError("data that can be read only once would be used up; give a list or a DataLoader")
    rates = _rates(low, high, steps, None)
    with kept(subject, optimizer, data, seed):
        return _sweep(rates, _module_steps(subject, optimizer, data, loss))


# -- the sweep -----------------------------------------------------------------------------------------

Step = Callable[[float | None], float]
"""Returns the loss of the next batch, and then updates at a rate, unless that is None."""


def _sweep(rates: np.ndarray, take: Step) -> RangeTest:
    start = take(float(rates[0]))
    if not math.isfinite(start):
        raise InputError("the loss is not finite before the first update; there is nothing to find")
    losses: list[float] = []
    best, average, ended = start, start, "all steps were taken"
    for i in range(len(rates)):
        value = take(float(rates[i + 1]) if i + 1 < len(rates) else None)
        if not math.isfinite(value):
            ended = f"after {rates[i]:.2g} the loss was not finite"
            break
        losses.append(value)
        average = 0.7 * average + 0.3 * value
        if average > max(start, best + EXPLODED * abs(best)):
            ended = f"at {rates[i]:.2g} the loss exploded"
            break
        best = min(best, average)
    done = rates[: len(losses)]
    smoothed = _smooth(np.array(losses), WIDTH * len(rates))
    band = _band(done, np.array(losses), smoothed, start)
    arrays = (done.copy(), np.array(losses), smoothed)
    for array in arrays:
        array.setflags(write=False)
    return RangeTest(*arrays, start=start, band=band, ended=ended)


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    places = np.arange(len(values))
    weights = np.exp(-(((places[:, None] - places) / max(width, 1e-6)) ** 2) / 2)
    return np.asarray((weights @ values) / weights.sum(axis=1)) if len(values) else values


def _band(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, start: float) -> tuple[float, float] | None:
    if len(rates) < 3:
        return None
    bottom = int(np.argmin(smoothed))
    fall = smoothed[0] - smoothed[bottom]
    noise = float(np.std((losses - smoothed)[: bottom + 1]))
    if not fall > max(2 * noise, 1e-3 * abs(start)):
        return None
    made = (smoothed[0] - smoothed) / fall
    low, high = (float(rates[int(np.argmax(made >= share))]) for share in (BEGUN, DONE))
    return low, high


def _rates(low: float | None, high: float | None, steps: int, ingredient: Ingredient | None) -> np.ndarray:
    place = ingredient.technique.space.get("lr") if ingredient is not None else None
    wide = (1e-6, 10.0) if place is None or isinstance(place, Choice) else (place.low / 10, place.high * 10)
    first, last = wide[0] if low is None else low, wide[1] if high is None else high
    if not 0 < first < last < math.inf:
        raise InputError(f"a sweep needs 0 < low < high, not {first:g} and {last:g}")
    return np.geomspace(float(first), float(last), steps)


# -- what it sweeps over -------------------------------------------------------------------------------


def _recipe(task: Task, optimizer: Any) -> Recipe:
    if isinstance(optimizer, Recipe):
        return optimizer.resolved()
    given = optim.adam() if optimizer is None else optimizer
    return Recipe(optimizer=given, batch_size=task.batch_size).resolved()


def _module_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: Iterable[tuple[Any, Tensor]], loss: Any
) -> Step:
    model.train()
    first = float(optimizer.param_groups[0]["lr"])
    ratios = [float(group["lr"]) / first if first else 1.0 for group in optimizer.param_groups]
    found = again(data)
    place = next((p.device for p in model.parameters()), torch.device("cpu"))

    def take(rate: float | None) -> float:
        inputs, targets = (moved(part, place) for part in next(found))
        for p in itertools.chain(model.parameters(), *(group["params"] for group in optimizer.param_groups)):
            p.grad = None
        value = loss(apply(model, inputs), targets)
        if rate is not None and bool(torch.isfinite(value)):
            value.backward()
            for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * ratio)
                else:
                    group["lr"] = rate * ratio
            optimizer.step()
        return float(value.detach())

    return take
