"""Models in training, looked at between two steps: the loss of a batch and its gradient, at any weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.inspect._batches import again, moved
from thalweg.inspect._kept import kept
from thalweg.task.reading import apply, first_line

__all__ = ["Course", "Data", "Loss", "Made", "courses", "whole"]

Data = Iterable[tuple[Any, Tensor]]
Loss = Callable[[Any, Tensor], Tensor]
Made = torch.optim.Optimizer | Callable[[Any], torch.optim.Optimizer]
"""An optimizer, or what makes one of a model's parameters."""


class Course:
    """One model in training.

    Each pass over the present batch sees the same buffers and draws the same dropout masks, so that what differs
    between two passes comes of the weights alone.

    Attributes:
        model: in training.
        parameters: those that are trained.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, data: Data, loss: Loss) -> None:
        self.model, self.optimizer, self._loss = model, optimizer, loss
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError(f"{type(model).__name__} has no parameter that is trained")
        self._place = self.parameters[0].device
        self._batches = again(data)
        self._after: list[tuple[Tensor, Tensor]] = []
        model.train()
        self.next()

    def next(self) -> None:
        """Take the next batch, with the buffers as the last step left them."""
        self._put(self._after)
        self.batch = tuple(moved(part, self._place) for part in next(self._batches))
        self._before = self._buffers()

    @torch.enable_grad()
    def loss(self) -> Tensor:
        """Return the loss of the batch at the weights as they are now, shape ``()``, ready for a backward pass.

        Raises:
            InputError: the model cannot take the batch, or the loss is not one number.
        """
        with torch.random.fork_rng(_devices()):
            return self._passed()

    def gradient(self, of: Iterable[Tensor] | None = None) -> tuple[float, list[Tensor]]:
        """Return the loss, and its gradient by the parameters, or by some of them."""
        wanted = self.parameters if of is None else list(of)
        value = self.loss()
        found = torch.autograd.grad(value, wanted, allow_unused=True)
        return float(value.detach()), [
            torch.zeros_like(p) if g is None else g.to_dense() for p, g in zip(wanted, found, strict=True)
        ]

    @torch.no_grad()
    def go_to(self, weights: Iterable[Tensor]) -> None:
        """Give the parameters other values."""
        for p, value in zip(self.parameters, weights, strict=True):
            p.detach().copy_(value)

    def weights(self) -> list[Tensor]:
        """Return a copy of the parameters' values."""
        return [p.detach().clone() for p in self.parameters]

    def step(self) -> None:
        """Update the weights by the gradient of the batch; its next one is then to be taken."""
        for p in self.parameters:
            p.grad = None
        with torch.enable_grad():
            self._passed().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        for p in self.parameters:
            p.grad = None
        self._after = self._buffers()

    def _buffers(self) -> list[tuple[Tensor, Tensor]]:
        return [(x, x.detach().clone()) for x in self.model.buffers()]

    @torch.no_grad()
    def _put(self, buffers: list[tuple[Tensor, Tensor]]) -> None:
        for x, value in buffers:
            x.copy_(value)

    def _passed(self) -> Tensor:
        self._put(self._before)
        inputs, targets = self.batch
        try:
            value = self._loss(apply(self.model, inputs), targets)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{type(self.model).__name__} cannot take a batch: {first_line(error)}") from error
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            raise InputError("the loss takes (output, targets) and returns one number that depends on the weights")
        return value.reshape(())


@contextmanager
def _course(model: nn.Module, optimizer: Made, data: Data, loss: Loss, seed: int) -> Iterator[Course]:
    made = optimizer if isinstance(optimizer, torch.optim.Optimizer) else optimizer(list(model.parameters()))
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(f"what makes an optimizer made a {type(made).__name__}; take lambda p: optim.SGD(p, lr=0.1)")
    with kept(model, made, data, seed):
        yield Course(model, made, data, loss)


def courses(
    models: nn.Module | Mapping[str, nn.Module], optimizer: Made, data: Data, loss: Loss, seed: int
) -> Iterator[tuple[str, Course]]:
    """Yield each model by its name, in training on the same batches; left as it was when the next one is asked for.

    Args:
        models: one, or several by name.
        optimizer: an optimizer of one model, or a function that makes one of the parameters of each.
        data: batches ``(inputs, targets)``, begun again when it ends.
        loss: ``(output, targets) -> scalar``.
        seed: of dropout and shuffling.

    Raises:
        InputError: arguments that do not fit together.
    """
    named = by_name(models)
    if not isinstance(optimizer, torch.optim.Optimizer) and not callable(optimizer):
        raise InputError("optimizer takes one of torch's kind, or a function such as lambda p: optim.SGD(p, lr=0.1)")
    if isinstance(optimizer, torch.optim.Optimizer) and len(named) > 1:
        raise InputError("one optimizer cannot train several models; give a function: lambda p: optim.SGD(p, lr=0.1)")
    if not callable(loss):
        raise InputError(f"loss takes a function (output, targets) -> scalar, not {type(loss).__name__}")
    if isinstance(data, Iterator):
        raise InputError("data that can be read only once would be used up; give a list or a DataLoader")
    for name, model in named.items():
        with _course(model, optimizer, data, loss, seed) as course:
            yield name, course


def by_name(models: Any) -> dict[str, nn.Module]:
    """Return models by name: those of a mapping, or one alone.

    Raises:
        InputError: something else, or none.
    """
    named = {"the model": models} if isinstance(models, nn.Module) else models
    if not isinstance(named, Mapping) or not named or not all(isinstance(x, nn.Module) for x in named.values()):
        raise InputError("give an nn.Module, or several by name, such as {'plain': net, 'batch norm': other}")
    return {str(name): model for name, model in named.items()}


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number from ``least`` up.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")
    return value


def _devices() -> list[int]:
    initialised = torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    return list(range(torch.cuda.device_count())) if initialised else []
