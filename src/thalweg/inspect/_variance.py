"""How the variance of signals and gradients goes from layer to layer, measured and predicted."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from thalweg.errors import InputError
from thalweg.inspect._batches import check_numbers, check_open
from thalweg.inspect._picture import Pictured
from thalweg.inspect._signals import LAYERS, Signal, signals
from thalweg.inspect._table import aligned
from thalweg.key import Key

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Variance", "variance"]


@dataclass(frozen=True, eq=False)
class Variance(Pictured):
    """What `variance` found; printed, a table.

    Attributes:
        rows: one for each call of a layer, in their order.
        left_out: the modules with weights of which nothing is said: they are no linear layer or convolution of
            torch's, or were not called.
    """

    rows: tuple[Signal, ...]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = ("layer", "fan in", "fan out", "Var(s)", "predicted", "Var(g)", "predicted")
        cells = [
            (
                row.layer or "the model", f"{row.fan_in:.4g}", f"{row.fan_out:.4g}", _number(row.seen),
                _number(row.predicted) + "*" * row.anew, _number(row.gradient_seen), _number(row.gradient_predicted),
            )
            for row in self.rows
        ]  # fmt: skip
        lines = [aligned(head, cells)]
        if any(row.anew for row in self.rows[1:]):
            lines.append("*: predicted from what was measured just before it; no formula says what happens there")
        if self.left_out:
            lines.append(f"left out: {', '.join(self.left_out)}")
        return "\n".join(lines)

    def chart(self) -> alt.HConcatChart:
        """Return the chart: both variances over the layers, on a logarithmic scale; predictions are the lines."""
        import altair as alt

        charts = []
        for title, rows in (("forward: Var(s)", self._points("")), ("backward: Var(g)", self._points("gradient_"))):
            x = alt.X("call:N", title="layer", sort=None, axis=alt.Axis(labelAngle=-45, labelLimit=120))
            y = alt.Y("value:Q", title=title, scale=alt.Scale(type="log", nice=False))
            base = alt.Chart(alt.InlineData(values=list(rows))).encode(
                x=x, y=y, tooltip=["call:N", "kind:N", "value:Q"]
            )
            is_line = alt.datum.kind == "predicted"
            line = base.transform_filter(is_line).mark_line(strokeWidth=2, color="#2b6cb0")
            points = base.transform_filter(~is_line).mark_point(filled=True, size=40, color="#8a8f98", opacity=1)
            charts.append(alt.layer(line, points).properties(width=320, height=240))
        chart = alt.hconcat(*charts, title="points: measured; lines: predicted")
        assert isinstance(chart, alt.HConcatChart)
        return chart

    def _points(self, what: str) -> Iterator[dict[str, Any]]:
        """Yield what a logarithmic scale can show."""
        calls: dict[str, int] = {}
        for row in self.rows:
            number = calls[row.layer] = calls.get(row.layer, 0) + 1
            name = (row.layer or "the model") + f", call {number}" * (number > 1)
            for kind, value in (
                ("measured", getattr(row, f"{what}seen")),
                ("predicted", getattr(row, f"{what}predicted")),
            ):
                if value is not None and math.isfinite(value) and value > 0:
                    yield {"call": name, "kind": kind, "value": value}


def variance(model: nn.Module, batch: Any, *, seed: int = 0) -> Variance:
    """Measure how large signals and gradients are layer by layer, and predict it by Glorot and He's formula.

    Forward: Var(s) of what each linear layer and convolution puts out for the batch, predicted as
    fan_in · E[w²] · E[x²], where E[x²] = E[f(s)²] follows from Var(s) of the layer before, with s taken as normal.
    Backward: Var(g) of the gradient by s, for a gradient by the model's outputs that is normal with variance 1;
    predicted as fan_out · E[w²] · E[f'(s)²] times that of the layer behind. Where a model does something that no
    formula is for, such as max pooling or attention, the prediction goes on from what was measured there; and in a
    model whose forward torch.fx cannot trace, each layer's from what enters it.

    Args:
        model: untouched; a copy runs, in the mode that the model is in.
        batch: inputs as the model takes them: a tensor, or a tuple or dict of them.
        seed: of the gradient by the outputs, and of dropout.

    Raises:
        InputError: a model without linear or convolution layers, or that does not take the inputs.

    Source: Glorot & Bengio 2010, equations 5 and 6; He et al. 2015, equations 7 and 14.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import init, inspect
    >>> net = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    >>> _ = init.he_normal().apply(net, key=0)
    >>> found = inspect.variance(net, torch.ones(1, 100))
    >>> [row.layer for row in found.rows], round(found.rows[1].predicted, 1)
    (['0', '2', '4'], 2.0)
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"variance takes an nn.Module, not {type(model).__name__}")
    check_open(model)
    check_numbers(batch)
    try:
        apart = copy.deepcopy(model)
    except Exception as error:
        raise InputError(f"{type(model).__name__} cannot be copied: {error}") from error
    rows = tuple(signals(apart, batch, Key(seed) / "variance"))
    return Variance(rows, tuple(_left_out(apart, {row.layer for row in rows})))


def _left_out(model: nn.Module, seen: set[str]) -> Iterator[str]:
    """Yield modules that have matrices of their own and no row, each with its type."""
    for name, module in model.named_modules():
        own = any(p.dim() > 1 for p in module.parameters(recurse=False))
        if own and name not in seen and "parametrizations" not in name:
            yield f"{name or 'the model'} ({type(module).__name__}{', not called' * isinstance(module, LAYERS)})"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3g}"
