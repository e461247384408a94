"""How the noise of a mini-batch's gradient falls with its size, and from which size on a larger one gains little."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.inspect._batches import check_numbers
from thalweg.inspect._course import Loss, whole
from thalweg.inspect._picture import Pictured
from thalweg.inspect._steps import Steps
from thalweg.inspect._table import aligned, number
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Split, Task, apply
from thalweg.task.reading import first_line, leaves
from thalweg.train.made import loss_of, model_of

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Noise", "noise"]


@dataclass(frozen=True, eq=False)
class Noise(Pictured):
    """What `noise` found; printed, a table.

    Attributes:
        sizes: of batches, rising, int64, shape ``(n,)``.
        squares: ‖g − G‖² of each batch's gradient g, float64, shape ``(n, draws)``.
        cosines: of the angle between g and G, the same shape; NaN where G is 0.
        gradient: ‖G‖, of the gradient G of all examples together.
        trace: tr Σ, the variance of single examples' gradients, summed over the weights: what E‖g − G‖² is at size 1,
            and by the law B times as much as at size B.
        examples: how many there are.
        steps: of training before.
    """

    sizes: np.ndarray
    squares: np.ndarray
    cosines: np.ndarray
    gradient: float
    trace: float
    examples: int
    steps: int

    @property
    def law(self) -> np.ndarray:
        """What E‖g − G‖² is by the law: tr Σ / B, shape ``(n,)``."""
        return np.asarray(self.trace / self.sizes)

    @property
    def scale(self) -> float:
        """The gradient noise scale tr Σ / ‖G‖²: the size at which noise and gradient are as large as each other."""
        return self.trace / self.gradient**2 if self.gradient else math.nan

    @property
    def slope(self) -> float:
        """The power of B by which what was measured falls, −1 by the law; NaN where there is no noise."""
        if not (self.squares.mean(1) > 0).all():
            return math.nan
        return float(np.polyfit(np.log(self.sizes), np.log(self.squares.mean(1)), 1)[0])

    def __str__(self) -> str:
        head = ("batch size", "noise ‖g − G‖²", "tr Σ / B", "noise / ‖G‖", "cos(g, G)")
        rows = [
            (
                f"{size:,}", number(float(squares.mean())), number(float(law)),
                number(math.sqrt(float(squares.mean())) / self.gradient) if self.gradient else "",
                number(float(cosines.mean())),
            )
            for size, squares, law, cosines in zip(self.sizes, self.squares, self.law, self.cosines, strict=True)
        ]  # fmt: skip
        after = f" after {self.steps} steps" if self.steps else ""
        return (
            f"{aligned(head, rows, 0)}\nmeans over {self.squares.shape[1]} batches, of {self.examples:,} examples"
            f"{after}; noise falls as B to the power {self.slope:.2f}\n"
            f"noise scale tr Σ / ‖G‖² = {number(self.trace)} / {number(self.gradient**2)} = {number(self.scale)}: "
            "batches much smaller are mostly noise, much larger ones gain little"
        )

    def chart(self) -> alt.LayerChart:
        """Return the picture: the noise of each batch by its size, their means, the law 1/B, and the noise scale."""
        import altair as alt

        x = alt.X("size:Q", title="batch size B", scale=alt.Scale(type="log", nice=False, padding=12))
        log, axis = alt.Scale(type="log", nice=False), alt.Axis(format=".0e", tickCount=6)
        y, predicted = (
            alt.Y(f"{name}:Q", title="noise of the gradient, ‖g − G‖²", scale=log, axis=axis)
            for name in ("noise", "law")
        )
        each = [
            {"size": int(size), "noise": float(value)}
            for size, row in zip(self.sizes, self.squares, strict=True)
            for value in row[row > 0]
        ]
        means = [
            {"size": int(size), "noise": float(row.mean()), "law": float(law)}
            for size, row, law in zip(self.sizes, self.squares, self.law, strict=True)
        ]
        points = alt.Chart(alt.InlineData(values=each)).mark_point(
            filled=True, size=10, opacity=0.25, color="#8a8f98"
        )
        base = alt.Chart(alt.InlineData(values=means)).encode(x=x)
        mean = base.mark_point(filled=True, size=60, color="#2b6cb0", opacity=1).encode(y=y)
        law = base.mark_line(strokeWidth=2, color="#c05621").encode(y=predicted)
        layers: list[Any] = [points.encode(x=x, y=y), law, mean]
        if self.sizes[0] <= self.scale <= self.sizes[-1]:
            ends = alt.InlineData(values=[{"size": self.scale}])
            layers.append(alt.Chart(ends).mark_rule(strokeDash=[4, 3], color="#2f855a", strokeWidth=2).encode(x=x))
        title = "points: measured; line: tr Σ / B; dashed: noise scale"
        chart = alt.layer(*layers, title=title).properties(width=420, height=280)
        assert isinstance(chart, alt.LayerChart)
        return chart


def noise(
    subject: Task | nn.Module,
    data: Any = None,
    loss: Loss | None = None,
    *,
    recipe: Recipe | None = None,
    steps: int = 0,
    sizes: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256),
    draws: int = 30,
    examples: int = 2048,
    seed: int = 0,
) -> Noise:
    """Measure how far a mini-batch's gradient lies from that of all examples, by the size of the batch.

    Batches are drawn with replacement, so that the law is exact: E‖g − G‖² = tr Σ / B, where Σ is the covariance of
    single examples' gradients, which are all computed. The model is in evaluation mode: dropout would add noise of
    its own, and batch norm has an example's gradient depend on its batch. What is given is left as it was.

    Args:
        subject: a `thalweg.Task`, or your own module.
        data: with a module, examples ``(inputs, targets)``: tensors whose first axis counts them.
        loss: with a module, ``(output, targets) -> scalar``, a mean over examples.
        recipe: with a task, how it is trained before; adam at its defaults if not given.
        steps: with a task, how many steps it is trained before: noise grows against the gradient as the loss falls.
        sizes: of batches, rising.
        draws: batches of each size.
        examples: how many at most, from all over the data.
        seed: of initial weights, of training, and of what is drawn.

    Raises:
        InputError: arguments that do not fit together, or a model or loss that cannot take the examples.

    Source: McCandlish, Kaplan & Amodei 2018, An Empirical Model of Large-Batch Training, section 2.2.

    >>> import thalweg as tw
    >>> from thalweg import inspect
    >>> found = inspect.noise(tw.load_task("wine"), sizes=(1, 4, 16, 64))
    >>> -1.2 < found.slope < -0.8, bool((abs(found.squares.mean(1) / found.law - 1) < 0.5).all())
    (True, True)
    """
    sizes = tuple(whole("each of sizes", size) for size in sizes)
    if len(sizes) < 2 or any(b <= a for a, b in pairwise(sizes)):
        raise InputError("sizes takes at least two whole numbers, rising, such as (1, 4, 16, 64)")
    whole("draws", draws, 2)
    whole("examples", examples, 2)
    whole("steps", steps, 0)
    if isinstance(subject, Task):
        if data is not None or loss is not None:
            raise InputError("a task brings its data and loss along; leave data and loss out")
        model, part, loss = _of_task(subject, recipe, steps, seed)
    else:
        model, part = _of_module(subject, data, loss, recipe, steps)
        assert loss is not None
    part = _spread(part, examples)
    measured = _Gradient(model.eval(), part, loss)
    with (Key(seed) / "noise").seeded():
        singles = torch.arange(len(part))
        total = measured(singles)
        length = float(total.norm())
        # By single examples, all of them: exact, where the loss is a mean over examples.
        trace = math.fsum(float((measured(i[None]) - total).square().sum()) for i in singles) / len(part)
        squares, cosines = np.zeros((len(sizes), draws)), np.zeros((len(sizes), draws))
        for row, size in enumerate(sizes):
            for draw in range(draws):
                rows = (Key(seed) / "noise" / size / draw).generator().integers(0, len(part), size)
                g = measured(torch.from_numpy(rows))
                squares[row, draw] = float((g - total).square().sum())
                both = length * float(g.norm())
                cosines[row, draw] = float(g @ total) / both if both else math.nan
    return Noise(np.array(sizes), squares, cosines, length, trace, len(part), steps)


def _of_task(task: Task, recipe: Recipe | None, steps: int, seed: int) -> tuple[nn.Module, Split, Loss]:
    if recipe is not None and not isinstance(recipe, Recipe):
        raise InputError(f"recipe takes a Recipe, not {type(recipe).__name__}")
    chosen = (recipe or Recipe(batch_size=task.batch_size, epochs=task.epochs)).resolved()
    model = model_of(task, chosen, seed)
    if steps:
        training = Steps(task, chosen, seed)
        rate = float(dict(chosen.optimizer)["lr"])
        for _ in range(steps):
            training(rate)
        model.load_state_dict(training.models.weights(0))
    return model, task.train, loss_of(task, chosen)


def _of_module(
    model: Any, data: Any, loss: Loss | None, recipe: Recipe | None, steps: int
) -> tuple[nn.Module, Split]:
    if not isinstance(model, nn.Module):
        raise InputError(f"noise takes a Task or an nn.Module, not {type(model).__name__}")
    if not isinstance(data, tuple | list) or len(data) != 2 or not isinstance(data[1], Tensor) or not callable(loss):
        raise InputError("with a module, give noise(model, (inputs, targets), loss), the targets a tensor")
    check_numbers(data[0], data[1])
    if len(data[1]) < 2:
        raise InputError("one example has no noise; give at least 2")
    if recipe is not None or steps:
        raise InputError("a module is taken as it is; recipe and steps are for tasks")
    inputs = tuple(data[0]) if isinstance(data[0], list) else data[0]
    part = Split(inputs, data[1])
    if any(len(x) != len(part) for x in leaves(inputs)):
        raise InputError("inputs and targets differ in length; the first axis of each counts the examples")
    try:
        return copy.deepcopy(model), part
    except Exception as error:
        raise InputError(f"{type(model).__name__} cannot be copied: {first_line(error)}") from error


def _spread(part: Split, count: int) -> Split:
    return part.at(torch.linspace(0, len(part) - 1, min(count, len(part)), dtype=torch.float64).long())


class _Gradient:
    """The gradient of the mean loss of some examples, as one vector in float64."""

    def __init__(self, model: nn.Module, part: Split, loss: Loss) -> None:
        self.model, self.part, self.loss = model, part, loss
        self.trained = [p for p in model.parameters() if p.requires_grad]
        if not self.trained:
            raise InputError(f"{type(model).__name__} has no parameter that is trained")

    def __call__(self, rows: Tensor) -> Tensor:
        some = self.part.at(rows)
        with torch.enable_grad():
            try:
                value = self.loss(apply(self.model, some.inputs), some.targets)
                found = torch.autograd.grad(value, self.trained, allow_unused=True)
            except Exception as error:
                name = type(self.model).__name__
                raise InputError(
                    f"{name} or the loss cannot take {len(rows)} examples: {first_line(error)}"
                ) from error
        parts = [torch.zeros_like(p) if g is None else g.to_dense() for p, g in zip(self.trained, found, strict=True)]
        return torch.cat([x.detach().double().flatten() for x in parts])
