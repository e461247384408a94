"""The parameters of a group that are updated together: same formula, same step, same executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim._executors import eager, fused
from thalweg.optim._executors.lifting import lift
from thalweg.optim._technique import Optimizer

__all__ = ["Batch", "how"]

_REAL = {torch.complex64: "float32", torch.complex128: "float64"}


def how(technique: Optimizer, p: Tensor) -> str:
    """Return the quickest executor for a parameter: ``fused``, ``compiled`` or ``eager``."""
    dtype = _REAL.get(p.dtype, str(p.dtype).removeprefix("torch."))
    if technique.scope != "element" or p.numel() == 0 or p.layout != torch.strided:
        return "eager"
    if p.device.type == "cpu":
        return "fused" if dtype in fused.WIDTHS and p.is_contiguous() else "eager"
    return "compiled" if p.device.type == "cuda" and p.dtype in (torch.float32, torch.float64) else "eager"


class Batch:
    """Parameters with their state, as an executor takes them.

    Args:
        technique: whose formula.
        before: what stands before it, names in `lifting.BEFORE`.
        executor: ``fused``, ``compiled`` or ``eager``.
        parameters: of one type, on one device.
        kept: the state of each, under torch's keys; all at the same step.
        keys: torch's keys of the formula's state, in its order.
        scalar_keys: torch's keys of the formula's scalars.
    """

    def __init__(
        self,
        technique: Optimizer,
        before: tuple[str, ...],
        executor: str,
        parameters: Sequence[Tensor],
        kept: Sequence[dict[str, Any]],
        keys: Sequence[str],
        scalar_keys: Sequence[str],
    ) -> None:
        self.technique, self.before, self.executor = technique, before, executor
        self.parameters, self.kept = list(parameters), list(kept)
        self.keys, self.scalar_keys = list(keys), list(scalar_keys)
        self.states = [[mine[key] for key in self.keys] for mine in self.kept]
        self.step = self.kept[0]["step"]
        self.scalars = [float(self.kept[0][key]) for key in self.scalar_keys]
        for mine in self.kept:  # one counter for all of them
            mine["step"] = self.step
            for key in self.scalar_keys:
                mine[key] = self.kept[0][key]
        self.columns = [self.parameters, *zip(*self.states, strict=True)] if self.states[0] else [self.parameters]
        self._state_of = itemgetter("step", *self.keys, *self.scalar_keys)
        if executor == "fused":
            p = self.parameters[0]
            self.dtype = _REAL.get(p.dtype, str(p.dtype).removeprefix("torch."))
            self.table = np.empty((len(parameters), 4 + len(self.keys)), np.int64)
            self.table[:, 0] = [x.numel() * (2 if x.is_complex() else 1) for x in self.parameters]
        self.held = list(map(self._state_of, self.kept))

    def is_current(self, gradients: Sequence[Tensor]) -> bool:
        """Return whether all is as it was when the batch was made: state in its place, gradients of its kind."""
        try:
            if list(map(self._state_of, self.kept)) != self.held:
                return False
        except (KeyError, RuntimeError):  # gone, or another tensor, which has no single truth
            return False
        if self.executor != "fused":
            return all(g.layout == torch.strided for g in gradients)
        dtypes, layouts = [g.dtype for g in gradients], [g.layout for g in gradients]
        alike = dtypes.count(self.parameters[0].dtype) == layouts.count(torch.strided) == len(gradients)
        return alike and all(map(Tensor.is_contiguous, self.parameters))

    def run(self, gradients: Sequence[Tensor], values: Mapping[str, Any]) -> None:
        """Update all of them once."""
        self.step += 1
        t = int(self.step)
        if self.technique.scope != "element":
            self._whole(gradients, values, t)
            return
        lifted = lift(self.technique, self.before)
        made, scalars = lifted.constants(t, *self.scalars, *[values[name] for name in lifted.hyperparameters])
        if self.executor == "fused":
            self._fused(gradients, made)
        elif self.executor == "compiled":
            from thalweg.optim._executors import compiled

            compiled.run(lifted.elements, self.parameters, gradients, self.states, made)
        else:
            for p, g, states in zip(self.parameters, gradients, self.states, strict=True):
                eager.elements(lifted.elements, p, g, states, made)
        self._keep(list(scalars))

    def _keep(self, scalars: Sequence[float]) -> None:
        self.scalars = [float(value) for value in scalars]
        for key, value in zip(self.scalar_keys, scalars, strict=True):
            number = torch.tensor(float(value), dtype=torch.float64)
            for mine in self.kept:
                mine[key] = number
        if self.scalar_keys:
            self.held = list(map(self._state_of, self.kept))

    def _fused(self, gradients: Sequence[Tensor], made: Sequence[float]) -> None:
        if self.parameters[0].is_complex():
            gradients = [g.resolve_conj() for g in gradients]
        if not all(map(Tensor.is_contiguous, gradients)):
            gradients = [g.contiguous() for g in gradients]
        constants = np.array(made, np.float64 if self.dtype == "float64" else np.float32)
        table = self.table
        table[:, 1] = constants.ctypes.data
        table[:, 3] = list(map(Tensor.data_ptr, gradients))
        for place, column in zip((2, *range(4, table.shape[1])), self.columns, strict=True):
            table[:, place] = list(map(Tensor.data_ptr, column))
        fused.run(self.technique, self.dtype, table, self.before)
        torch.autograd.graph.increment_version(self.parameters)

    def _whole(self, gradients: Sequence[Tensor], values: Mapping[str, Any], t: int) -> None:
        """Update by formulas that must see whole tensors, or all of them at once."""
        gradients = self._prepared(gradients, values)
        own = {name: values[name] for name in self.technique.hyperparameters}
        if self.technique.scope == "tensor":
            scalars: list[Any] = []
            for p, g, states in zip(self.parameters, gradients, self.states, strict=True):
                scalars = eager.update(self.technique, p, g, states, self.scalars, t=t, hyperparameters=own)
        else:
            flat = [torch.cat([x.reshape(-1) for x in column]) for column in self.columns]
            g = torch.cat([x.reshape(-1) for x in gradients])
            scalars = eager.update(self.technique, flat[0], g, flat[1:], self.scalars, t=t, hyperparameters=own)
            for column, joined in zip(self.columns, flat, strict=True):
                pieces = joined.split([x.numel() for x in column])
                for place, piece in zip(column, pieces, strict=True):
                    place.copy_(piece.view_as(place))
        self._keep(scalars)

    def _prepared(self, gradients: Sequence[Tensor], values: Mapping[str, Any]) -> Sequence[Tensor]:
        """Return whole gradients after what stands before the formula."""
        if "maximize" in self.before:
            gradients = [-g for g in gradients]
        if "weight_decay" in self.before:
            gradients = [g + values["weight_decay"] * p for g, p in zip(gradients, self.parameters, strict=True)]
        return gradients
