"""Pictures mixed with others of their batch, and the loss of examples that have the targets of several.

An example's loss is the mean of its losses under each target, weighted by how much of each picture is in it
(Zhang et al. 2018, section 2). Targets and weights travel in one tensor, so that a batch of mixed pictures passes as
any other does: through parts, vmap and compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from thalweg.augment import Policy
from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import Together
from thalweg.task import Split, Task
from thalweg.task.fitting import output_for
from thalweg.task.reading import first_line

__all__ = ["Mixed", "as_trained", "check_mixed", "mixed", "paired"]

Loss = Callable[[Any, Tensor], Tensor]


def paired(targets: Tensor, labels: int) -> Tensor:
    """Return targets as those of examples that are not mixed: each its own, of weight 1, float64.

    Args:
        targets: of any shape.
        labels: how many targets each example is to have.

    Returns:
        Shape ``(*targets.shape, 2 * labels)``: the targets, then their weights.

    >>> paired(torch.tensor([3, 5]), 2).tolist()
    [[3.0, 3.0, 1.0, 0.0], [5.0, 5.0, 1.0, 0.0]]
    """
    found = targets.new_zeros(*targets.shape, 2 * labels, dtype=torch.float64)
    found[..., :labels] = targets[..., None]
    found[..., labels] = 1.0
    return found


def as_trained(batch: Split, together: Together) -> Split:
    """Return a batch of plain examples as a step takes it: where pictures are mixed, each with itself."""
    return batch if together.labels == 1 else Split(batch.inputs, paired(batch.targets, together.labels))


def mixed(
    policy: Policy, images: Tensor, targets: Tensor, samples: np.ndarray, epoch: int, seed: int, labels: int
) -> tuple[Tensor, Tensor]:
    """Return a batch after a policy that mixes, and its targets with their weights, as `paired` gives them.

    Args:
        policy, images, samples, epoch, seed: as for `Policy.mixed`.
        targets: ``(N, …)``.
        labels: how many targets each example is to have, two for each step that mixes.
    """
    count = len(images)
    own = torch.eye(count, dtype=images.dtype)
    images, shares = policy.mixed(images, own, samples, epoch=epoch, seed=seed)
    weights, whose = shares.topk(min(labels, count))
    found = paired(targets, labels)
    shape = count, *[1] * (targets.dim() - 1)
    for i in range(weights.shape[1]):
        found[..., i] = targets[whose[:, i]]
        found[..., labels + i] = weights[:, i].view(shape)
    return images, found


class Mixed:
    """A loss of targets that are those of several examples, each with its weight.

    Args:
        loss: ``(output, targets) -> scalar``, a mean over examples.
        labels: how many targets each example has.
        dtype: of the targets.
    """

    def __init__(self, loss: Loss, labels: int, dtype: torch.dtype) -> None:
        self.loss, self.labels, self.dtype = loss, labels, dtype
        self.each = vmap(self._of_one)

    def _of_one(self, output: Any, target: Tensor) -> Tensor:
        return self.loss(tree_map(lambda x: x[None], output), target[None])

    def __call__(self, output: Any, targets: Tensor) -> Tensor:
        """Return the mean over examples, shape ``()``.

        Args:
            output: the model's.
            targets: as `paired` gives them.
        """
        found: Any = 0.0
        for i in range(self.labels):
            losses = self.each(output, targets[..., i].to(self.dtype))
            weights = targets[..., self.labels + i].reshape(len(targets), -1)[:, 0]
            found = found + (weights.to(losses.dtype) * losses).mean()
        total: Tensor = found
        return total


def check_mixed(task: Task, loss: Loss, few: Split, names: str) -> None:
    """Refuse a loss that is no mean of the losses of single examples, which is what mixed targets ask for.

    Args:
        task: whose model gives the outputs.
        loss: of the recipe, else of the task.
        few: examples.
        names: of the steps that mix.

    Raises:
        InputError: with what stands in the way.
    """
    with (Key(0) / "mixed").seeded(), torch.no_grad():
        output = output_for(loss, task.model(0), few)
        whole = float(loss(output, few.targets))
        try:
            parts = float(Mixed(loss, 1, few.targets.dtype)(output, paired(few.targets, 1)))
        except Exception as error:
            raise InputError(
                f"augment: {names} asks for the loss of each example by itself, which the loss of task {task.name} "
                f"does not give: {first_line(error)}"
            ) from error
    if not math.isclose(whole, parts, rel_tol=1e-3, abs_tol=1e-6):
        raise InputError(
            f"augment: {names} asks for a loss that is the mean over examples, and that of task {task.name} is "
            f"{whole:.4g} for {len(few)} examples together, and {parts:.4g} on average for each by itself"
        )
