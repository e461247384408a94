"""What is checked: a task and a recipe, and passes through its model that depend on the weights alone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.inspect._steps import Steps
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Split, Task, apply
from thalweg.task.reading import are_classes, each, leaves
from thalweg.train.drawn import _generators
from thalweg.train.made import loss_of, model_of

__all__ = [
    "LONG",
    "Pass",
    "Subject",
    "Trained",
    "clock",
    "difference",
    "doubled",
    "numbers_in",
    "outputs_of",
    "spread",
]


LONG = 2.0
"""Seconds of work after which a check comes to its end with what it has."""


def clock() -> float:
    """Return seconds of work: what others do on the machine meanwhile is left out."""
    return time.process_time() / torch.get_num_threads()


class Subject:
    """A task and a recipe, as its checks need them.

    Attributes:
        task: what is checked.
        recipe: resolved; of its ranges, the defaults.
        loss: what is minimised.
    """

    def __init__(self, task: Task, recipe: Recipe) -> None:
        self.task, self.recipe, self.loss = task, recipe, loss_of(task, recipe)

    def model(self) -> nn.Module:
        """Return a fresh module at its initial weights, always the same, in the modes that it is made in."""
        return model_of(self.task, self.recipe, 0)

    @property
    def classes(self) -> bool:
        """Whether targets are one class an example."""
        return are_classes(self.task.train.targets)

    def feature(self, name: str, place: int) -> str:
        """Return what a number among the inputs is called: as the file that it is from does, or by its place."""
        names = self.task.features
        return names[place] if name == "inputs" and place < len(names) else f"{name}: feature {place}"

    def class_(self, number: int) -> str:
        """Return what a class is called."""
        names = self.task.classes
        return names[number] if 0 <= number < len(names) else str(number)

    @cached_property
    def batch(self) -> Split:
        """Examples from all over train: a batch of the recipe's size, from 16 to 64."""
        return spread(self.task.train, min(max(16, self.recipe.sizes()[0]), 64))

    @cached_property
    def first(self) -> tuple[Any, Tensor]:
        """Output and loss of the batch, in training, before the first step; detached."""
        one = Pass(self, self.model().train(), self.batch)
        started = clock()
        output, loss = one()
        self._pace = (clock() - started) / len(self.batch)
        return output, loss.detach()

    def some(self, part: Split, most: int, seconds: float = 1.0) -> Split:
        """Return examples from all over a split, as many as pass forward in so many seconds, at least 8."""
        assert self.first
        return spread(part, max(8, min(most, int(seconds / max(self._pace, 1e-9)))))

    @cached_property
    def output(self) -> Tensor | None:
        """The output of the batch before the first step, where it is one tensor of numbers, detached; else None."""
        output = self.first[0]
        whole = isinstance(output, Tensor) and output.is_floating_point() and len(output) == len(self.batch)
        return output.detach() if whole else None

    @cached_property
    def trained(self) -> Trained:
        """Some first steps of the recipe, at its learning rate."""
        return Trained(self)

    @property
    def rate(self) -> float:
        """The recipe's learning rate."""
        return float(dict(self.recipe.optimizer)["lr"])


class Pass:
    """A model and a batch: each call sees the same buffers and draws the same random numbers.

    Args:
        subject: whose loss.
        module: in the modes that it is to be in.
        batch: what passes.
        seed: of what it draws.
    """

    def __init__(self, subject: Subject, module: nn.Module, batch: Split, seed: int = 0) -> None:
        self.subject, self.module, self.batch, self.key = subject, module, batch, Key(seed) / "pass"
        self.draws = True  # until a pass has shown that it draws nothing
        self._buffers = [(x, x.detach().clone()) for x in module.buffers()]

    def output(self) -> Any:
        """Return what the model gives."""
        with torch.no_grad():
            for x, value in self._buffers:
                x.copy_(value)
        if not self.draws:
            return apply(self.module, self.batch.inputs)
        with self.key.seeded():
            before = _generators()
            found = apply(self.module, self.batch.inputs)
            self.draws = _generators() != before
            return found

    def __call__(self) -> tuple[Any, Tensor]:
        """Return output and loss, ready for a backward pass."""
        with torch.enable_grad():
            output = self.output()
            return output, self._loss(output)

    @torch.no_grad()
    def value(self) -> float:
        """Return the loss."""
        return float(self._loss(self.output()))

    def _loss(self, output: Any) -> Tensor:
        with (self.key / "loss").seeded() if self.draws else nullcontext():
            return self.subject.loss(output, self.batch.targets)


class Trained:
    """The first steps of a training: how large weights, gradients and updates are.

    Attributes:
        names: of the parameters that are trained.
        weights, gradients, updates: norms before each step, of its gradient and of what it added, by parameter.
        losses: of each step's batch.
        seconds: a step, the least seen.
    """

    STEPS = 8

    def __init__(self, subject: Subject) -> None:
        steps = Steps(subject.task, subject.recipe, 0)
        models = steps.models
        self.names = list(models.names)
        self.losses: list[float] = []
        self.seconds = float("inf")
        kinds: tuple[list[list[float]], ...] = ([], [], [])
        begun = clock()
        for _ in range(self.STEPS):
            if len(self.losses) > 1 and clock() - begun > LONG:
                break
            before = models.parameters[0].clone()
            started = time.perf_counter()
            self.losses.append(steps(subject.rate))
            self.seconds = min(self.seconds, time.perf_counter() - started)
            rows = (before, models.gradients[0], models.parameters[0] - before)
            for found, row in zip(kinds, rows, strict=True):
                found.append([float(x.double().norm()) for x in models.named(row).values()])
        self.weights, self.gradients, self.updates = (torch.tensor(x, dtype=torch.float64) for x in kinds)
        self.shapes = dict(zip(models.names, models.shapes, strict=True))


def spread(part: Split, count: int) -> Split:
    """Return examples from all over a split, copied: neighbours may be of one class."""
    return part.at(torch.linspace(0, len(part) - 1, min(count, len(part)), dtype=torch.float64).long())


def doubled(part: Split) -> Split:
    """Return examples in float64, where they have fractions."""

    def double(x: Tensor) -> Tensor:
        return x.double() if x.is_floating_point() else x

    return Split(each(part.inputs, double), double(part.targets))


def outputs_of(output: Any, count: int) -> list[Tensor]:
    """Return the tensors of an output whose first axis counts the examples."""
    found = [x for x in tree_leaves(output) if isinstance(x, Tensor) and x.dim() and len(x) == count]
    return [x.detach() for x in found if x.is_floating_point()]


def difference(one: Iterable[Tensor], other: Iterable[Tensor]) -> float:
    """Return by how much tensors differ at most, in parts of the largest number in them."""
    most = 0.0
    for a, b in zip(one, other, strict=True):
        size = float(torch.maximum(a.abs(), b.abs()).nan_to_num().max()) if a.numel() else 0.0
        if size:
            most = max(most, float((a - b).abs().nan_to_num().max()) / size)
    return most


def numbers_in(part: Split) -> int:
    """Return how many numbers an example's inputs have."""
    return sum(x[0].numel() for x in leaves(part.inputs))
