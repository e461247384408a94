"""Trying a task on a few examples before a study begins, so that a mistake is said in one sentence."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.task.reading import Split, apply, are_classes, first_line, leaves
from thalweg.task.task import Task

__all__ = ["check"]


def check(task: Task) -> None:
    """Run the model, the loss and the metric on a few examples.

    Raises:
        InputError: one of them cannot do its part; the message says which, on what, and what to change.
    """
    module = task.model(0)
    if not any(p.requires_grad for p in module.parameters()):
        raise InputError(f"the model of task {task.name} has no trainable parameters; there is nothing to train")
    few = task.train.at(slice(0, 8))
    with (Key(0) / "check").seeded():
        output = _forward(task, module.train(), few)
        loss = _loss(task, output, few.targets)
        _backward(task, module, loss)
        with torch.no_grad():
            _metric(
                task, _forward(task, module.eval(), task.valid.at(slice(0, 8))), task.valid.at(slice(0, 8)).targets
            )


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def _forward(task: Task, module: nn.Module, few: Split) -> Any:
    try:
        output = apply(module, few.inputs)
    except Exception as error:
        shapes = " and ".join(_shape(x) for x in leaves(few.inputs))
        raise InputError(
            f"the model of task {task.name} cannot take its inputs ({shapes}): {first_line(error)}"
        ) from error
    if isinstance(output, Tensor) and output.dim() and len(output) != len(few):
        raise InputError(
            f"the model of task {task.name} returns {_shape(output)} for {len(few)} examples; "
            "the first axis of its output must count the examples"
        )
    return output


def _loss(task: Task, output: Any, targets: Tensor) -> Tensor:
    both = f"the output has {_shape(output)}, the targets {_shape(targets)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss = task.loss(output, targets)
    except Warning as warning:
        raise InputError(f"the loss of task {task.name} would compare unlike shapes: {both}") from warning
    except Exception as error:
        raise InputError(
            f"the loss of task {task.name} cannot take the model's output: {_classes(task, output) or both} "
            f"({first_line(error)})"
        ) from error
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        raise InputError(
            f"the loss of task {task.name} returns {_shape(loss)}, not one number; take the mean over the batch"
        )
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss of task {task.name} is {loss.item()} before the first step; "
            "look at the range of the inputs (standardize=True helps) and at the model's output"
        )
    outside = _classes(task, output)
    if outside and isinstance(output, Tensor) and output.dim() == 2 and output.shape[1] > 1:
        raise InputError(f"the loss of task {task.name} cannot take all targets: {outside}")
    return loss


def _classes(task: Task, output: Any) -> str:
    """Return what is wrong with the number of classes, if anything is."""
    if not (isinstance(output, Tensor) and output.dim() == 2 and are_classes(task.train.targets)):
        return ""
    every = torch.cat([part.targets for part in (task.train, task.valid, task.test)])
    low, high, known = int(every.min()), int(every.max()), output.shape[1]
    if low >= 0 and high < known:
        return ""
    return (
        f"targets are classes {low} to {high}, and a model with {known} outputs knows 0 to {known - 1}; "
        f"{'count classes from 0' if low > 0 and high == known else f'give it {high + 1} outputs'}"
    )


def _backward(task: Task, module: nn.Module, loss: Tensor) -> None:
    parameters = [p for p in module.parameters() if p.requires_grad]
    try:
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    except RuntimeError as error:
        raise InputError(
            f"the loss of task {task.name} has no gradient; something between model and loss leaves the graph "
            f"({first_line(error)})"
        ) from error
    if all(g is None for g in gradients):
        raise InputError(f"the loss of task {task.name} does not depend on the model's parameters")


def _metric(task: Task, output: Any, targets: Tensor) -> None:
    name = task.metric.name
    try:
        values = task.metric.outcomes(output, targets)
    except Exception as error:
        raise InputError(
            f"the metric {name} cannot take the model's output ({_shape(output)}) and targets ({_shape(targets)}): "
            f"{first_line(error)}"
        ) from error
    if not isinstance(values, Tensor) or tuple(values.shape) not in ((), (len(targets),)):
        raise InputError(
            f"the metric {name} returns {_shape(values)} for {len(targets)} examples; "
            f"it must return one value an example, shape ({len(targets)},), or one for all, shape ()"
        )
