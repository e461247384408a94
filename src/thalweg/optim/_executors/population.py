"""Many runs of one formula at once: parameters as rows of one matrix, each row with its own hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim._executors import eager, fused
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
        parameters: shape ``(runs, n)``, contiguous; updated in place.
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

    def step(self, gradients: Tensor, t: int, multipliers: np.ndarray) -> None:
        """Update once.

        Args:
            gradients: shape ``(runs, n)``.
            t: the step, counted from 1.
            multipliers: of each row's ``lr``, shape ``(runs,)``: what its schedule says.
        """
        rates = [values["lr"] * float(m) for values, m in zip(self.hyperparameters, multipliers, strict=True)]
        rows = [{**values, "lr": rate} for values, rate in zip(self.hyperparameters, rates, strict=True)]
        if self.technique.scope == "element":
            self._elements(gradients, t, rows)
        elif self.technique.scope == "tensor":
            for row, (values, gradient) in enumerate(zip(rows, gradients, strict=True)):
                for i, (p, g) in enumerate(zip(self.pieces[row], self._cut(gradient), strict=True)):
                    self.scalars[row][i] = eager.update(
                        self.technique, p, g, self.state[row][i], self.scalars[row][i], t=t, hyperparameters=values
                    )
        else:
            for row, (values, gradient) in enumerate(zip(rows, gradients, strict=True)):
                mine = [kept[row] for kept in self.state]
                self.scalars[row] = eager.update(
                    self.technique, self.parameters[row], gradient, mine, self.scalars[row], t=t,
                    hyperparameters=values,
                )  # fmt: skip

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

    def _elements(self, gradients: Tensor, t: int, rows: Sequence[Mapping[str, Any]]) -> None:
        lifted = lift(self.technique)
        made = [
            lifted.constants(t, *scalars, *[values[name] for name in lifted.hyperparameters])
            for scalars, values in zip(self.scalars, rows, strict=True)
        ]
        self.scalars = [list(after) for _, after in made]
        constants = torch.tensor([row for row, _ in made], dtype=torch.float64).to(self.parameters)
        dtype = str(self.parameters.dtype).removeprefix("torch.")
        if self.parameters.device.type == "cpu" and dtype in ("float32", "float64"):
            tensors = [constants, self.parameters, gradients.contiguous(), *self.state]
            starts, strides = zip(*[(x.data_ptr(), x.stride(0) * x.element_size()) for x in tensors], strict=True)
            table = np.array(starts) + np.arange(len(rows))[:, None] * np.array(strides)
            sizes = np.full((len(rows), 1), self.parameters.shape[1])
            fused.run(self.technique, dtype, np.concatenate([sizes, table], axis=1))
        else:
            columns = constants.unsqueeze(2).unbind(1)
            new, *after = lifted.elements(self.parameters, gradients, *self.state, *columns)
            self.parameters.copy_(new)
            for kept, value in zip(self.state, after, strict=True):
                kept.copy_(value)
