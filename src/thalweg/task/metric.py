"""What a model is judged by: one number for every example, so that a verdict can resample examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import InputError

__all__ = ["Metric", "absolute_error", "accuracy", "balanced_accuracy", "squared_error"]


@dataclass(frozen=True)
class Metric:
    """How good outputs are, example by example.

    Args:
        name: what reports call it, such as ``"accuracy"``.
        outcomes: ``(output, targets) -> Tensor``. Shape ``(examples,)``: one value an example, whose mean is
            the metric; then the verdict covers another test set too. A metric that is not a mean of
            examples (F1, AUC) may return one value, shape ``()``; then it covers other seeds alone.
        higher_is_better: True for accuracies, False for errors.
        unit: what one step of it is called; ``"%"`` shows fractions as percent.
        least: what it cannot be below, such as 0 for an error: intervals end there. Shares, whose unit is ``"%"``,
            are from 0 to 1 without saying so.
        by_example: whether an example's value depends on its own output and target alone; then many models' outputs
            are judged in one call, as if they were more examples.

    >>> import torch
    >>> within_one = Metric("within one", lambda output, y: (output.squeeze(-1) - y).abs() <= 1, True)
    >>> within_one.outcomes(torch.tensor([[1.0], [5.0]]), torch.tensor([1.5, 2.0])).tolist()
    [True, False]
    """

    name: str
    outcomes: Callable[[Tensor, Tensor], Tensor]
    higher_is_better: bool
    unit: str = ""
    least: float | None = None
    by_example: bool = False

    def __post_init__(self) -> None:
        least = self.least
        if least is not None and not (isinstance(least, int | float) and math.isfinite(least)):
            raise InputError(f"least= of a metric takes a number that it cannot be below, or None, not {least!r}")


def _correct(output: Tensor, targets: Tensor) -> Tensor:
    if output.dim() != 2 or targets.dim() != 1 or output.shape[1] < 2:
        raise InputError(
            f"accuracy compares scores (N, classes) with classes (N,), not shape {tuple(output.shape)} with "
            f"{tuple(targets.shape)}; {_instead(output, targets)}"
        )
    return (output.argmax(-1) == targets).float()


def _instead(output: Tensor, targets: Tensor) -> str:
    """Return which metric fits: scores of classes at each place of an example, or one score an example."""
    per_place = output.dim() == targets.dim() + 1 > 2 and not targets.is_floating_point()
    for axis, places in ((-1, output.shape[:-1]), (1, output.shape[:1] + output.shape[2:])):
        if per_place and places == targets.shape:
            right, own = f"output.argmax({axis}) == y", "flatten(1).mean(1)" if targets.dim() > 2 else "mean(1)"
            if (targets < 0).any() and targets.dim() == 2:
                found = f"(({right}) & (y >= 0)).sum(1) / (y >= 0).sum(1)"
            else:
                found = f"({right}).float().{own}"
            return f"for a class at each place, give a Metric of your own, such as lambda output, y: {found}"
    return (
        "for one score an example, give a Metric of your own, such as lambda output, y: "
        "((output > 0) == (y > 0)).float()"
    )


def _squared(output: Tensor, targets: Tensor) -> Tensor:
    return (output.reshape(targets.shape) - targets).square().reshape(len(targets), -1).mean(1)


def _absolute(output: Tensor, targets: Tensor) -> Tensor:
    return torch.abs(output.reshape(targets.shape) - targets).reshape(len(targets), -1).mean(1)


accuracy = Metric("accuracy", _correct, higher_is_better=True, unit="%", by_example=True)
"""The share of examples whose highest output is the target's class: output (N, classes), targets (N,)."""

squared_error = Metric("squared error", _squared, higher_is_better=False, least=0.0, by_example=True)
"""The squared difference of output and target, mean over an example's outputs; both (N, …)."""

absolute_error = Metric("absolute error", _absolute, higher_is_better=False, least=0.0, by_example=True)
"""The absolute difference of output and target, mean over an example's outputs; both (N, …)."""


def balanced_accuracy(targets: Any) -> Metric:
    """Return balanced accuracy, the mean over classes of the share of each that is right, as a metric of examples.

    An example that is right counts n / (C n_c): with n examples of C classes, n_c of them of its class c. The mean
    over a split is the mean of its classes' shares where the split has classes in the shares of ``targets``, as
    stratified ones have; always saying one class comes to 1 / C.

    Args:
        targets: the classes, ``(n,)``, counted from 0: all of those that are split, or those of valid and test.

    Raises:
        InputError: no classes, one class alone, or a class that has no example.

    Source: Brodersen, Ong, Stephan & Buhmann 2010, The balanced accuracy and its posterior distribution.

    >>> metric = balanced_accuracy([0, 0, 0, 1])
    >>> metric.outcomes(torch.tensor([[1.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])).mean()
    tensor(0.5000)
    """
    classes = torch.as_tensor(targets)
    if classes.dim() != 1 or not len(classes) or classes.is_floating_point() or int(classes.min()) < 0:
        raise InputError(
            "balanced_accuracy takes the classes of all examples, whole numbers (N,) that count from 0, not shape "
            f"{tuple(classes.shape)} of {str(classes.dtype).removeprefix('torch.')}"
        )
    counts = torch.bincount(classes.long())
    if len(counts) < 2 or int(counts.min()) == 0:
        empty = "one class alone" if len(counts) < 2 else f"no example of class {int(counts.argmin())}"
        raise InputError(f"balanced_accuracy got {empty}; it takes the classes of all examples, counted from 0")
    weights = (len(classes) / (len(counts) * counts.double())).float()

    def recalled(output: Tensor, targets: Tensor) -> Tensor:
        right = _correct(output, targets)
        if int(targets.max()) >= len(weights):
            raise InputError(
                f"balanced_accuracy was given {len(weights)} classes, and targets have the class {int(targets.max())}"
            )
        return right * weights.to(right.device)[targets]

    return Metric("balanced accuracy", recalled, higher_is_better=True, unit="%", by_example=True)
