"""Losses and gradients of many models at once, compiled to machine code that is kept on the disk.

The vmapped step is traced once for each number of models and each batch size, and compiled by Inductor without
Dynamo: there are no guards to check at each step, and no cache of a few graphs that silently overflows. What is
compiled is kept; see `thalweg.train.inductor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from thalweg.recipe import Together
from thalweg.task import Split, Task
from thalweg.task.reading import Batch, each, leaves
from thalweg.train.counter import step_keys
from thalweg.train.inductor import Code, compile_graph, load, path_of
from thalweg.train.mixing import as_trained
from thalweg.train.recorded import recorded
from thalweg.train.stacked.alone import as_code
from thalweg.train.state import RunState, beginnings
from thalweg.train.step import CHUNK, switched
from thalweg.train.vmapped import Rest, Vmapped, filled_up, joined, rest_of

__all__ = [
    "Compiled",
    "Graph",
    "compile_steps",
    "count_compiled",
    "forget",
    "graphs_of",
]

Size = tuple[str, int, int]
"""What code is for: a ``"step"`` or an ``"evaluate"``, so many models, so many examples of each."""

Form = Together
"""What else code depends on; the batch's size and its parts left out."""

_GRAPHS: WeakKeyDictionary[Task, dict[Form, dict[Size, Graph]]] = WeakKeyDictionary()
"""What this process knows of."""

_PLAIN = Together()


def _form(together: Together) -> Form:
    return replace(together.recipe().resolved().together(), batch_size=1, accumulate=1)


class Compiled(Vmapped):
    """As `Vmapped`, where each step, and each evaluation of a chunk of examples, is one call of compiled code.

    Raises:
        RuntimeError: as for `Vmapped`; or, when it is first called, the code cannot be compiled.
    """

    spare = 0  # it is compiled for a number of models

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:
        super().__init__(task, filled_up(states, slots))
        self.asked = len(states)
        self.kind = _form(self.together)
        self.graphs = _GRAPHS.setdefault(task, {}).setdefault(self.kind, {})

    def differentiate(self, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        parts = self.parts(batch.width)
        if len(parts) > 1 or self.passes(len(self.parameters))[0][1] < len(self.parameters):
            return super().differentiate(batch, steps)
        switched(self.module, training=True)
        keys = step_keys(self.mask_keys, steps)
        whole = batch.at(slice(None))
        # What the code has written is taken as it is: to copy it would take some hundredths of a small step.
        self.gradients, losses, self.rest = self._taken(
            self.parameters, self.rest, whole.inputs, whole.targets, keys
        )  # fmt: skip
        return losses

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split | Batch, steps: Sequence[int]) -> Tensor:
        """See `Executor`; takes as long as a step of all runs."""
        keys, found = step_keys(self.mask_keys, steps), torch.empty_like(self.gradients)
        self._passed(self.parameters.index_copy(0, rows, weights), self.rest, batch, keys, found)
        return found[rows]

    def outputs(self, inputs: Any) -> Tensor | list[Any]:
        """See `Executor`; a chunk is filled up to `CHUNK` examples, for which alone there is code."""
        count = len(leaves(inputs)[0])
        if count > CHUNK or not self.fills_up():
            return super().outputs(inputs)
        if count < CHUNK:
            inputs = _at(inputs, torch.arange(CHUNK).clamp(max=count - 1))
        found = [
            self._call(("evaluate", own, CHUNK), self.evaluation(some, inputs))[0]
            for some, own in self.passes(len(self.parameters), CHUNK)
        ]
        return joined(found)[:, :count]

    def _differentiated(
        self, weights: Tensor, rest: Rest, inputs: Any, targets: Tensor, keys: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Rest]:
        found, losses, after = self._taken(weights, rest, inputs, targets, keys)
        gradients.copy_(found)
        return losses, after

    def _taken(
        self, weights: Tensor, rest: Rest, inputs: Any, targets: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor, Rest]:
        """Return the gradients, the losses, and what the models hold beside their weights after a step."""
        size = ("step", len(weights), targets.shape[1])
        gradients, losses, *after = self._call(size, (weights, rest, inputs, targets, keys))
        return gradients, losses, dict(zip(rest, after, strict=True))

    def _call(self, size: Size, given: Any) -> list[Tensor]:
        if size not in self.graphs:
            self.graphs[size] = Graph(self, size, given)
        code = self.graphs[size].code or self.graphs[size].make()
        with torch.no_grad():
            found: list[Tensor] = code([x.contiguous() for x in pytree.tree_leaves(given)])
        return found

    def training(self, some: slice, batch: Split) -> Any:
        """Return what the first step of some models is a function of."""
        keys = step_keys(self.mask_keys[some], [0] * (some.stop - some.start))
        return self.parameters[some], rest_of(self.rest, some), batch.inputs, batch.targets, keys

    def evaluation(self, some: slice, inputs: Any) -> Any:
        """Return what an evaluation of some models is a function of.

        The key is among it, because Inductor would compute what follows from a constant one by numbers that do not
        wrap around.
        """
        return self.parameters[some], rest_of(self.rest, some), inputs, self.no_key

    def fills_up(self) -> bool:
        """Return whether the outputs are one tensor, each example's its own, whatever else is in its chunk."""
        if self.task not in _FILLS_UP:
            few = self.task.valid.at(torch.arange(len(self.task.valid))[:3]).inputs
            more = _at(few, torch.arange(5).clamp(max=len(leaves(few)[0]) - 1))
            count = len(leaves(few)[0])
            try:
                alone, filled = super().outputs(few)[0], super().outputs(more)[0][:count]
                _FILLS_UP[self.task] = len(alone) == count and torch.allclose(alone, filled, rtol=1e-4, atol=1e-5)
            except (RuntimeError, TypeError, IndexError):
                _FILLS_UP[self.task] = False
        return _FILLS_UP[self.task]


_FILLS_UP: WeakKeyDictionary[Task, bool] = WeakKeyDictionary()


def _at(inputs: Any, indices: Tensor) -> Any:
    return each(inputs, lambda x: x.index_select(0, indices))


class Graph:
    """A step, or an evaluation, as a graph of torch's operations, and where its code is kept.

    It is traced only if its code has to be compiled.

    Attributes:
        seconds: about how long it takes to compile, by the number of operations.
        path: of the file.
        code: once it is ready in this process.
    """

    def __init__(self, models: Compiled, size: Size, given: Any) -> None:
        self.code: Code | None = None
        self.training = size[0] == "step"
        leaves, self.spec = pytree.tree_flatten(given)
        self.models, self.example = models, [x.contiguous() for x in leaves]
        with self._as_it_is_called():
            done, count = recorded(self._uncompiled, self.example)
        self.path, self.seconds = path_of(f"{size[0]} {done}"), 9 + 0.02 * count

    def _uncompiled(self, *flat: Any) -> Any:
        given = pytree.tree_unflatten(flat, self.spec)
        if not self.training:
            return self.models.predict(*given)
        weights, rest, inputs, targets, keys = given
        return self.models.uncompiled(weights, rest, inputs, targets, keys, torch.empty_like(weights))

    def graph(self) -> torch.fx.GraphModule:
        """Return it, traced."""
        from torch.fx.experimental.proxy_tensor import make_fx

        def called(*flat: Any) -> list[Tensor]:
            given = pytree.tree_unflatten(flat, self.spec)
            if not self.training:
                return [self.models.predict(*given)]
            gradients, (losses, rest) = self.models.traceable(*given)
            return [gradients, losses, *rest.values()]

        with self._as_it_is_called():
            return make_fx(called)(*self.example)

    @contextmanager
    def _as_it_is_called(self) -> Iterator[None]:
        self.models.module.train(self.training)
        with torch.set_grad_enabled(self.training), as_code():
            yield

    def make(self) -> Code:
        """Have the code ready in this process, from the disk if it is there, and return it."""
        if not self.load():
            self.compile()
        assert self.code is not None
        return self.code

    def load(self) -> bool:
        """Have the code ready in this process if it is on the disk and whole; return whether it is."""
        if self.code is None and (code := load(self.path)):
            self._is(code)
        return self.code is not None

    def compile(self) -> None:
        """Compile, and keep the code on the disk; where that cannot be written, it serves this process alone."""
        self._is(compile_graph(self.graph(), self.example, self.path))

    def _is(self, code: Code) -> None:
        self.code = code
        del self.models, self.example  # and with them the task


def graphs_of(task: Task, slots: int, sizes: Iterable[int], together: Together = _PLAIN) -> list[Graph]:
    """Return what so many models need on batches of these sizes, and for evaluation; each is done once to know it.

    Args:
        task, slots: whose models, and how many.
        sizes: of batches.
        together: how the batches pass.

    Raises:
        Exception: whatever vmap raised.
    """
    models = Compiled(task, beginnings(task, slots, together.recipe().resolved()))
    pieces = {cut.stop - cut.start for size in sizes for cut in models.parts(size)}
    wanted: list[Size] = [("step", models.passes(slots)[0][1], size) for size in sorted(pieces)]
    wanted += [("evaluate", models.passes(slots, CHUNK)[0][1], CHUNK)] * models.fills_up()
    for size in wanted:
        if size not in models.graphs:
            models.graphs[size] = Graph(models, size, _example(models, size))
    return [models.graphs[size] for size in wanted]


def forget(task: Task, together: Together) -> None:
    """Forget what has no code, with the models that it holds."""
    graphs = _GRAPHS.get(task, {}).get(_form(together), {})
    for size in [size for size, graph in graphs.items() if graph.code is None]:
        del graphs[size]


def _example(models: Compiled, size: Size) -> Any:
    train = models.task.train
    some = torch.arange(size[2]) % len(train)
    if size[0] == "step":
        batch = as_trained(train.at(some.repeat(size[1], 1)), models.together)
        return models.training(slice(0, size[1]), batch)
    return models.evaluation(slice(0, size[1]), train.at(some).inputs)


def compile_steps(task: Task, slots: int, sizes: Iterable[int], together: Together = _PLAIN) -> None:
    """Have all that `graphs_of` returns ready in this process and those forked from it.

    Raises:
        Exception: whatever the compiler, or vmap, raised.
    """
    for graph in graphs_of(task, slots, sizes, together):
        graph.make()


def count_compiled(task: Task) -> int:
    """Return how many graphs this process runs compiled for a task."""
    return sum(graph.code is not None for graphs in _GRAPHS.get(task, {}).values() for graph in graphs.values())
