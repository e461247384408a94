"""Many runs of one formula at once: parameters as rows of one matrix, each row with its own hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim._executors import eager, fused
from thalweg.optim._executors.kernel import kernel
from thalweg.optim._executors.lifting import lift
from thalweg.optim._technique import Optimizer

__all__ = ["PopulationStep"]


class PopulationStep:
    """Updates the rows of a population that share a formula.

    A formula of scope ``element`` updates all rows in one pass; of scope ``tensor``, each row's parameters in their
    shapes; of scope ``model``, each row as a whole.

    Args:
        technique: whose formula.
        hyperparameters: one mapping a row, every hyperparameter in it.
        parameters: shape ``(runs, n)``, each row contiguous; updated in place.
        shapes: of the parameters that make up a row, in order; one flat parameter if not given.
    """

    def __init__(
        self,
        technique: Optimizer,
        hyperparameters: Sequence[Mapping[str, Any]],
        parameters: Tensor,
        shapes: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        self.technique = technique
        self.parameters = parameters
        self.hyperparameters = [dict(row) for row in hyperparameters]
        start = [float(technique.start.get(name, 0.0)) for name in technique.scalars]
        if technique.scope == "tensor":
            self.shapes = [tuple(shape) for shape in shapes or [parameters.shape[1:]]]
            self.pieces = [self._cut(row) for row in parameters]
            self.state: Any = [[eager.begin(technique, p, p.dtype) for p in row] for row in self.pieces]
            self.scalars: list[Any] = [[list(start) for _ in row] for row in self.pieces]
        else:
            self.state = eager.begin(technique, parameters, parameters.dtype)
            self.scalars = [list(start) for _ in parameters]
        self.takes_pieces = False
        if technique.scope == "element":
            self.sizes = [int(np.prod(shape)) for shape in shapes or [parameters.shape[1:]]]
            self._prepare()

    # -- what a row keeps ----------------------------------------------------------------------------

    def kept(self, row: int) -> tuple[list[Tensor], list[Any]]:
        """Return a row's state as tensors, views, and its scalars: all that `keep` needs to go on from there."""
        if self.technique.scope == "tensor":
            return [x for piece in self.state[row] for x in piece], [list(piece) for piece in self.scalars[row]]
        return [x[row] for x in self.state], list(self.scalars[row])

    def keep(self, row: int, tensors: Sequence[Tensor], scalars: Sequence[Any]) -> None:
        """Give a row the state that `kept` returned of one."""
        for place, value in zip(self.kept(row)[0], tensors, strict=True):
            place.copy_(value)
        nested = self.technique.scope == "tensor"
        self.scalars[row] = [list(piece) for piece in scalars] if nested else list(scalars)

    # -- steps ---------------------------------------------------------------------------------------

    def step(
        self, gradients: Tensor | Sequence[Sequence[Tensor]], t: int | Sequence[int], multipliers: np.ndarray
    ) -> None:
        """Update once.

        Args:
            gradients: shape ``(runs, n)``; or, where it ``takes_pieces``, of each run those of its parameters, each
                contiguous.
            t: each row's step, counted from 1; one number where all are at the same.
            multipliers: of each row's ``lr``, shape ``(runs,)``: what its schedule says.
        """
        times = [t] * len(self.hyperparameters) if isinstance(t, int) else [int(one) for one in t]
        rates = [values["lr"] * float(m) for values, m in zip(self.hyperparameters, multipliers, strict=True)]
        if self.technique.scope == "element":
            self._elements(gradients, times, rates)
            return
        assert isinstance(gradients, Tensor)
        for row, (values, rate, gradient) in enumerate(zip(self.hyperparameters, rates, gradients, strict=True)):
            own = {**values, "lr": rate}
            if self.technique.scope == "tensor":
                for i, (p, g) in enumerate(zip(self.pieces[row], self._cut(gradient), strict=True)):
                    self.scalars[row][i] = self._update(
                        p, g, self.state[row][i], self.scalars[row][i], times[row], own
                    )
            else:
                mine = [kept[row] for kept in self.state]
                p = self.parameters[row]
                self.scalars[row] = self._update(p, gradient, mine, self.scalars[row], times[row], own)

    def weights(self) -> Tensor:
        """Return the weights to evaluate, shape ``(runs, n)``: the parameters themselves for most formulas."""
        if self.technique.evaluate is None:
            return self.parameters
        rows = []
        for row, values in enumerate(self.hyperparameters):
            state = [kept[row] for kept in self.state]
            rows.append(self.technique.weights(self.parameters[row], state, self.technique.values(values)))
        return torch.stack(rows)

    def _cut(self, row: Tensor) -> list[Tensor]:
        pieces = torch.split(row, [int(np.prod(shape)) for shape in self.shapes])
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def _update(
        self, p: Tensor, g: Tensor, state: Sequence[Tensor], scalars: Sequence[float], t: int, own: Mapping[str, Any]
    ) -> list[float]:
        after = eager.update(self.technique, p, g, state, scalars, t=t, hyperparameters=own)
        return [float(value) for value in after]

    def _prepare(self) -> None:
        """Make the table of addresses, in which only the gradients' change from step to step."""
        self.lifted = lift(self.technique)
        names = list(self.lifted.hyperparameters)
        self.rate = names.index("lr")
        self.values = [[row[name] for name in names] for row in self.hyperparameters]
        rows, n = self.parameters.shape
        dtype = str(self.parameters.dtype).removeprefix("torch.")
        if self.parameters.device.type != "cpu" or dtype not in ("float32", "float64"):
            self.kernel = None
            return
        self.kernel, self.takes_pieces = kernel(self.technique, dtype), True
        self.constants = np.empty((rows, max(1, self.lifted.count)), dtype)
        self.rows = np.arange(rows) * self.parameters.element_size()
        starts = [self.constants.ctypes.data + np.arange(rows) * self.constants.strides[0]]
        starts += [_addresses(x) for x in (self.parameters, self.parameters, *self.state)]
        self.table = np.stack([np.full(rows, n), *starts], axis=1)
        # The same, each run's memory cut where its parameters begin.
        self.cut = np.repeat(self.table, len(self.sizes), axis=0)
        self.cut[:, 0] = np.tile(self.sizes, rows)
        begins = np.tile(np.cumsum([0, *self.sizes[:-1]]) * self.parameters.element_size(), rows)
        self.cut[:, 2:] += begins[:, np.newaxis]

    def _elements(
        self, gradients: Tensor | Sequence[Sequence[Tensor]], times: Sequence[int], rates: Sequence[float]
    ) -> None:
        made = []
        for row, (values, t, rate) in enumerate(zip(self.values, times, rates, strict=True)):
            values[self.rate] = rate
            constants, scalars = self.lifted.constants(t, *self.scalars[row], *values)
            self.scalars[row] = list(scalars)
            made.append(constants)
        if self.kernel is not None:
            if self.lifted.count:
                with np.errstate(over="ignore"):  # beyond the type is infinity, for tensors too
                    self.constants[:] = made
            if isinstance(gradients, Tensor):
                gradients = gradients if gradients.stride(1) == 1 else gradients.contiguous()
                table = self.table
                table[:, 3] = gradients.data_ptr() + self.rows * gradients.stride(0)
            else:
                table = self.cut
                table[:, 3] = [piece.data_ptr() for row in gradients for piece in row]
            fused.walk(self.kernel, table, self.parameters.numel())
        else:
            assert isinstance(gradients, Tensor)
            given = torch.tensor(made, dtype=torch.float64).reshape(len(made), -1).to(self.parameters)
            new, *after = self.lifted.elements(self.parameters, gradients, *self.state, *given.unsqueeze(2).unbind(1))
            self.parameters.copy_(new)
            for kept, value in zip(self.state, after, strict=True):
                kept.copy_(value)


def _addresses(matrix: Tensor) -> np.ndarray:
    """Return where each row begins, int64."""
    return matrix.data_ptr() + np.arange(len(matrix)) * (matrix.stride(0) * matrix.element_size())
