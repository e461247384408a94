"""One training step of many models: losses and gradients, one by one or vmapped.

Both ways keep the models' weights as the rows of one matrix, and hand out the same things, so that what trains
a single model and what trains a population is one loop.
"""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from thalweg.average._batch_norm import Moments, as_kept, batch_norms, moments, pool
from thalweg.key import Key
from thalweg.task import Split, Task, apply
from thalweg.train.dropout import KeyedDropout, step_keys
from thalweg.train.state import RunState, of_module

__all__ = [
    "CHUNK",
    "EXECUTORS",
    "FEWEST",
    "Executor",
    "OneByOne",
    "Vmapped",
    "moves_generator",
    "quiet_fallback",
    "uses_dropout",
]

FEWEST = 3
"""A smaller population is filled up: matrices of one or two rows may be multiplied in another order of sums, and a
run that is left over after a kill must give the bits that it would have given in company."""

CHUNK = 256
"""How many examples pass at once in evaluation."""


class Executor(Protocol):
    """Models of one architecture, one a row.

    Attributes:
        parameters: every model's trainable weights, shape ``(rows, weights)``; the optimizer writes here.
        gradients: of the losses at the last batch, the same shape.
        shapes: of the parameters that make up a row, in order.
    """

    parameters: Tensor
    gradients: Tensor
    shapes: list[tuple[int, ...]]

    def differentiate(self, batch: Split, steps: Sequence[int]) -> Tensor:
        """Fill ``gradients``; return the losses, shape ``(rows,)``.

        Args:
            batch: its axes are (row, example, …).
            steps: each row's, counted from 0.
        """
        ...

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split, steps: Sequence[int]) -> Tensor:
        """Return the gradients that some rows would have at other weights, shape ``(len(rows), weights)``.

        With the dropout masks of that step; weights, gradients and buffers are afterwards as before.
        """
        ...

    def evaluated(self, rows: Tensor, weights: Tensor, split: Split) -> AbstractContextManager[None]:
        """Let some rows have other weights inside a ``with``, and their batch norms the statistics of a split."""
        ...

    def outputs(self, inputs: Any) -> list[Tensor]:
        """Return each model's outputs in evaluation mode, without gradients, on the same inputs (example, …)."""
        ...

    def model(self, row: int) -> dict[str, Tensor]:
        """Return one model's parameters and buffers by name, behind ``model/``; see `RunState`."""
        ...

    def weights(self, row: int) -> dict[str, Tensor]:
        """Return one model's state dict, copied."""
        ...


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


class _Rows:
    """What all ways share: the matrix of weights, and the keys.

    Args:
        task: whose models they are.
        states: of the runs, one a row.
        slots: rows there are to be; those beyond the runs repeat the last one, and nobody asks what becomes of them.
    """

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:
        self.task = task
        self.module = task.model(states[0].member.seed)
        self.states = [*states, *[states[-1]] * (slots - len(states))]
        trainable = _trainable(self.module)
        self.names = list(trainable)
        self.shapes = [tuple(p.shape) for p in trainable.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.parameters = torch.stack(
            [torch.cat([state.tensors[f"model/{name}"].reshape(-1) for name in self.names]) for state in self.states]
        )
        self.gradients = torch.zeros_like(self.parameters)
        self.keys = [Key(state.member.seed) / "forward" for state in self.states]
        self.mask_keys = np.array([key.integer(63) for key in self.keys], dtype=np.uint64)

    @cached_property
    def batch_norms(self) -> dict[str, int]:
        """The batch norms that keep statistics, in order, and how often a forward pass calls each."""
        module, inputs = copy.deepcopy(self.module).eval(), self.task.train.at(slice(0, 2)).inputs
        with torch.no_grad():
            return batch_norms(module, lambda: apply(module, inputs))

    def _normalise(self, rows: Tensor, split: Split) -> None:
        """Give some rows' batch norms the statistics of a split; see `thalweg.average.precise_batch_norm`."""
        for name, calls in self.batch_norms.items():
            with torch.no_grad():
                chunks = (split.at(slice(start, start + CHUNK)).inputs for start in range(0, len(split), CHUNK))
                mean, variance = as_kept(pool(self._moments(rows, name, calls, inputs) for inputs in chunks))
                self._set(rows, f"{name}.running_mean", mean)
                self._set(rows, f"{name}.running_var", variance)

    def _moments(self, rows: Tensor, name: str, calls: int, inputs: Any) -> Moments:
        """Return the moments of what a batch norm sees in evaluation mode, ``(len(rows), channels)`` each."""
        raise NotImplementedError

    def _set(self, rows: Tensor, name: str, values: Tensor) -> None:
        """Write some rows' values of a buffer."""
        raise NotImplementedError

    def named(self, row: Tensor) -> dict[str, Tensor]:
        """Return a row as parameters by name; views."""
        pieces = torch.split(row, self.sizes)
        return {n: piece.view(s) for piece, n, s in zip(pieces, self.names, self.shapes, strict=True)}


class OneByOne(_Rows):
    """Each model by itself: its parameters are views of its row, and backward adds into its row of gradients."""

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:
        super().__init__(task, states, slots)
        self.modules = [self.module, *(task.model(state.member.seed) for state in self.states[1:])]
        for module, state, row, gradient in zip(
            self.modules, self.states, self.parameters, self.gradients, strict=True
        ):
            values, gradients = self.named(row), self.named(gradient)
            for name, x in of_module(module).items():
                x.copy_(state.tensors[name])
            for name, p in _trainable(module).items():
                p.data = values[name]
                p.grad = gradients[name]
        self.seeded = moves_generator(task)

    def differentiate(self, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        self.gradients.zero_()
        losses = torch.empty(len(self.modules), dtype=self.parameters.dtype)
        keys = step_keys(self.mask_keys, steps)
        for row in range(len(self.modules)):
            losses[row] = self._backward(row, batch, steps[row], keys[row])
        return losses

    def _backward(self, row: int, batch: Split, step: int, key: Tensor) -> Tensor:
        module, mine = self.modules[row].train(), batch.at(torch.tensor(row))
        with (self.keys[row] / step).seeded() if self.seeded else nullcontext(), KeyedDropout(key):
            loss = self.task.loss(apply(module, mine.inputs), mine.targets)
        torch.autograd.backward(loss)
        return loss.detach()

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        found = torch.empty_like(weights)
        keys = step_keys(self.mask_keys, steps)
        for i, row in enumerate(rows.tolist()):
            places = [self.parameters[row], self.gradients[row], *self.modules[row].buffers()]
            with _as_before(places):
                self.parameters[row] = weights[i]
                self.gradients[row] = 0
                self._backward(row, batch, steps[row], keys[row])
                found[i] = self.gradients[row]
        return found

    @contextmanager
    def evaluated(self, rows: Tensor, weights: Tensor, split: Split) -> Iterator[None]:
        """See `Executor`."""
        names = [f"{name}.{what}" for name in self.batch_norms for what in ("running_mean", "running_var")]
        buffers = [self.modules[row].get_buffer(name) for row in rows.tolist() for name in names]
        with _as_before([*(self.parameters[row] for row in rows.tolist()), *buffers]):
            self.parameters[rows] = weights
            self._normalise(rows, split)
            yield

    def _moments(self, rows: Tensor, name: str, calls: int, inputs: Any) -> Moments:
        modules = [self.modules[row].eval() for row in rows.tolist()]
        found = [moments(module, name, calls, partial(apply, module, inputs)) for module in modules]
        return found[0][0], torch.stack([mean for _, mean, _ in found]), torch.stack([v for _, _, v in found])

    def _set(self, rows: Tensor, name: str, values: Tensor) -> None:
        for row, value in zip(rows.tolist(), values, strict=True):
            self.modules[row].get_buffer(name).copy_(value)

    def outputs(self, inputs: Any) -> list[Tensor]:
        """See `Executor`."""
        with torch.no_grad():
            return [apply(module.eval(), inputs) for module in self.modules]

    def model(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        return of_module(self.modules[row])

    def weights(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        return {name: value.detach().clone() for name, value in self.modules[row].state_dict().items()}


class Vmapped(_Rows):
    """All models at once: ``torch.func.vmap`` over the unmodified module.

    Raises:
        RuntimeError: the module draws random numbers that have no key; or, on the first step, vmap cannot take
            the module or the loss.
    """

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:
        super().__init__(task, states, max(slots, FEWEST))
        if moves_generator(task):
            raise RuntimeError("its forward pass draws from a global generator, past the keyed masks")
        mine = set(self.names)
        names = [name.removeprefix("model/") for name in of_module(self.module)]
        rest = [name for name in names if name not in mine]
        self.rest = {name: torch.stack([s.tensors[f"model/{name}"] for s in self.states]) for name in rest}
        self._uncompiled: Callable[..., Any] = vmap(grad_and_value(self._loss, has_aux=True))
        self._step = self._uncompiled
        self._predict = vmap(self._output, in_dims=(0, 0, None))

    def _output(self, row: Tensor, rest: dict[str, Tensor], inputs: Any) -> Any:
        own = {**self.named(row), **rest}
        return apply(lambda *args, **named: functional_call(self.module, own, args, named), inputs)

    def _loss(
        self, row: Tensor, rest: dict[str, Tensor], inputs: Any, targets: Tensor, key: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rest = {name: value.clone() for name, value in rest.items()}  # batch norm writes into its buffers
        with KeyedDropout(key):
            output = self._output(row, rest, inputs)
        return self.task.loss(output, targets), rest

    def differentiate(self, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        self.module.train()
        keys = step_keys(self.mask_keys, steps)
        self.gradients, (losses, self.rest) = self._step(
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
        gradients: Tensor = self._uncompiled(weights[some], rest, own.inputs, own.targets, keys)[0]
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
            n, mean, variance = moments(self.module, name, calls, lambda: self._output(row, rest, inputs))
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
            outputs = self._predict(self.parameters, self.rest, inputs)
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


@contextmanager
def _as_before(places: Sequence[Tensor]) -> Iterator[None]:
    """Give tensors the values back that they had before a ``with``."""
    kept = [place.detach().clone() for place in places]
    try:
        yield
    finally:
        for place, value in zip(places, kept, strict=True):
            place.detach().copy_(value)


EXECUTORS: dict[str, type[OneByOne] | type[Vmapped]] = {"one by one": OneByOne, "vmapped": Vmapped}


@contextmanager
def quiet_fallback() -> Iterator[None]:
    """Keep torch from warning of what vmap does one run after the other: the planner measures what it costs."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented", UserWarning
        )
        yield


def moves_generator(task: Task) -> bool:
    """Return whether a forward pass in training draws from torch's global generator, past the keyed masks.

    Dropout inside ``nn.MultiheadAttention`` or ``nn.LSTM`` does, and so does ``torch.randn`` in a forward.
    """
    return _probe(task)[1]


def uses_dropout(task: Task) -> bool:
    """Return whether a forward pass in training asks for a dropout mask."""
    return _probe(task)[0]


def _probe(task: Task) -> tuple[bool, bool]:
    module = task.model(0).train()
    batch = task.train.at(slice(0, 2))
    with (Key(0) / "probe").seeded(), torch.no_grad(), KeyedDropout(torch.tensor(0)) as masks:
        before = _generators()
        apply(module, batch.inputs)
        return masks.layer > 0, _generators() != before


def _generators() -> list[str]:
    """Return where the global generators of torch, numpy and Python stand."""
    states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()  # noqa: NPY002
    return [repr([x.tolist() if isinstance(x, np.ndarray) else x for x in state]) for state in states]
