"""Losses and gradients of many models at once: ``torch.func.vmap`` over the user's unmodified module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from thalweg.average._batch_norm import Moments, moments
from thalweg.task import Split, Task, apply
from thalweg.task.reading import each
from thalweg.train.dropout import KeyedDropout, step_keys
from thalweg.train.passes import InFloat32, autocast, part_keys
from thalweg.train.stacked import REPLACED
from thalweg.train.state import RunState, of_module
from thalweg.train.step import FEWEST, Rows, drawn

__all__ = ["Rest", "Vmapped", "filled_up"]

Rest = dict[str, Tensor]
"""What models hold beside the weights that are trained, by name, each with an axis of rows before it."""


class Vmapped(Rows):
    """All models at once: ``torch.func.vmap`` over the unmodified module.

    Raises:
        RuntimeError: the module draws random numbers that have no key; or, on the first step, vmap cannot take
            the module or the loss.
    """

    spare = 1
    """Rows behind the last run: torch computes the few elements that are left over at a tensor's end, by other means,
    and to other last bits."""

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:  # noqa: ARG002
        states = filled_up(states, max(FEWEST, len(states) + self.spare))
        super().__init__(task, states)
        if drawn(task).moves_generator:
            raise RuntimeError("its forward pass draws from a global generator, past the keyed masks")
        if self.together.recompute != "none":
            raise RuntimeError("vmap cannot compute blocks again, because torch.func takes no checkpoints")
        mine = set(self.names)
        names = [name.removeprefix("model/") for name in of_module(self.module)]
        rest = [name for name in names if name not in mine]
        self.rest = {name: torch.stack([s.tensors[f"model/{name}"] for s in states]) for name in rest}
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
        mixed = InFloat32() if self.together.precision == "bf16" else nullcontext()
        with autocast(self.together, row.device), KeyedDropout(key, REPLACED), mixed:
            loss = self.loss(self._output(row, rest, inputs), targets)
        return loss.to(row.dtype), rest

    def differentiate(self, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        keys = step_keys(self.mask_keys, steps)
        self.gradients, losses, self.rest = self._passed(self.parameters, self.rest, batch, keys)
        return losses

    def _passed(self, weights: Tensor, rest: Rest, batch: Split, keys: Tensor) -> tuple[Tensor, Tensor, Rest]:
        """Return a batch's gradients, its losses, and what the models hold beside their weights after it."""
        self._switch(training=True)
        count = batch.targets.shape[1]
        cuts = self.parts(count)
        if len(cuts) == 1:
            return self._differentiated(weights, rest, batch.inputs, batch.targets, keys)
        gradients, losses = torch.zeros_like(weights), torch.zeros_like(weights[:, 0])
        for i, cut in enumerate(cuts):
            part = Split(each(batch.inputs, partial(_columns, cut=cut)), _columns(batch.targets, cut))
            found, loss, rest = self._differentiated(weights, rest, part.inputs, part.targets, part_keys(keys, i))
            share = (cut.stop - cut.start) / count
            gradients.add_(found, alpha=share)
            losses.add_(loss, alpha=share)
        return gradients, losses, rest

    def _differentiated(
        self, weights: Tensor, rest: Rest, inputs: Any, targets: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor, Rest]:
        """Return what `_passed` does, of a part of a batch."""
        gradients, (losses, rest) = self.uncompiled(weights, rest, inputs, targets, keys)
        return gradients, losses.detach(), rest

    def _switch(self, *, training: bool) -> None:
        if self.module.training != training:  # to walk through all layers at each step takes a twentieth of it
            self.module.train(training)

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        some, mine = _filled_up(rows)
        keys = step_keys(self.mask_keys, steps)[mine]
        rest = {name: value[mine] for name, value in self.rest.items()}
        return self._passed(weights[some], rest, batch.at(mine), keys)[0][: len(rows)]

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
        self._switch(training=False)
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
        self._switch(training=False)
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


def _columns(x: Tensor, cut: slice) -> Tensor:
    """Return some examples of every row, laid out as a batch is, for which code is compiled."""
    return x[:, cut].contiguous()


def filled_up(states: Sequence[RunState], count: int) -> list[RunState]:
    """Return at least so many states: those beyond the runs repeat the last, and nobody asks what becomes of them."""
    return [*states, *[states[-1]] * (count - len(states))]


def _filled_up(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of some rows make up a population with a spare row, and the rows themselves."""
    some = torch.arange(max(len(rows) + 1, FEWEST)).clamp(max=len(rows) - 1)
    return some, rows[some]
