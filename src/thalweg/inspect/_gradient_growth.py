"""How gradients grow with depth: deep fully connected networks at initialisation, with and without norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg import activation as activations
from thalweg import init as inits
from thalweg import norm as norms_of
from thalweg.activation._gain import alone
from thalweg.activation._technique import Activation
from thalweg.errors import InputError
from thalweg.init._technique import Init
from thalweg.inspect._course import whole
from thalweg.inspect._picture import Pictured
from thalweg.inspect._table import aligned, colour, number
from thalweg.key import Key
from thalweg.norm._technique import Norm

if TYPE_CHECKING:
    import altair as alt

__all__ = ["GradientGrowth", "Growth", "gradient_growth"]


@dataclass(frozen=True, eq=False)
class Growth:
    """The gradients of one deep network.

    Attributes:
        norm: the norm's name, or ``none``.
        norms: Frobenius norm of each layer's gradient by its weights, float64, shape ``(depth,)``.
        factor: how many times larger they are one layer further from the output, on average; NaN where some are 0.
        predicted: the same by formula, for large widths and batches; None where there is none.
    """

    norm: str
    norms: np.ndarray
    factor: float
    predicted: float | None


@dataclass(frozen=True, eq=False)
class GradientGrowth(Pictured):
    """What `gradient_growth` found; printed, a table.

    Attributes:
        networks: one for each norm.
    """

    networks: tuple[Growth, ...]

    def __str__(self) -> str:
        depth = len(self.networks[0].norms)
        head = ("norm", "layer 1", f"layer {depth}", "growth a layer", "predicted")
        rows = [
            (
                x.norm, number(x.norms[0]), number(x.norms[-1]), f"{x.factor:.3f}",
                "" if x.predicted is None else f"{x.predicted:.3f}",
            )
            for x in self.networks
        ]  # fmt: skip
        return f"{aligned(head, rows)}\nnorms of the weights' gradients; growth from a layer to the one below it"

    def chart(self) -> alt.LayerChart:
        """Return the picture: the norm of each layer's gradient, and lines of the predicted slope."""
        import altair as alt

        rows = []
        for one in self.networks:
            shown = np.isfinite(one.norms) & (one.norms > 0)
            for i in np.flatnonzero(shown):
                row: dict[str, Any] = {"model": one.norm, "layer": int(i) + 1, "norm": float(one.norms[i])}
                if one.predicted is not None and shown.all():
                    away = np.arange(len(one.norms)) * math.log(one.predicted)
                    middle = np.mean((np.log(one.norms) + away)[1:-1])
                    row["line"] = math.exp(middle - away[i])
                rows.append(row)
        x = alt.X("layer:Q", title="layer, from the input")
        scale = alt.Scale(type="log", nice=False)
        y, line = (
            alt.Y(f"{field}:Q", title="norm of the gradient by its weights", scale=scale)
            for field in ("norm", "line")
        )
        axis = alt.Axis(format=".0e", tickCount=6)
        base = alt.Chart(alt.InlineData(values=rows)).encode(
            x=x, color=colour([one.norm for one in self.networks]).title("norm")
        )
        points = base.mark_point(filled=True, size=20).encode(y=y.axis(axis))
        predicted = (
            base.transform_filter("isValid(datum.line)").mark_line(strokeDash=[4, 3]).encode(y=line.axis(axis))
        )
        chart = alt.layer(predicted, points, title="points: measured; dashed: predicted growth")
        chart = chart.properties(width=420, height=260)
        assert isinstance(chart, alt.LayerChart)
        return chart


def gradient_growth(
    batch: Tensor,
    *,
    depth: int = 50,
    width: int = 256,
    norms: Sequence[Norm | None] = (None, norms_of.batch()),
    activation: Activation = activations.relu(),  # noqa: B008  frozen
    init: Init = inits.he_normal(),  # noqa: B008  frozen
    seed: int = 0,
) -> GradientGrowth:
    """Measure how the gradient grows from layer to layer, in deep fully connected networks at initialisation.

    Each has ``depth`` linear layers, with a norm and the activation behind all but the last. The gradient by the
    outputs is normal with variance 1. Batch norm keeps signals of one size, and has gradients grow exponentially with
    depth: it divides by the deviation over the batch, from which the activation has taken the mean away. For f of a
    normal number, gradients grow by √(E[f′²] / Var f) a layer with batch norm, which is 1.21 for ReLU, and by
    √(E[f′²] / E[f²]) with norms over an example. `variance` shows the same of any model that is there.

    Args:
        batch: inputs, shape ``(N, features)``; at least two.
        depth: how many linear layers, from 4 up.
        width: of each layer's output.
        norms: ingredients of `thalweg.norm`; None for a network without.
        activation: of `thalweg.activation`.
        init: of `thalweg.init`; all networks have the same weights.
        seed: of the weights and of the gradient by the outputs.

    Raises:
        InputError: other inputs, or arguments out of their range.

    Source: Yang, Pennington, Rao, Sohl-Dickstein & Schoenholz 2019, A Mean Field Theory of Batch Normalization.

    >>> import torch
    >>> from thalweg import inspect
    >>> plain, batch = inspect.gradient_growth(torch.randn(64, 20), depth=20, width=128).networks
    >>> plain.factor < 1.1 < batch.factor, round(batch.predicted, 3)
    (True, 1.211)
    """
    whole("depth", depth, 4)
    whole("width", width, 2)
    if not isinstance(batch, Tensor) or batch.dim() != 2 or len(batch) < 2 or not batch.is_floating_point():
        raise InputError(
            "gradient_growth takes inputs (N, features) of numbers with fractions, at least two examples"
        )
    if not norms:
        raise InputError("norms takes at least one ingredient of thalweg.norm, or None for a network without")
    found = []
    for norm in norms:
        with (Key(seed) / "layers").seeded():  # layers draw weights, which init replaces
            model = _network(batch, depth, width, norm, activation)
        init.apply(model, Key(seed) / "gradient growth", batch)
        measured = _measured(model, batch, seed)
        inner = measured[1:-1]
        if len(inner) > 1 and np.isfinite(inner).all() and (inner > 0).all():
            factor = math.exp(-np.polyfit(np.arange(len(inner)), np.log(inner), 1)[0])
        else:
            factor = math.nan
        name = "none" if norm is None else norm.name
        found.append(Growth(name, measured, factor, _predicted(norm, activation.module())))
    return GradientGrowth(tuple(found))


def _network(batch: Tensor, depth: int, width: int, norm: Norm | None, activation: Activation) -> nn.Sequential:
    parts: list[nn.Module] = []
    for i in range(depth):
        parts.append(nn.Linear(batch.shape[1] if i == 0 else width, width))
        if i < depth - 1:
            parts += [] if norm is None else [norm.module(width)]
            parts.append(activation.module())
    return nn.Sequential(*parts).to(batch)


def _measured(model: nn.Sequential, batch: Tensor, seed: int) -> np.ndarray:
    weights: list[Any] = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    with torch.enable_grad():
        output = model.train()(batch.detach())
        numbers = (Key(seed) / "gradient").generator().standard_normal(tuple(output.shape))
        gradients = torch.autograd.grad(output, weights, torch.from_numpy(numbers).to(output))
    return np.array([float(g.double().norm()) for g in gradients])


def _predicted(norm: Norm | None, module: nn.Module) -> float | None:
    over = None if norm is None else norm.technique.over
    if over not in ("batch", "example"):
        return None
    z = torch.linspace(-10.0, 10.0, 20_000, dtype=torch.float64, requires_grad=True)  # none of them 0
    with torch.enable_grad():
        f = alone(module)(z)
        (slope,) = torch.autograd.grad(f.sum(), z)
    shares = torch.exp(-(z.detach() ** 2) / 2)
    shares = shares / shares.sum()
    mean, square, slopes = (float((shares * x.detach()).sum()) for x in (f, f * f, slope * slope))
    return math.sqrt(slopes / (square - mean * mean * (over == "batch")))
