"""How sensitive the loss is to small changes of the weights where inputs are raw, and where they are standardised."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from thalweg.errors import InputError
from thalweg.inspect._course import whole
from thalweg.inspect._picture import Pictured
from thalweg.inspect._table import aligned, colour, number
from thalweg.key import Key
from thalweg.norm._standardise import standardize
from thalweg.task.reading import first_line

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Response", "Sensitivity", "sensitivity"]

NAMES = ("raw inputs", "standardised inputs")
GRID = 21
"""Points along each side of the plane that is drawn."""


@dataclass(frozen=True, eq=False)
class Response:
    """What the loss does when the first layer's weights are moved.

    Attributes:
        inputs: ``raw inputs`` or ``standardised inputs``.
        losses: after moving by each size in each direction, float64, shape ``(sizes, directions)``.
        plane: over two directions, from −reach to reach along each, shape ``(points, points)``.
        condition: the largest over the smallest eigenvalue, of those that are not 0, of E[x xᵀ] of what enters the
            layer with a 1 for the bias: how narrow a valley its weights stand in.
    """

    inputs: str
    losses: np.ndarray
    plane: np.ndarray
    condition: float


@dataclass(frozen=True, eq=False)
class Sensitivity(Pictured):
    """What `sensitivity` found; printed, a table.

    Attributes:
        layer: whose weights are moved: the first that is called.
        start: the loss of the model as it is, with raw and with standardised inputs alike.
        sizes: by how much weights are moved, in parts of their norm.
        reach: how far the plane goes.
        raw, standardised: what happens.
    """

    layer: str
    start: float
    sizes: tuple[float, ...]
    reach: float
    raw: Response
    standardised: Response

    def __str__(self) -> str:
        head = ("", *(f"moved by {size:.3g}" for size in self.sizes), "condition")
        rows = [
            (x.inputs, *(number(float(np.median(losses))) for losses in x.losses), number(x.condition))
            for x in (self.raw, self.standardised)
        ]
        count = self.raw.losses.shape[1]
        return (
            f"{aligned(head, rows)}\nloss, {number(self.start)} before: medians over {count} directions in which the "
            f"weights of {self.layer} are moved, in parts of their norm"
        )

    def chart(self) -> alt.VConcatChart:
        """Return the picture: the loss over how far weights are moved, and over a plane of two directions."""
        import altair as alt

        both = (self.raw, self.standardised)
        rows = [
            {"model": x.inputs, "size": size, **dict(zip(("low", "middle", "high"), map(float, found), strict=True))}
            for x in both
            for size, losses in zip(self.sizes, x.losses, strict=True)
            if np.isfinite(found := np.quantile(losses, [0.1, 0.5, 0.9])).all()
        ]
        base = alt.Chart(alt.InlineData(values=rows)).encode(
            x=alt.X("size:Q", title="weights moved, in parts of their norm", scale=alt.Scale(type="log", nice=False)),
            color=colour(NAMES),
        )
        log = alt.Scale(**self._scale(), zero=False)
        band = base.mark_area(opacity=0.25).encode(y=alt.Y("low:Q", title="loss", scale=log), y2="high:Q")
        line = base.mark_line(strokeWidth=2, point=True).encode(y=alt.Y("middle:Q", title="loss", scale=log))
        top = alt.layer(band, line).properties(width=500, height=200)
        ends = [float(np.nanmin(self.standardised.plane)), float(np.nanmax(self.raw.plane))]
        panels = [self._plane(x, ends) for x in both]
        chart = alt.vconcat(top, alt.hconcat(*panels)).resolve_scale(color="independent")
        assert isinstance(chart, alt.VConcatChart)
        return chart

    def _scale(self) -> dict[str, Any]:
        """Return a logarithmic scale, where all losses are above 0."""
        above = all((part > 0).all() for x in (self.raw, self.standardised) for part in (x.losses, x.plane))
        return {"type": "log" if above else "symlog"}

    def _plane(self, response: Response, ends: list[float]) -> Any:
        import altair as alt

        places, half = np.linspace(-self.reach, self.reach, GRID), self.reach / (GRID - 1)
        rows = [
            {"a": a - half, "a2": a + half, "b": b - half, "b2": b + half, "loss": float(response.plane[i, j])}
            for i, a in enumerate(places)
            for j, b in enumerate(places)
            if np.isfinite(response.plane[i, j])
        ]
        scale = alt.Scale(**self._scale(), domain=ends, scheme="viridis", reverse=True)
        plain = alt.Axis(grid=False)
        chart = alt.Chart(alt.InlineData(values=rows), title=response.inputs).mark_rect()
        return chart.encode(
            x=alt.X("a:Q", title="one direction", scale=alt.Scale(nice=False), axis=plain), x2="a2:Q",
            y=alt.Y("b:Q", title="another", scale=alt.Scale(nice=False), axis=plain), y2="b2:Q",
            color=alt.Color("loss:Q", scale=scale),
        ).properties(width=200, height=200)  # fmt: skip


@torch.no_grad()
def sensitivity(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Any, Tensor], Tensor],
    *,
    sizes: Sequence[float] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    directions: int = 30,
    seed: int = 0,
) -> Sensitivity:
    """Move the first layer's weights a little: how far does the loss go, with raw inputs and with standardised ones?

    The model takes standardised inputs. Beside it stands one that computes the same of the raw inputs, because its
    first layer does the standardising: weights w / σ, bias b − w · μ / σ. Both have the same loss; what differs is
    how far it goes when weights are moved by the same part of their norm in a random direction. The model is
    untouched: copies are moved, in evaluation mode.

    Args:
        model: for inputs of mean 0 and deviation 1; at its initial weights, or trained.
        inputs: raw, shape ``(N, features)`` or ``(N, channels, …)``.
        targets: as the loss takes them.
        loss: ``(output, targets) -> scalar``.
        sizes: by how much weights are moved, in parts of their norm, rising.
        directions: how many random ones.
        seed: of the directions.

    Raises:
        InputError: a model whose first layer is not linear or a convolution, or that does more to its inputs than to
            shape them; or other inputs.

    Source: LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.3.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect
    >>> x = torch.randn(200, 4) * torch.tensor([1.0, 10.0, 0.1, 1.0]) + 20.0
    >>> found = inspect.sensitivity(nn.Linear(4, 1), x, torch.zeros(200, 1), nn.functional.mse_loss)
    >>> bool(found.raw.losses[-1].mean() > 10 * found.standardised.losses[-1].mean())
    True
    """
    whole("directions", directions)
    sizes = tuple(float(size) for size in sizes)
    if not sizes or not all(0 < a < b for a, b in zip((*sizes,), (*sizes[1:], float("inf")), strict=True)):
        raise InputError("sizes takes numbers above 0, rising, such as (0.01, 0.1, 1.0)")
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.dim() < 2 or len(inputs) < 2:
        raise InputError("sensitivity takes raw inputs (N, features, …) of numbers with fractions, at least two")
    standardised, raw, layer = _both(model, inputs)
    found = []
    for name, apart, x in zip(NAMES, (raw, standardised), (inputs, standardize(inputs)[0]), strict=True):
        found.append(_moved(name, apart, layer, x, targets, loss, sizes, directions, Key(seed) / "sensitivity"))
    (start, one), (_, other) = found
    return Sensitivity(layer or "the model", start, sizes, sizes[-1], one, other)


def _both(model: nn.Module, inputs: Tensor) -> tuple[nn.Module, nn.Module, str]:
    """Return copies that take standardised and raw inputs, and the name of their first layer."""
    standardised, raw = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    axes = [0, *range(2, inputs.dim())]
    mean = inputs.mean(axes, keepdim=True)
    deviation = inputs.std(axes, correction=0, keepdim=True)
    deviation = torch.where(deviation == 0, 1.0, deviation)
    few = inputs[:8]
    path, entering = _entering(standardised, few)
    shift = _entering(standardised, (mean + 0 * few))[1]
    scale = _entering(standardised, (mean + deviation + 0 * few))[1] - shift
    inside = _entering(standardised, (few - mean) / deviation)[1]
    if not torch.allclose(inside * scale + shift, entering, rtol=1e-3, atol=1e-3 * float(entering.abs().max())):
        raise InputError("the model does more to its inputs than to shape them before its first layer")
    layer: Any = raw.get_submodule(path)
    axis = entering.dim() - 1 if isinstance(layer, nn.Linear) else 1
    shift, scale = (x.transpose(0, axis).flatten(1)[:, 0] for x in (shift, scale))
    if isinstance(layer, _ConvNd):
        _pad_with(layer, shift)
    spread = [1, -1, *[1] * (layer.weight.dim() - 2)]
    groups = getattr(layer, "groups", 1)
    if groups > 1:
        raise InputError(f"the first layer {path} has groups, of which raw inputs cannot be taken apart")
    weight = layer.weight / scale.view(spread)
    bias = layer.bias if layer.bias is not None else torch.zeros(len(weight)).to(weight)
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(bias - (weight * shift.view(spread)).flatten(1).sum(1))
    return standardised, raw, path


def _entering(model: nn.Module, x: Tensor) -> tuple[str, Tensor]:
    """Return the name of the first layer that a model calls, and what enters it."""
    seen: list[tuple[str, Tensor]] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, given: tuple[Any, ...]) -> None:
            if not seen and given and isinstance(given[0], Tensor):
                seen.append((name, given[0].detach().clone()))

        return hook

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    hooks = [m.register_forward_pre_hook(note(n)) for n, m in model.named_modules() if isinstance(m, kinds)]
    try:
        model(x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{type(model).__name__} cannot take the inputs: {first_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise InputError(f"{type(model).__name__} calls no linear or convolution layer")
    return seen[0]


def _pad_with(layer: Any, mean: Tensor) -> None:
    """Let a convolution fill up borders with each channel's mean, which is 0 once inputs are standardised."""
    pads = list(layer._reversed_padding_repeated_twice)  # noqa: SLF001
    if layer.padding_mode != "zeros" or not any(pads):
        return
    middle = mean.view(1, -1, *[1] * len(layer.kernel_size))
    layer.register_forward_pre_hook(lambda _, given: (F.pad(given[0] - middle, pads) + middle,))
    layer.padding, layer._reversed_padding_repeated_twice = (0,) * len(layer.kernel_size), [0] * len(pads)  # noqa: SLF001


def _moved(
    name: str,
    model: nn.Module,
    path: str,
    x: Tensor,
    targets: Tensor,
    loss: Callable[[Any, Tensor], Tensor],
    sizes: tuple[float, ...],
    directions: int,
    key: Key,
) -> tuple[float, Response]:
    """Return the loss where the weights are, and around."""
    layer: Any = model.get_submodule(path)
    weight: Tensor = layer.weight.detach()
    here, length = weight.clone(), weight.norm()

    def direction(i: int) -> Tensor:
        drawn = torch.from_numpy((key / i).generator().standard_normal(tuple(here.shape))).to(here)
        scaled: Tensor = drawn * (length / drawn.norm())
        return scaled

    def at(step: Tensor | float) -> float:
        weight.copy_(here + step)
        return float(loss(model(x), targets))

    start = at(0.0)
    losses = np.array([[at(size * direction(i)) for i in range(directions)] for size in sizes])
    places = np.linspace(-sizes[-1], sizes[-1], GRID)
    one, other = direction(0), direction(directions)
    plane = np.array([[at(float(a) * one + float(b) * other) for b in places] for a in places])
    weight.copy_(here)
    return start, Response(name, losses, plane, _condition(_entering(model, x)[1], isinstance(layer, nn.Linear)))


def _condition(entering: Tensor, linear: bool) -> float:
    rows = (entering if linear else entering.movedim(1, -1)).flatten(0, -2).double()
    rows = torch.cat([rows, torch.ones(len(rows), 1).to(rows)], 1)
    values = torch.linalg.eigvalsh(rows.T @ rows / len(rows))
    kept = values[values > 1e-10 * values[-1]]
    return float(kept[-1] / kept[0])
