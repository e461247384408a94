"""How a batch passes through a model: in how many parts, in which precision, and with which parameters frozen."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import Recipe, Together
from thalweg.recipe.roles import values_of
from thalweg.task import Task
from thalweg.task.fitting import output_for
from thalweg.train.bucket import check_bucket
from thalweg.train.counter import GOLDEN, mix, signed
from thalweg.train.recompute import blocks

__all__ = ["InFloat32", "autocast", "check_passes", "fewest", "freeze", "part_keys", "parts", "trainable"]


def parts(count: int, accumulate: int, batch_size: int) -> list[slice]:
    """Return a batch's parts, whose sizes are at most one apart.

    A batch too small for so many passes in fewer: a part of one example, which batch norm cannot take, is made only
    where the parts of a whole batch have no more.

    Args:
        count: examples in this batch.
        accumulate, batch_size: of the recipe.

    >>> parts(10, 4, 10)
    [slice(0, 3, None), slice(3, 5, None), slice(5, 8, None), slice(8, 10, None)]
    >>> parts(3, 4, 10)
    [slice(0, 3, None)]
    """
    least = 1 if batch_size < 2 * accumulate else 2
    many = min(accumulate, max(1, count // least))
    cuts = [-(-i * count // many) for i in range(many + 1)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def fewest(count: int, recipe: Recipe) -> int:
    """Return how many examples pass the model at once where they are fewest.

    Args:
        count: of the training examples.
        recipe: resolved or not.

    >>> fewest(64, Recipe(batch_size=20, accumulate=4)), fewest(61, Recipe(batch_size=20, accumulate=4))
    (2, 5)
    """
    found: list[int] = []
    for batch_size, into in product(values_of(recipe.batch_size), values_of(recipe.accumulate)):
        whole, rest = min(batch_size, count), count % batch_size
        sizes = [whole, rest] if rest > 1 else [whole]  # a last batch of one is left out
        found += [cut.stop - cut.start for size in sizes for cut in parts(size, into, batch_size)]
    return min(found)


def part_keys(keys: Tensor, part: int) -> Tensor:
    """Return the runs' keys for a part of their step's batch, so that each part drops units of its own."""
    found: Tensor = keys if part == 0 else mix(keys + signed(-part * GOLDEN))
    return found


def autocast(together: Together, device: torch.device) -> AbstractContextManager[object]:
    """Return what is around forward pass and loss in training; nothing for ``"float32"``."""
    if together.precision == "float32":
        return nullcontext()
    # Cast weights are not kept from one use to the next: vmap and gradients of gradients would mix their levels.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


class InFloat32(TorchFunctionMode):
    """While active, norms and recurrent layers get float32 where autocast has made bfloat16 of it.

    Torch's own take the one with weights of the other, but not under vmap.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function not in _OF_ONE_TYPE or args[0].dtype != torch.bfloat16:
            return function(*args, **(kwargs or {}))
        args, kwargs = tree_map(_float32, (args, kwargs or {}))
        found = function(*args, **kwargs)
        return found.bfloat16() if isinstance(found, Tensor) else found


_OF_ONE_TYPE = {
    F.batch_norm, F.instance_norm, F.layer_norm, F.rms_norm,
    *(getattr(torch._VF, name) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")),  # noqa: SLF001
}  # fmt: skip


def _float32(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) and x.dtype == torch.bfloat16 else x


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; tied ones once.

    Side by side in memory, pairs of numbers are to begin at an even place, which `torch.view_as_complex` asks for:
    where one would not, parameters with an odd number of elements come last.
    """
    mine = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    begin, split = 0, False
    for _, p in mine:
        split = split or (begin % 2 == 1 and p.shape[-1:] == (2,))
        begin += p.numel()
    return dict(sorted(mine, key=lambda one: one[1].numel() % 2) if split else mine)


def freeze(module: nn.Module, names: str) -> nn.Module:
    """Freeze the parameters that a recipe names, and return the module.

    Args:
        module: changed in place.
        names: names and patterns with spaces between them, or ``"none"``.

    Raises:
        InputError: one of them names no parameter, or together they name all that would be trained.

    >>> net = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "0.* 1.bias")
    >>> list(trainable(net))
    ['1.weight']
    """
    if names == "none":
        return module
    every = dict(module.named_parameters(remove_duplicate=False))
    before = trainable(module)
    for pattern in names.split():
        found = [p for name, p in every.items() if fnmatchcase(name, pattern)]
        if not found:
            known = ", ".join(list(every)[:6]) + (", …" if len(every) > 6 else "")
            raise InputError(f'freeze: no parameter of the model is called "{pattern}"; it has {known}')
        for p in found:
            p.requires_grad_(False)
    if before and not trainable(module):
        raise InputError(f'freeze: "{names}" names every parameter of the model, so that nothing is left to train')
    return module


def check_passes(task: Task, recipe: Recipe) -> None:
    """Refuse a recipe whose way to pass a batch does not fit the task's model.

    Args:
        task: whose model.
        recipe: resolved or not.

    Raises:
        InputError: names to freeze that name nothing, or everything; blocks to recompute where the model has none;
            bf16 for a task whose numbers are not float32; parts for a loss that is a sum over examples; batches of
            about one length for a task that does not say what is padding, or whose model cannot take a batch that is
            cut.
    """
    if recipe.precision == "bf16" and task.dtype != torch.float32:
        name = str(task.dtype).removeprefix("torch.")
        raise InputError(
            f"precision bf16 is for tasks of float32; {task.name} is of {name}, which autocast leaves as it is"
        )
    if max(values_of(recipe.accumulate)) > 1 and _adds_up(task, recipe.loss or task.loss):
        raise InputError(
            f"accumulate: the loss of task {task.name} is a sum over a batch's examples, and parts of it, each of "
            "which counts by its share of them, would make a smaller one; take the mean, or leave accumulate out"
        )
    if recipe.freeze != "none":
        freeze(task.model(0), recipe.freeze)
    if recipe.recompute == "blocks":
        blocks(task.model(0))
    if recipe.bucket == "length":
        check_bucket(task, recipe, fewest(len(task.train), recipe))


def _adds_up(task: Task, loss: Any) -> bool:
    """Return whether the loss of a few examples is the sum of the losses of their halves, and not the mean."""
    count = min(8, len(task.train) // 2 * 2)
    batch = task.train.at(torch.arange(count))

    def part(cut: slice) -> float:
        some = tree_map(lambda x: x[cut] if isinstance(x, Tensor) and x.shape[:1] == (count,) else x, output)
        with (Key(0) / "accumulate").seeded():
            return float(loss(some, batch.targets[cut]))

    with (Key(0) / "accumulate").seeded(), torch.no_grad():
        output = output_for(loss, task.model(0), batch)
        try:
            whole, *halves = (part(slice(*ends)) for ends in ((0, count), (0, count // 2), (count // 2, count)))
        except Exception:
            return False  # it takes whole batches alone, or something else is wrong with it
    return math.isfinite(whole) and whole != 0 and math.isclose(whole, sum(halves), rel_tol=1e-3)
