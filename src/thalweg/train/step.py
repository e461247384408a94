"""One training step of many models: what every way to take it has in common, and the plainest one.

All keep the models' weights as the rows of one matrix, and hand out the same things, so that what trains a single
model and what trains a population is one loop.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.average._batch_norm import Moments, as_kept, batch_norms, moments, pool
from thalweg.key import Key
from thalweg.task import Split, Task, apply
from thalweg.task.reading import Batch
from thalweg.train.bucket import trimmed
from thalweg.train.counter import step_keys
from thalweg.train.drawn import drawn, looked_at
from thalweg.train.dropout import KeyedDropout
from thalweg.train.made import model_of, step_loss_of
from thalweg.train.passes import autocast, part_keys, parts, trainable
from thalweg.train.pulse import beat
from thalweg.train.recompute import blocks, recomputed
from thalweg.train.restored import as_before, buffers_as_before
from thalweg.train.state import Member, RunState, of_module

__all__ = ["CHUNK", "FEWEST", "Executor", "OneByOne", "Rows", "drawn", "quiet_fallback", "switched"]

FEWEST = 3
"""A smaller population is filled up: matrices of one or two rows may be multiplied in another order of sums, and a
run that is left over after a kill must give the bits that it would have given in company."""

CHUNK = 64
"""How many examples pass at once in evaluation."""


class Executor(Protocol):
    """Models of one architecture, one a row.

    Attributes:
        module: the first model, or what stands for all of them.
        parameters: every model's trainable weights, shape ``(rows, weights)``; the optimizer writes here.
        names, shapes: of the parameters that make up a row, in order.
    """

    module: nn.Module
    parameters: Tensor
    names: list[str]
    shapes: list[tuple[int, ...]]

    @property
    def gradients(self) -> Tensor:
        """Of the losses at the last batch, the shape of ``parameters``; may be written to."""
        ...

    def given(self, some: slice, *, pieces: bool) -> Tensor | list[list[Tensor]]:
        """Return some rows' gradients; where they may be ``pieces``, by row and parameter, as backward left them."""
        ...

    def differentiate(self, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """Fill ``gradients``; return the losses, shape ``(rows,)``.

        Args:
            batch: its axes are (row, example, …).
            steps: each row's, counted from 0.
        """
        ...

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """Return the gradients that some rows would have at other weights, shape ``(len(rows), weights)``.

        With the dropout masks of that step; weights, gradients and buffers are afterwards as before.
        """
        ...

    def evaluated(self, rows: Tensor, weights: Tensor, split: Split) -> AbstractContextManager[None]:
        """Let some rows have other weights inside a ``with``, and their batch norms the statistics of a split."""
        ...

    def outputs(self, inputs: Any) -> Tensor | list[Any]:
        """Return each model's outputs in evaluation mode, without gradients, on the same inputs (example, …).

        Those of a population are one tensor, (row, example, …), of all runs at least; a model alone may return what
        it likes.
        """
        ...

    def unchanged(self) -> AbstractContextManager[None]:
        """Keep from the models what they write into themselves when they are evaluated inside a ``with``.

        As layers do that begin with the first examples that they see: those are to be examples to train on.
        """
        ...

    def named(self, row: Tensor) -> dict[str, Tensor]:
        """Return a row as parameters by name; views."""
        ...

    def model(self, row: int) -> dict[str, Tensor]:
        """Return one model's parameters and buffers by name, behind ``model/``; see `RunState`."""
        ...

    def weights(self, row: int) -> dict[str, Tensor]:
        """Return one model's state dict, copied."""
        ...


def switched(module: nn.Module, *, training: bool) -> nn.Module:
    """Return a module in training or evaluation mode: to walk through all its layers each time takes a twentieth."""
    return module if module.training == training else module.train(training)


class Rows:
    """What all ways share: the matrix of weights, how a batch passes, and the keys.

    Args:
        task: whose models they are.
        states: of the runs, one a row; what `thalweg.recipe.Together` holds is the same for all.
    """

    def __init__(self, task: Task, states: Sequence[RunState]) -> None:
        self.task = task
        (self.together,) = {state.member.recipe.together() for state in states}
        self.begun = states[0].member
        self.module = self._module(self.begun)
        self.loss = step_loss_of(task, states[0].member.recipe)
        mine = trainable(self.module)
        self.names = list(mine)
        self.shapes = [tuple(p.shape) for p in mine.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        first = states[0].tensors[f"model/{self.names[0]}"]
        self.parameters = torch.empty(len(states), sum(self.sizes), dtype=first.dtype, device=first.device)
        for row, state in zip(self.parameters, states, strict=True):
            for name, place in self.named(row).items():
                place.copy_(state.tensors[f"model/{name}"])
        self.keys = [Key(state.member.seed) / "forward" for state in states]
        self.mask_keys = np.array([key.integer(63) for key in self.keys], dtype=np.uint64)

    def _module(self, member: Member) -> nn.Module:
        """Return a run's module at its initial weights, all of it in training mode, as it is after an evaluation."""
        return model_of(self.task, member.recipe, member.seed).train()

    def parts(self, count: int) -> list[slice]:
        """Return the parts in which a batch of so many examples passes."""
        return parts(count, self.together.accumulate, self.together.batch_size)

    @cached_property
    def batch_norms(self) -> dict[str, int]:
        """The batch norms that keep statistics, in order, and how often a forward pass calls each."""
        module, inputs = self._module(self.begun).eval(), self.task.train.at(slice(0, 2)).inputs
        with torch.no_grad():
            return batch_norms(module, lambda: apply(module, inputs))

    def _normalise(self, rows: Tensor, split: Split) -> None:
        """Give some rows' batch norms the statistics of a split; see `thalweg.average.precise_batch_norm`."""
        for name, calls in self.batch_norms.items():
            with torch.no_grad():
                chunks = (split.at(slice(start, start + CHUNK)).inputs for start in _told(len(split)))
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
        """Return a row, or each of many, as parameters by name; views."""
        pieces = torch.split(row, self.sizes, -1)
        return {n: x.view((*row.shape[:-1], *s)) for x, n, s in zip(pieces, self.names, self.shapes, strict=True)}


class OneByOne(Rows):
    """Each model by itself: its parameters are views of its row.

    There is a row for each state, whatever the ``slots``. What backward gives stays where it is until somebody asks
    for it as a row: to copy it takes a tenth of the step of a model that is larger than the processor's cache.
    """

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:  # noqa: ARG002
        super().__init__(task, states)
        self.modules = [self.module, *(self._module(state.member) for state in states[1:])]
        self.trained = [list(trainable(module).values()) for module in self.modules]
        self.homes = [list(self.named(row).values()) for row in self.parameters]
        self.matrix: Tensor | None = None
        self.left: dict[int, list[Tensor]] = {}
        for module, state, row in zip(self.modules, states, self.parameters, strict=True):
            values = self.named(row)
            for name, x in of_module(module).items():
                x.copy_(state.tensors[name])
            for name, p in trainable(module).items():
                p.data = values[name]
        self.drawn, self.looked = drawn(task), False
        recompute = self.together.recompute == "blocks"
        self.blocks = [blocks(module) if recompute else [] for module in self.modules]

    def differentiate(self, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        losses = torch.empty(len(self.modules), dtype=self.parameters.dtype)
        keys = step_keys(self.mask_keys, steps)
        self.left.clear()
        for row in range(len(self.modules)):
            losses[row] = self._backward(row, batch, steps[row], keys[row])
        return losses

    @property
    def gradients(self) -> Tensor:
        """See `Executor`."""
        if self.matrix is None:
            self.matrix = torch.zeros_like(self.parameters)
        for row, found in self.left.items():
            for place, gradient in zip(self.named(self.matrix[row]).values(), found, strict=True):
                place.copy_(gradient)
        self.left.clear()
        return self.matrix

    def given(self, some: slice, *, pieces: bool) -> Tensor | list[list[Tensor]]:
        """See `Executor`."""
        rows = range(*some.indices(len(self.modules)))
        if pieces and all(row in self.left for row in rows):
            return [self.left[row] for row in rows]
        return self.gradients[some]

    def _backward(self, row: int, batch: Split | Batch, step: int, key: Tensor) -> Tensor:
        switched(self.modules[row], training=True)
        mine = batch.at(row)
        cuts = self.parts(len(mine))
        pieces = [mine.at(cut) for cut in cuts] if len(cuts) > 1 else [mine]
        draws = self.drawn.moves_generator or not self.looked
        with (self.keys[row] / step).seeded() if draws else nullcontext(), self._looked():
            losses = [
                self._backward_part(row, piece, part_keys(key, i), len(piece) / len(mine))
                for i, piece in enumerate(pieces)
            ]
        self._bring_home(row)
        self.left[row] = self._collected(row)
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    @contextmanager
    def _looked(self) -> Iterator[None]:
        """Look in the first step whether it draws what the few examples of a probe did not."""
        if self.looked:
            yield
            return
        with looked_at(self.task):
            yield
        self.drawn, self.looked = drawn(self.task), True

    def _collected(self, row: int) -> list[Tensor]:
        """Take a model's gradients from it; of a parameter that it has none for, 0."""
        found = []
        for p in self.trained[row]:
            gradient = torch.zeros_like(p) if p.grad is None else p.grad.to_dense()  # of sparse embeddings too
            found.append(gradient.detach().to(p.dtype).contiguous())
            p.grad = None
        return found

    def _bring_home(self, row: int) -> None:
        """Have a model's parameters be views of its row, also where forward gave them other data."""
        for p, home in zip(self.trained[row], self.homes[row], strict=True):
            if p.data_ptr() != home.data_ptr():
                home.copy_(p.detach())
                p.data = home

    def _backward_part(self, row: int, part: Split, key: Tensor, share: float) -> Tensor:
        """Add a part's share to the gradients, and return its share of the loss."""
        module, draws = self.modules[row], self.drawn.moves_generator
        if self.together.bucket == "length":
            part = Split(*trimmed(part.inputs, part.targets, self.task.padding))
        masks, blocks = self._masks(key), self.blocks[row]
        again = recomputed(blocks, masks, draws=draws) if blocks else nullcontext()
        with masks, autocast(self.together, self.parameters.device), again:
            loss = masks.judged(self.loss(apply(module, part.inputs), part.targets))
        loss = share * loss.to(self.parameters.dtype) if share < 1 else loss
        torch.autograd.backward(loss)
        return loss.detach().to(self.parameters.dtype)

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        found = torch.empty_like(weights)
        keys = step_keys(self.mask_keys, steps)
        for i, row in enumerate(rows.tolist()):
            places = [self.parameters[row], self.gradients[row]]
            with as_before(places), buffers_as_before(self.modules[row]):
                self.parameters[row] = weights[i]
                self._backward(row, batch, steps[row], keys[row])
                found[i] = self.gradients[row]
        return found

    @contextmanager
    def evaluated(self, rows: Tensor, weights: Tensor, split: Split) -> Iterator[None]:
        """See `Executor`."""
        names = [f"{name}.{what}" for name in self.batch_norms for what in ("running_mean", "running_var")]
        buffers = [self.modules[row].get_buffer(name) for row in rows.tolist() for name in names]
        with as_before([*(self.parameters[row] for row in rows.tolist()), *buffers]):
            self.parameters[rows] = weights
            self._normalise(rows, split)
            yield

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """See `Executor`."""
        with ExitStack() as stack:
            if self.drawn.changes:
                stack.enter_context(as_before([self.parameters]))
                for module in self.modules:
                    stack.enter_context(buffers_as_before(module))
            yield

    def _moments(self, rows: Tensor, name: str, calls: int, inputs: Any) -> Moments:
        modules = [self.modules[row] for row in rows.tolist()]
        found = [moments(module, name, calls, partial(self._evaluate, module, inputs)) for module in modules]
        return found[0][0], torch.stack([mean for _, mean, _ in found]), torch.stack([v for _, _, v in found])

    def _set(self, rows: Tensor, name: str, values: Tensor) -> None:
        for row, value in zip(rows.tolist(), values, strict=True):
            self.modules[row].get_buffer(name).copy_(value)

    def outputs(self, inputs: Any) -> Tensor | list[Any]:
        """See `Executor`."""
        with torch.no_grad():
            found = _gathered((self._evaluate(module, inputs) for module in self.modules), len(self.modules))
        for row in range(len(self.modules)):
            self._bring_home(row)
        return found

    def _evaluate(self, module: nn.Module, inputs: Any) -> Any:
        """Return a model's outputs in evaluation mode; one that draws there draws the same each time."""
        if not self.drawn.evaluating:
            return apply(switched(module, training=False), inputs)
        with (Key(0) / "evaluation").seeded(), self._masks(torch.tensor(0)):
            return apply(switched(module, training=False), inputs)

    def _masks(self, key: Tensor) -> KeyedDropout:
        return KeyedDropout(key if self.drawn.keyed else None, self.drawn.hidden)

    def model(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        return of_module(self.modules[row])

    def weights(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        return {name: value.detach().clone() for name, value in self.modules[row].state_dict().items()}


def _told(count: int) -> Iterator[int]:
    """Yield where each chunk of so many examples starts, with a sign of life."""
    for start in range(0, count, CHUNK):
        beat()
        yield start


def _gathered(outputs: Iterable[Any], count: int) -> Tensor | list[Any]:
    """Return so many models' outputs as one tensor, if they are tensors of one shape; else as they are.

    Each is copied as it comes: kept where it was made, it would leave holes in memory between what the next ones
    make on their way, too small for them.
    """
    found: list[Any] = []
    whole: Tensor | None = None
    for row, x in enumerate(outputs):
        if row == 0 and type(x) is Tensor and x.dim():
            whole = x.new_empty((count, *x.shape))
        if whole is not None and type(x) is Tensor and x.dtype == whole.dtype and x.shape == whole.shape[1:]:
            x = whole[row].copy_(x)
        else:
            whole = None
        found.append(x)
    return found if whole is None else whole


@contextmanager
def quiet_fallback() -> Iterator[None]:
    """Keep torch from warning of what vmap does one run after the other: the planner measures what it costs."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented", UserWarning
        )
        yield
