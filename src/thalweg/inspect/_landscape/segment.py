"""The loss on the straight line between two solutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from thalweg.errors import InputError
from thalweg.inspect._course import Loss, whole
from thalweg.inspect._landscape.losses import Losses, Weights, task_of
from thalweg.inspect._landscape.planes import NOTED
from thalweg.inspect._picture import Pictured
from thalweg.inspect._table import aligned, number
from thalweg.task import Task

if TYPE_CHECKING:
    import altair as alt

__all__ = ["LossSegment", "loss_segment"]


@dataclass(frozen=True, eq=False)
class LossSegment(Pictured):
    """What `loss_segment` found; printed, a table.

    Attributes:
        shares: of the way from the first solution (0) to the second (1); it goes on a little to both sides.
        losses: there, float64.
        names: of the two.
        examples: how many the loss is a mean over.
    """

    shares: np.ndarray
    losses: np.ndarray
    names: tuple[str, str]
    examples: int

    @property
    def ends(self) -> tuple[float, float]:
        """The losses of the two solutions."""
        first, second = (int(np.argmin(np.abs(self.shares - share))) for share in (0, 1))
        return float(self.losses[first]), float(self.losses[second])

    @property
    def barrier(self) -> float:
        """By how much the loss between the two rises at most above the straight line between their losses."""
        inside = (self.shares >= -1e-12) & (self.shares <= 1 + 1e-12)
        a, b = self.ends
        return float(np.max(self.losses[inside] - (a + (b - a) * self.shares[inside])))

    def __str__(self) -> str:
        rows = [(f"{share:.3g}", number(float(loss))) for share, loss in zip(self.shares, self.losses, strict=True)]
        a, b = self.ends
        first, second = self.names
        return (
            f"loss {number(a)} at {first}, {number(b)} at {second}; barrier between them {number(self.barrier)}\n"
            + aligned(("share of the way", "loss"), rows)
        )

    def chart(self) -> alt.LayerChart:
        """Return the chart: the loss over the way, and the straight line between the two losses."""
        import altair as alt

        rows = [
            {"share": float(s), "loss": float(v)}
            for s, v in zip(self.shares, self.losses, strict=True)
            if np.isfinite(v)
        ]
        title = f"share of the way from {self.names[0]} (0) to {self.names[1]} (1)"
        base = alt.Chart(alt.InlineData(values=rows)).encode(
            x=alt.X("share:Q", title=title), y=alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False)),
            tooltip=["share:Q", "loss:Q"],
        )  # fmt: skip
        ends = [{"share": float(i), "loss": loss} for i, loss in enumerate(self.ends)]
        straight = alt.Chart(alt.InlineData(values=ends)).encode(x="share:Q", y="loss:Q")
        rule, dots = straight.mark_line(strokeDash=[4, 3], color="#8a8f98"), straight.mark_point(filled=True, size=60)
        chart = alt.layer(rule, base.mark_line(strokeWidth=2, color="#2b6cb0"), dots)
        told = alt.TitleParams(
            f"barrier {number(self.barrier)}", subtitle=[f"Loss over {self.examples} training examples.", NOTED]
        )
        chart = chart.properties(width=560, height=300, title=told)
        assert isinstance(chart, alt.LayerChart)
        return chart


def loss_segment(
    first: Weights,
    second: Weights,
    model: nn.Module,
    data: Task | Any,
    loss: Loss | None = None,
    *,
    points: int = 21,
    examples: int = 1000,
    seed: int = 0,
    names: tuple[str, str] = ("the first", "the second"),
) -> LossSegment:
    """Evaluate the loss on the straight line between two solutions, and a quarter of its length beyond them.

    Args:
        first, second: the solutions: state dicts, or models.
        model: of the same architecture; what is not trained is as it is here.
        data, loss, examples, seed: see `loss_plane`.
        points: from the first solution to the second, both among them.
        names: of the two.

    Raises:
        InputError: arguments that do not fit together.

    Source: Goodfellow, Vinyals & Saxe 2015; the barrier: Frankle et al. 2020.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect
    >>> x = torch.randn(64, 3)
    >>> a, b = nn.Linear(3, 1), nn.Linear(3, 1)
    >>> found = inspect.loss_segment(a, b, a, (x, x[:, :1]), nn.functional.mse_loss)
    >>> bool(found.barrier <= 1e-6)  # the loss of a linear model is convex
    True
    """
    count = whole("points", points, 2)
    task = task_of(model, data, loss)
    losses = Losses(task, model, whole("examples", examples), seed)
    a, b = losses.flat(first), losses.flat(second)
    if torch.equal(a, b):
        raise InputError("the two solutions are the same")
    beyond = (count - 1) // 4
    shares = np.arange(-beyond, count + beyond) / (count - 1)
    steps = torch.from_numpy(shares).to(a)[:, None]
    return LossSegment(shares, losses(torch.where(steps == 1, b, a + steps * (b - a))), names, len(losses.split))
