"""What a model is judged by: one number for every example, so that a verdict can resample examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import InputError

__all__ = ["Metric", "absolute_error", "accuracy", "squared_error"]


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

    >>> import torch
    >>> within_one = Metric("within one", lambda output, y: (output.squeeze(-1) - y).abs() <= 1, True)
    >>> within_one.outcomes(torch.tensor([[1.0], [5.0]]), torch.tensor([1.5, 2.0])).tolist()
    [True, False]
    """

    name: str
    outcomes: Callable[[Tensor, Tensor], Tensor]
    higher_is_better: bool
    unit: str = ""


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


accuracy = Metric("accuracy", _correct, higher_is_better=True, unit="%")
"""The share of examples whose highest output is the target's class: output (N, classes), targets (N,)."""

squared_error = Metric("squared error", _squared, higher_is_better=False)
"""The squared difference of output and target, mean over an example's outputs; both (N, …)."""

absolute_error = Metric("absolute error", _absolute, higher_is_better=False)
"""The absolute difference of output and target, mean over an example's outputs; both (N, …)."""
