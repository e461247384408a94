"""Losses and gradients of many models at once: ``torch.func.vmap`` over the user's unmodified module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from thalweg.average._batch_norm import Moments, moments
from thalweg.task import Split, Task, apply
from thalweg.train.dropout import KeyedDropout, step_keys
from thalweg.train.stacked import REPLACED
from thalweg.train.state import RunState, of_module
from thalweg.train.step import FEWEST, Rows, drawn

__all__ = ["Vmapped"]


class Vmapped(Rows):
    """All models at once: ``torch.func.vmap`` over the unmodified module.

    Raises:
        RuntimeError: the module draws random numbers that have no key; or, on the first step, vmap cannot take
            the module or the loss.
    """

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:
        super().__init__(task, states, max(slots, FEWEST))
        if drawn(task).moves_generator:
            raise RuntimeError("its forward pass draws from a global generator, past the keyed masks")
        mine = set(self.names)
        names = [name.removeprefix("model/") for name in of_module(self.module)]
        rest = [name for name in names if name not in mine]
        self.rest = {name: torch.stack([s.tensors[f"model/{name}"] for s in self.states]) for name in rest}
        self.no_key = torch.tensor(0)  # in evaluation mode nothing is dropped
        self.uncompiled: Callable[..., Any] = vmap(grad_and_value(self._loss, has_aux=True))
        self.predict = vmap(self._evaluate, in_dims=(0, 0, None))

    def _output(self, row: Tensor, rest: dict[str, Tensor], inputs: Any) -> Any:
        own = {**self.named(row), **rest}
        return apply(lambda *args, **named: functional_call(self.module, own, args, named), inputs)

    def _evaluate(self, row: Tensor, rest: dict[str, Tensor], inputs: Any) -> Any:
        with KeyedDropout(self.no_key, REPLACED):
            return self._output(row, rest, inputs)

    def _loss(
        self, row: Tensor, rest: dict[str, Tensor], inputs: Any, targets: Tensor, key: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rest = {name: value.clone() for name, value in rest.items()}  # batch norm writes into its buffers
        with KeyedDropout(key, REPLACED):
            output = self._output(row, rest, inputs)
        return self.task.loss(output, targets), rest

    def differentiate(self, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        self.module.train()
        keys = step_keys(self.mask_keys, steps)
        self.gradients, (losses, self.rest) = self.uncompiled(
            self.parameters, self.rest, batch.inputs, batch.targets, keys
        )
        detached: Tensor = losses.detach()
        return detached

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        self.module.train()
        some, mine = _filled_up(rows)
        keys = step_keys(self.mask_keys, steps)[mine]
        own = batch.at(mine)
        rest = {name: value[mine] for name, value in self.rest.items()}
        gradients: Tensor = self.uncompiled(weights[some], rest, own.inputs, own.targets, keys)[0]
        return gradients[: len(rows)]

    @contextmanager
    def evaluated(self, rows: Tensor, weights: Tensor, split: Split) -> Iterator[None]:
        """See `Executor`."""
        before = self.parameters, self.rest
        self.parameters, self.rest = self.parameters.index_copy(0, rows, weights), dict(self.rest)
        try:
            self._normalise(rows, split)
            yield
        finally:
            self.parameters, self.rest = before

    def _moments(self, rows: Tensor, name: str, calls: int, inputs: Any) -> Moments:
        self.module.eval()
        mine = _filled_up(rows)[1]
        rest = {key: value[mine] for key, value in self.rest.items()}
        counts = []

        def seen(row: Tensor, rest: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            n, mean, variance = moments(self.module, name, calls, lambda: self._evaluate(row, rest, inputs))
            counts.append(n)
            return mean, variance

        mean, variance = vmap(seen)(self.parameters[mine], rest)
        return counts[0], mean[: len(rows)], variance[: len(rows)]

    def _set(self, rows: Tensor, name: str, values: Tensor) -> None:
        self.rest[name] = self.rest[name].index_copy(0, rows, values.to(self.rest[name].dtype))

    def outputs(self, inputs: Any) -> list[Tensor]:
        """See `Executor`."""
        self.module.eval()
        with torch.no_grad():
            outputs = self.predict(self.parameters, self.rest, inputs)
        if not isinstance(outputs, Tensor):
            raise RuntimeError(f"the model returns a {type(outputs).__name__}, not one tensor")
        return list(outputs.unbind(0))

    def model(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        own = {**self.named(self.parameters[row]), **{name: value[row] for name, value in self.rest.items()}}
        return {f"model/{name}": x for name, x in own.items()}

    def weights(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        module, own = copy.deepcopy(self.module), self.model(row)
        with torch.no_grad():
            for name, place in of_module(module).items():
                place.copy_(own[name])
        return module.state_dict()


def _filled_up(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of some rows make up a population of `FEWEST` or more, and the rows themselves."""
    some = torch.arange(max(len(rows), FEWEST)).clamp(max=len(rows) - 1)
    return some, rows[some]
