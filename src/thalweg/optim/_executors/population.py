"""A formula for many runs at once: parameters as rows of one matrix, hyperparameters as a column.

The formula is called as it stands. Where it combines hyperparameters and the step alone, a `Column` computes
in float64; where a column meets the matrix, it is rounded once to the matrix's type, as a Python float is.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thalweg.optim._technique import Optimizer

__all__ = ["Column", "PopulationStep"]


def _row_by_row(operation: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a column's operator and its reflection: float64 among columns, rounded where a tensor is met."""

    def forward(self: Column, other: Any) -> Any:
        if isinstance(other, Tensor):
            return operation(self.rounded(other), other)
        return Column(operation(self.values, _plain(other)))

    def reflected(self: Column, other: Any) -> Any:
        if isinstance(other, Tensor):
            return operation(other, self.rounded(other))
        return Column(operation(_plain(other), self.values))

    return forward, reflected


def _plain(value: Any) -> Any:
    return value.values if isinstance(value, Column) else value


class Column:
    """One float64 number a run; arithmetic with a tensor ``(runs, n)`` is row by row.

    >>> import torch
    >>> (1 - Column([0.5, 0.75])) * torch.ones(2, 3)
    tensor([[0.5000, 0.5000, 0.5000],
            [0.2500, 0.2500, 0.2500]])
    """

    __slots__ = ("_rounded", "values")

    def __init__(self, values: Sequence[float] | np.ndarray) -> None:
        self.values = np.asarray(values, dtype=np.float64)
        self._rounded: Tensor | None = None

    def rounded(self, like: Tensor) -> Tensor:
        """Return the column as a tensor ``(runs, 1)`` of the type and device of ``like``."""
        if self._rounded is None or self._rounded.dtype != like.dtype:
            self._rounded = torch.from_numpy(self.values).to(like.device, like.dtype).unsqueeze(1)
        return self._rounded

    __add__, __radd__ = _row_by_row(operator.add)
    __sub__, __rsub__ = _row_by_row(operator.sub)
    __mul__, __rmul__ = _row_by_row(operator.mul)
    __truediv__, __rtruediv__ = _row_by_row(operator.truediv)

    def __pow__(self, exponent: Any) -> Column:
        return Column(self.values ** _plain(exponent))

    def __rpow__(self, base: Any) -> Column:
        return Column(_plain(base) ** self.values)

    def __neg__(self) -> Column:
        return Column(-self.values)

    def sqrt(self) -> Column:
        """Return the square roots."""
        return Column(np.sqrt(self.values))


class PopulationStep:
    """Updates the rows of a population that share a formula.

    Args:
        technique: whose formula.
        hyperparameters: one mapping a row, every hyperparameter in it.
        parameters: shape ``(runs, n)``; updated in place.
    """

    def __init__(
        self, technique: Optimizer, hyperparameters: Sequence[Mapping[str, float]], parameters: Tensor
    ) -> None:
        self.technique = technique
        self.parameters = parameters
        self.hyperparameters = {
            name: Column([row[name] for row in hyperparameters]) for name in technique.hyperparameters
        }
        start = technique.start
        self.state: list[Any] = [torch.full_like(parameters, start.get(name, 0.0)) for name in technique.state] + [
            Column(np.full(len(parameters), start.get(name, 0.0))) for name in technique.scalars
        ]

    def step(self, gradients: Tensor, t: int, multipliers: np.ndarray) -> None:
        """Update once.

        Args:
            gradients: shape ``(runs, n)``.
            t: the step, counted from 1.
            multipliers: of each row's ``lr``, shape ``(runs,)``: what its schedule says.
        """
        hyperparameters = {**self.hyperparameters, "lr": self.hyperparameters["lr"] * Column(multipliers)}
        new, *self.state = self.technique.formula(self.parameters, gradients, *self.state, t=t, **hyperparameters)
        self.parameters.copy_(new)
