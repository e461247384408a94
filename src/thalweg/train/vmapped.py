"""Losses and gradients of many models at once: ``torch.func.vmap`` over the user's unmodified module.

Gradients are autograd's, of what vmap makes of all models, and not those of ``torch.func.grad`` inside it: that keeps
what a step computes until its end, for gradients of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor
from torch.func import functional_call, grad_and_value, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.average._batch_norm import Moments, moments
from thalweg.task import Split, Task, apply
from thalweg.task.loss_state import loss_state
from thalweg.task.outside import outside
from thalweg.task.reading import Batch, each, leaves
from thalweg.task.twice import StandIns
from thalweg.train.counter import step_keys
from thalweg.train.drawn import drawn, looked_at
from thalweg.train.dropout import KeyedDropout
from thalweg.train.footprint import at_once, saved_bytes
from thalweg.train.own import REGISTERED, OwnTensors, own_copies, register, writes
from thalweg.train.passes import InFloat32, autocast, part_keys
from thalweg.train.restored import as_before
from thalweg.train.stacked import REPLACED
from thalweg.train.state import RunState, of_module
from thalweg.train.step import FEWEST, Rows, switched

__all__ = ["Rest", "Vmapped", "filled_up", "rest_of"]

Rest = dict[str, Tensor]
"""What models hold beside the weights that are trained, by name, each with an axis of rows before it."""


class Vmapped(Rows):
    """All models at once: ``torch.func.vmap`` over the unmodified module.

    Attributes:
        asked: how many rows are runs; what stands behind them is asked for by nobody.

    Raises:
        RuntimeError: the module draws random numbers that have no key, or keeps outside its parameters and buffers
            what differs between runs; the loss keeps something; or, on the first step, vmap cannot take the module or
            the loss.
    """

    spare = 1
    """Rows behind the last run: torch computes the few elements that are left over at a tensor's end, by other means,
    and to other last bits."""

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:  # noqa: ARG002
        self.asked = len(states)
        states = filled_up(states, max(FEWEST, self.asked + self.spare))
        super().__init__(task, states)
        self.gradients = torch.zeros_like(self.parameters)
        loss = "" if self.begun.recipe.loss else loss_state(task).obstacle
        seen = outside(task)
        if why := seen.obstacle or loss or _draws(task):
            raise RuntimeError(why)
        if self.together.recompute != "none":
            raise RuntimeError("vmap cannot compute blocks again, because torch.func takes no checkpoints")
        mine = set(self.names)
        names = [name.removeprefix("model/") for name in of_module(self.module)]
        rest = [name for name in names if name not in mine]
        self.rest = {name: torch.stack([s.tensors[f"model/{name}"] for s in states]) for name in rest}
        self.looked = False
        self.no_key = torch.tensor(0)  # in evaluation mode nothing is dropped, or the same for all
        self.writes, self.twice = writes(task), seen.twice
        self.given_place = [name for name in seen.given_place if name in self.rest]
        self.made = [name for name in seen.given_place if name not in self.rest]
        register(task, self.module, self.made)
        self.losses: Callable[..., tuple[Tensor, Rest]] = vmap(self._loss)
        self.traceable: Callable[..., Any] = vmap(grad_and_value(self._loss_of_row, has_aux=True))
        self.predict = vmap(self._tensors, in_dims=(0, 0, None, None))
        self.form: Callable[[Sequence[Tensor]], Any] = itemgetter(0)

    def _output(self, own: dict[str, Tensor], inputs: Any, like: Tensor) -> Any:
        """Return what the module returns with the tensors of a model; ``like`` is any of which each has its own."""
        twice = StandIns(self.module, own) if self.twice else nullcontext()
        with twice, OwnTensors(like) if self.writes else nullcontext():
            output = apply(lambda *args, **named: functional_call(self.module, own, args, named), inputs)
        for name in self.made:
            if is_batchedtensor(self.module.get_buffer(name)):
                raise RuntimeError(REGISTERED.format(name))
        return output

    def _evaluate(self, row: Tensor, rest: Rest, inputs: Any, key: Tensor) -> Any:
        inputs = own_copies(row, inputs) if self.writes else inputs
        with KeyedDropout(key, REPLACED):
            return self._output({**self.named(row), **rest}, inputs, row)

    def _tensors(self, row: Tensor, rest: Rest, inputs: Any, key: Tensor) -> Any:
        """Return a model's output if it is one tensor, else the tensors in it; ``form`` puts them together again."""
        output = self._evaluate(row, rest, inputs, key)
        if isinstance(output, Tensor):
            self.form = itemgetter(0)
            return output
        parts, spec = tree_flatten(output)
        if others := [x for x in parts if not isinstance(x, Tensor | None | bool | int | float | str)]:
            raise RuntimeError(f"its forward returns a {type(others[0]).__name__}, which vmap cannot look into")
        plain = [None if isinstance(x, Tensor) else x for x in parts]
        places = [i for i, x in enumerate(parts) if isinstance(x, Tensor)]

        def form(tensors: Sequence[Tensor]) -> Any:
            whole = dict(enumerate(plain)) | dict(zip(places, tensors, strict=True))
            return tree_unflatten(whole.values(), spec)

        self.form = form
        return tuple(parts[i] for i in places)

    def _loss(
        self, own: dict[str, Tensor], rest: Rest, inputs: Any, targets: Tensor, key: Tensor
    ) -> tuple[Tensor, Rest]:
        rest = {name: value.clone() for name, value in rest.items()}  # batch norm writes into its buffers
        mixed = InFloat32() if self.together.precision == "bf16" else nullcontext()
        with autocast(self.together, targets.device), KeyedDropout(key, REPLACED) as masks, mixed:
            with self._read_into(rest):
                output = self._output({**own, **rest}, inputs, key)
            loss = masks.judged(self.loss(output, targets))
        return loss.to(self.parameters.dtype), rest

    @contextmanager
    def _read_into(self, rest: Rest) -> Iterator[None]:
        """Note which tensors a forward pass inside a ``with`` puts in the place of buffers."""

        def read(module: nn.Module, *_: Any) -> None:
            for name in self.given_place:
                rest[name] = module.get_buffer(name).to(rest[name].dtype)

        hook = self.module.register_forward_hook(read) if self.given_place else None
        try:
            yield
        finally:
            if hook is not None:
                hook.remove()

    def _loss_of_row(self, row: Tensor, rest: Rest, inputs: Any, targets: Tensor, key: Tensor) -> tuple[Tensor, Rest]:
        return self._loss(self.named(row), rest, inputs, targets, key)

    def differentiate(self, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        keys = step_keys(self.mask_keys, steps)
        losses, self.rest = self._passed(self.parameters, self.rest, batch, keys, self.gradients)
        return losses

    def given(self, some: slice, *, pieces: bool) -> Tensor:  # noqa: ARG002
        """See `Executor`; they are made as rows."""
        return self.gradients[some]

    def _passed(
        self, weights: Tensor, rest: Rest, batch: Split | Batch, keys: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Rest]:
        """Write a batch's gradients; return its losses, and what the models hold beside their weights after it."""
        switched(self.module, training=True)
        found = [
            (own, self._some(weights[some], rest_of(rest, some), batch.at(some), keys[some], gradients[some]))
            for some, own in self.passes(len(weights))
        ]
        if len(found) == 1:
            return found[0][1]
        after = {name: torch.cat([after[name][:own] for own, (_, after) in found]) for name in rest}
        return torch.cat([losses[:own] for own, (losses, _) in found]), after

    def passes(self, count: int, examples: int = 0) -> list[tuple[slice, int]]:
        """Return which of so many models pass together, so that those that wait have no activations.

        Args:
            count: of models, with those that are spare.
            examples: of each; in a step, where they are not given, as many as pass of a full batch, so that an
                epoch's last batch brings no more models together than the others.

        Returns:
            Slices of rows, each with spare ones at its end, and how many of its rows are to be used. What a slice
            says of its spare rows is overwritten by the next. Groups in which there is no run are left out.
        """
        real = count - self.spare
        examples = examples or self.parts(min(self.together.batch_size, len(self.task.train)))[0].stop
        some = at_once(saved_bytes(self.task, self.together, examples), real, alike=not self.spare)
        groups = -(-real // some)
        # As even as can be: in fives and fours rather than fives and a one, which would be a population of two.
        starts = [real * i // groups for i in range(groups)]
        ends = [*starts[1:], real]
        owns = [end - start for start, end in zip(starts, ends, strict=True)]
        owns[-1] += self.spare  # nobody asks, but there are so many rows
        every = [(slice(start, end + self.spare), own) for start, end, own in zip(starts, ends, owns, strict=True)]
        return [(some, own) for some, own in every if some.start < self.asked]

    def _some(
        self, weights: Tensor, rest: Rest, batch: Split, keys: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Rest]:
        """Do what `_passed` does, of models that pass together."""
        count = batch.width
        cuts = self.parts(count)
        if len(cuts) == 1:
            return self._differentiated(weights, rest, batch.inputs, batch.targets, keys, gradients)
        found, losses = torch.empty_like(gradients), torch.zeros_like(weights[:, 0])
        gradients.zero_()
        for i, cut in enumerate(cuts):
            part = Split(each(batch.inputs, partial(_columns, cut=cut)), _columns(batch.targets, cut))
            loss, rest = self._differentiated(weights, rest, part.inputs, part.targets, part_keys(keys, i), found)
            share = (cut.stop - cut.start) / count
            gradients.add_(found, alpha=share)
            losses.add_(loss, alpha=share)
        return losses, rest

    def _differentiated(
        self, weights: Tensor, rest: Rest, inputs: Any, targets: Tensor, keys: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Rest]:
        """Do what `_passed` does, of a part of a batch."""
        return self.uncompiled(weights, rest, inputs, targets, keys, gradients)

    def uncompiled(
        self, weights: Tensor, rest: Rest, inputs: Any, targets: Tensor, keys: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Rest]:
        """Do what `_passed` does, of a part of a batch, operation by operation.

        Under vmap alone, torch takes no notice of autocast.
        """
        if not self.looked:
            self.looked = True
            with looked_at(self.task):
                whole = self.uncompiled(weights, rest, inputs, targets, keys, gradients)
            if why := _draws(self.task):
                raise RuntimeError(why)
            return whole
        if self.together.precision != "float32":
            found, (losses, rest) = self.traceable(weights, rest, inputs, targets, keys)
            gradients.copy_(found)
            return losses, rest
        with torch.enable_grad():
            own = {name: x.detach().requires_grad_() for name, x in self.named(weights).items()}
            losses, rest = self.losses(own, rest, inputs, targets, keys)
            found = torch.autograd.grad(losses, list(own.values()), torch.ones_like(losses), materialize_grads=True)
        for place, gradient in zip(self.named(gradients).values(), found, strict=True):
            place.copy_(gradient)
        return losses.detach(), {name: value.detach() for name, value in rest.items()}

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        some, mine = _filled_up(rows)
        keys = step_keys(self.mask_keys, steps)[mine]
        weights = weights[some]
        found = torch.empty_like(weights)
        self._passed(weights, rest_of(self.rest, mine), batch.at(mine), keys, found)
        return found[: len(rows)]

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

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """See `Executor`."""
        with as_before([self.parameters, *self.rest.values()]) if drawn(self.task).changes else nullcontext():
            yield

    def _moments(self, rows: Tensor, name: str, calls: int, inputs: Any) -> Moments:
        switched(self.module, training=False)
        mine = _filled_up(rows)[1]
        rest = rest_of(self.rest, mine)
        counts = []

        def seen(row: Tensor, rest: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            n, mean, variance = moments(
                self.module, name, calls, lambda: self._evaluate(row, rest, inputs, self.no_key)
            )
            counts.append(n)
            return mean, variance

        mean, variance = vmap(seen)(self.parameters[mine], rest)
        return counts[0], mean[: len(rows)], variance[: len(rows)]

    def _set(self, rows: Tensor, name: str, values: Tensor) -> None:
        self.rest[name] = self.rest[name].index_copy(0, rows, values.to(self.rest[name].dtype))

    def outputs(self, inputs: Any) -> Tensor | list[Any]:
        """See `Executor`."""
        switched(self.module, training=False)
        found: list[Any] = []
        together: list[Tensor] = []
        for some, own in self.passes(len(self.parameters), len(leaves(inputs)[0])):
            with torch.no_grad():
                outputs = self.predict(self.parameters[some], rest_of(self.rest, some), inputs, self.no_key)
            if isinstance(outputs, Tensor):
                together.append(outputs[:own])
            else:
                found += (self.form([x[row] for x in outputs]) for row in range(own))
        return joined(together) if together else found

    def model(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        own = {**self.named(self.parameters[row]), **{name: value[row] for name, value in self.rest.items()}}
        return {f"model/{name}": x for name, x in own.items()}

    def weights(self, row: int) -> dict[str, Tensor]:
        """See `Executor`."""
        # No copy of the module: what vmap leaves in an attribute, as with an old weight norm's, cannot be copied.
        names = {id(x): name for name, x in (*self.module.named_parameters(), *self.module.named_buffers())}
        own, kept = self.model(row), self.module.state_dict(keep_vars=True)
        return {n: own.get(f"model/{names[id(x)]}", x).clone() if id(x) in names else x for n, x in kept.items()}


def _draws(task: Task) -> str:
    """Return what is drawn that has no key; nothing where all has one."""
    if not drawn(task).moves_generator:
        return ""
    if not drawn(task).keyed:
        return "its backward pass draws random numbers, as a checkpoint does that computes dropout again"
    return "its forward pass or its loss draws from a global generator, or seeds it, past what has keys"


def joined(found: Sequence[Tensor]) -> Tensor:
    """Return as one what models came to that passed in groups."""
    return torch.cat(list(found)) if len(found) > 1 else found[0]


def _columns(x: Tensor, cut: slice) -> Tensor:
    """Return some examples of every row, laid out as a batch is, for which code is compiled."""
    return x[:, cut].contiguous()


def rest_of(rest: Rest, some: Tensor | slice) -> Rest:
    """Return what some models hold."""
    return {name: value[some] for name, value in rest.items()}


def filled_up(states: Sequence[RunState], count: int) -> list[RunState]:
    """Return at least so many states: those beyond the runs repeat the last, and nobody asks what becomes of them."""
    return [*states, *[states[-1]] * (count - len(states))]


def _filled_up(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of some rows make up a population with a spare row, and the rows themselves."""
    some = torch.arange(max(len(rows) + 1, FEWEST)).clamp(max=len(rows) - 1)
    return some, rows[some]
