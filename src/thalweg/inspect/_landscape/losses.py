"""The loss of a task at any weights, many at a time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.inspect._course import Loss
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Metric, Split, Task, apply
from thalweg.task.reading import first_line
from thalweg.train.executors import EXECUTORS
from thalweg.train.state import Member, RunState, of_module
from thalweg.train.step import Executor, quiet_fallback

__all__ = ["Losses", "Weights", "check_evaluated", "task_of"]

Weights = nn.Module | Mapping[str, Tensor]
"""A model, or its state dict."""

TOGETHER = 32
"""How many models pass at once, where they are small."""

ROOM = 1 << 26
"""Bytes that the weights of models that pass at once take at most."""

CHUNK = 256


class Losses:
    """The mean loss over examples, as a function of all weights that are trained.

    In evaluation mode: nothing is dropped. Batch norms have, at each point, the statistics of these very examples, so
    that the loss depends on the weights alone and not on what was trained on before.

    Args:
        task: whose loss and training examples.
        model: whose weights are moved; what is not trained stays as it is here.
        examples: how many, drawn by ``seed``; all of them if there are no more.
    """

    def __init__(self, task: Task, model: nn.Module, examples: int, seed: int) -> None:
        self.task, split = task, task.train
        self._state = RunState(Member(Recipe().resolved(), 0), tensors=of_module(model))
        if len(split) > examples:
            drawn = (Key(seed) / "landscape" / "examples").permutation(len(split))[:examples]
            split = split.at(torch.from_numpy(np.sort(drawn)))
        self.split: Split = split
        alone = EXECUTORS["one by one"](task, [self._state])
        self.names, self.shapes = alone.names, alone.shapes
        self.vector = alone.parameters[0].clone()
        self._alone: Executor = alone
        self._many: Executor | None = None
        room = max(1, ROOM // max(1, self.vector.nbytes))
        self._together = min(TOGETHER, room)

    def flat(self, weights: Weights) -> Tensor:
        """Return what is trained of a model's weights as one vector.

        Raises:
            InputError: they are not those of this model.
        """
        own = dict(weights.named_parameters()) if isinstance(weights, nn.Module) else weights
        for name, shape in zip(self.names, self.shapes, strict=True):
            if name not in own or tuple(own[name].shape) != shape:
                raise InputError(f"these weights are of another model: {name} {tuple(shape)} is not among them")
        return torch.cat([own[name].detach().reshape(-1).to(self.vector) for name in self.names])

    @quiet_fallback()
    def __call__(self, weights: Tensor) -> np.ndarray:
        """Return the loss at each row of weights, float64, shape ``(rows,)``."""
        found = []
        for start in range(0, len(weights), self._together):
            part = weights[start : start + self._together]
            if self._together > 1 and len(weights) > 1:
                try:
                    found.append(self._with(self._population(), part))
                    continue
                except (RuntimeError, NotImplementedError, ValueError):  # vmap cannot take the model or its loss
                    self._together = 1
                    return self(weights)
            found += [self._with(self._alone, row[None]) for row in part]
        return np.concatenate(found)

    def _population(self) -> Executor:
        if self._many is None:
            self._many = EXECUTORS["vmapped"](self.task, [self._state] * self._together, self._together)
        return self._many

    def _with(self, models: Executor, weights: Tensor) -> np.ndarray:
        sums = np.zeros(len(weights))
        with torch.no_grad(), models.evaluated(torch.arange(len(weights)), weights, self.split):
            for start in range(0, len(self.split), CHUNK):
                part = self.split.at(slice(start, start + CHUNK))
                outputs = models.outputs(part.inputs)[: len(weights)]
                sums += [float(self.task.loss(output, part.targets)) * len(part) for output in outputs]
        return sums / len(self.split)


def check_evaluated(task: Task) -> None:
    """Refuse a task whose loss is for what its model puts out in training alone."""
    few = task.train.at(slice(0, 2))
    try:
        with Key(0).seeded(), torch.no_grad():
            task.loss(apply(task.model(0).eval(), few.inputs), few.targets)
    except Exception as error:
        raise InputError(
            f"a landscape is that of the loss in evaluation, and the loss of task {task.name} cannot take what its "
            f"model puts out there: {first_line(error)}"
        ) from error


def task_of(model: nn.Module, data: Any, loss: Loss | None) -> Task:
    """Return the task that someone's module, data and loss make; a task as it is.

    Raises:
        InputError: they do not fit together.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a landscape is that of an nn.Module, not of a {type(model).__name__}")
    if isinstance(data, Task):
        if loss is not None:
            raise InputError("a task brings its loss along; leave loss out")
        check_evaluated(data)
        return data
    if not callable(loss):
        raise InputError("give data as (inputs, targets) and loss as (output, targets) -> scalar, or a thalweg.Task")
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    held = copy.deepcopy(model).cpu()
    unused = Metric("loss", lambda output, targets: loss(output, targets), higher_is_better=False)
    made = Task(
        model=lambda: copy.deepcopy(held), train=data, valid=data, test=data, loss=loss, metric=unused, dtype=kind
    )
    try:
        with torch.no_grad():
            few = made.train.at(slice(0, 2))
            value = loss(apply(copy.deepcopy(held).eval(), few.inputs), few.targets)
    except Exception as error:
        raise InputError(f"{type(model).__name__} or the loss cannot take the data: {first_line(error)}") from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise InputError("the loss takes (output, targets) and returns one number")
    return made
