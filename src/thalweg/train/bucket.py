"""Batches of texts that are about as long, each cut to its longest one, so that less padding is computed.

Where a batch passes in parts, each part is cut to its own longest one.

A model that makes the same of a text however much padding follows it, by a mask or by packed sequences, learns what
it would have learnt from whole batches of the same examples. Evaluation always sees all padding.

>>> import torch
>>> from torch import nn
>>> from thalweg import Recipe, Task, accuracy, optim
>>> from thalweg.train import Member, train
>>> class Words(nn.Module):
...     def __init__(self):
...         super().__init__()
...         self.words = nn.EmbeddingBag(9, 2, padding_idx=0)
...     def forward(self, x):
...         if self.training:
...             seen.append(tuple(x.shape))
...         return self.words(x)
>>> texts = [[1] * length + [2 + length % 2] for length in range(1, 31)]
>>> task = Task(model=Words, data=(texts, [length % 2 for length in range(1, 31)]), padding=0,
...             loss=nn.functional.cross_entropy, metric=accuracy)
>>> for bucket in ("none", "length"):
...     recipe = Recipe(optim.adam(), batch_size=6, epochs=1, bucket=bucket).resolved()
...     seen = []
...     result = train(task, [Member(recipe, seed=0)])
...     seen[-3:]
[(6, 31), (6, 31), (6, 31)]
[(6, 24), (6, 8), (6, 31)]
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Task, apply
from thalweg.task.padding import Padding, along, items, lengths, like
from thalweg.task.reading import Inputs, first_line

__all__ = ["bucketed", "check_bucket", "reads_padding", "trimmed"]


def bucketed(order: np.ndarray, lengths: np.ndarray, batch_size: int, key: Key, stretch: int = 50) -> np.ndarray:
    """Return an epoch's order in which the examples of a batch are about as long.

    Within stretches of so many batches examples are sorted by length; the batches that this makes come in a random
    order. What is left over for a last, smaller batch stays as it was, and is thus of any length.

    Args:
        order: of all examples, random; shape ``(n,)``.
        lengths: of the examples, shape ``(n,)``.
        batch_size: of the recipe.
        key: of the batches' order.
        stretch: batches.

    >>> bucketed(np.arange(7), np.array([9, 1, 8, 2, 7, 3, 5]), 2, Key(0)).tolist()
    [5, 4, 1, 3, 2, 0, 6]
    """
    whole = len(order) - len(order) % batch_size
    parts = [order[i : min(i + stretch * batch_size, whole)] for i in range(0, whole, stretch * batch_size)]
    by_length = [part[np.argsort(lengths[part], kind="stable")].reshape(-1, batch_size) for part in parts]
    if not parts:
        return order
    rows = np.concatenate(by_length)
    return np.concatenate([rows[key.permutation(len(rows))].reshape(-1), order[whole:]])


def trimmed(inputs: Any, targets: Tensor, padding: Padding, longest: int | None = None) -> tuple[Any, Tensor]:
    """Return a batch cut along the second axis of its sequences to the longest example in it.

    Args:
        inputs, targets: of the batch.
        padding: of the task.
        longest: to cut to, in place of that.

    >>> trimmed(torch.tensor([[5, 3, 0, 0], [7, 0, 0, 0]]), torch.tensor([0, 1]), padding=0)[0]
    tensor([[5, 3],
            [7, 0]])
    """
    end = int(lengths(inputs, padding).max()) if longest is None else longest
    cut = along(inputs, targets, padding)
    named = {name: x[:, :end].contiguous() if name in cut else x for name, x in items(inputs).items()}
    return like(inputs, named), targets[:, :end].contiguous() if None in cut else targets


def check_bucket(task: Task, recipe: Recipe, least: int) -> None:
    """Refuse a task without padding, and a model or loss that cannot take a batch which is cut.

    Tried are the shortest batch that can come up, and one a place shorter than the longest.

    Args:
        task: whose model.
        recipe: resolved or not.
        least: how many examples pass at once where they are fewest.

    Raises:
        InputError: with the reason.
    """
    order = task.lengths.argsort(stable=True)
    shortest, whole = int(task.lengths[order[least - 1]]), _length(task)
    batch = task.train.at(order[:8])
    for length in sorted({shortest, whole - 1}) if shortest < whole else ():
        inputs, targets = trimmed(batch.inputs, batch.targets, task.padding, length)
        what = f"a batch cut to its longest example, of length {length} and not {whole}"
        _try(task, recipe.loss or task.loss, inputs, targets, what)


def _length(task: Task) -> int:
    """Return the length to which the task's sequences are filled up."""
    named = items(task.train.inputs)
    cut = along(task.train.inputs, task.train.targets, task.padding)
    return max(int(named[name].shape[1]) for name in cut if name is not None)


def _try(task: Task, loss: Any, inputs: Inputs, targets: Tensor, what: str) -> None:
    module = task.model(0).train()
    with (Key(0) / "bucket").seeded(), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Using a target size")
        try:
            output = apply(module, inputs)
        except Exception as error:
            raise InputError(
                f"bucket: the model of task {task.name} cannot take {what}: {first_line(error)}; leave bucket out"
            ) from error
        try:
            if isinstance(output, Tensor) and output.shape[:1] != targets.shape[:1]:
                raise ValueError(f"the output has shape {tuple(output.shape)} for {len(targets)} examples")
            loss(output, targets)
        except Exception as error:
            raise InputError(
                f"bucket: the loss of task {task.name} cannot take what the model makes of {what}: "
                f"{first_line(error)}; leave bucket out"
            ) from error


def reads_padding(task: Task) -> str:
    """Return a sentence if the model's outputs depend on how much padding follows a text, else nothing.

    Seen on the two shortest training examples, in evaluation mode.
    """
    rows = task.lengths.argsort(stable=True)[:2]
    batch, length = task.train.at(rows), int(task.lengths[rows].max())
    inputs, _ = trimmed(batch.inputs, batch.targets, task.padding)
    module = task.model(0).eval()
    with (Key(0) / "bucket").seeded(), torch.no_grad():
        short, long = apply(module, inputs), apply(module, batch.inputs)
    if not (isinstance(short, Tensor) and isinstance(long, Tensor)):
        return ""
    if short.dim() > 1 and short.shape[1] != long.shape[1]:
        long = long[:, :length]
    if short.shape != long.shape or torch.allclose(short, long, 1e-3, 1e-3 * float(long.abs().max())):
        return ""
    return (
        f"bucket: the model's outputs change with the padding after a text, of which evaluation sees more than "
        f"training; have {task.name} mask it, or pack the sequences"
    )
