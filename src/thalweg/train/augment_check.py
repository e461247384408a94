"""Whether a task's examples can take a policy: tried on a few of them before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.augment import AugmentTechnique, Policy
from thalweg.augment._program import steps
from thalweg.augment.image._own import check_channels
from thalweg.augment.image._runs import size_after
from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.task import Split, Task
from thalweg.task.reading import each, type_name
from thalweg.train.augmented import Augmenting, one_thread_as_torch
from thalweg.train.mixing import check_mixed

__all__ = ["check_augment"]

SEEN = 8
"""Examples on which a policy is tried."""


def check_augment(task: Task, recipe: Recipe, loss: Any) -> None:
    """Refuse a policy that a task's examples cannot take.

    Args:
        task: whose training examples.
        recipe: resolved.
        loss: what the recipe minimises.

    Raises:
        InputError: with the reason.
    """
    policy = recipe.augment
    if not policy.parts:
        return
    techniques = [part.technique for part in policy.parts if isinstance(part.technique, AugmentTechnique)]
    few = task.train.at(torch.arange(min(SEEN, len(task.train))))
    rows = Split(each(few.inputs, lambda x: x[None].clone()), few.targets[None])
    numbers = torch.arange(len(few))[None]
    if techniques[0].medium == "text":
        if task.texts is None:
            raise InputError(
                f"augment: {policy.name} edits texts, and task {task.name} holds none; give it strings, and encode=, "
                "a function from strings to numbers"
            )
    else:
        _check_pictures(task, policy)
    try:
        one_thread_as_torch()
        Augmenting(task, [recipe], [0]).change(rows, [0], numbers, np.zeros(1, np.int64))
    except InputError as error:
        raise InputError(f"augment: task {task.name}: {error}") from error
    if recipe.together().labels > 1:
        mixing = " and ".join(technique.name for technique in techniques if technique.stage == "mix")
        check_mixed(task, loss, few, mixing)


def _check_pictures(task: Task, policy: Policy) -> None:
    """Refuse inputs that are no pictures, and steps that would leave pictures of another kind than are judged."""
    inputs = task.train.inputs
    if not isinstance(inputs, Tensor):
        raise InputError(
            f"augment: {policy.name} takes one tensor of pictures, and task {task.name} has several inputs"
        )
    shape = tuple(inputs.shape[1:])
    if len(shape) not in (2, 3) or 0 in shape:
        raise InputError(
            f"augment: {policy.name} takes pictures (channels, height, width) or (height, width), and an input of "
            f"task {task.name} has the shape {shape}"
        )
    if not inputs.is_floating_point():
        raise InputError(
            f"augment: {policy.name} takes pictures of floats, and those of task {task.name} are "
            f"{type_name(inputs)}; divide them by 255"
        )
    if len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] > 4:
        raise InputError(
            f"augment: {policy.name} takes pictures (channels, height, width), and those of task {task.name} are "
            f"{shape}; put their channels first"
        )
    program = steps(policy, "image")
    if program[-1].technique.stage == "last":
        raise InputError(
            f"augment: {policy.parts[-1].name} would change what is trained on, and not what is judged; give task "
            f"{task.name} standardize=True in its place"
        )
    try:
        for step in program:
            check_channels(step, shape[0] if len(shape) == 3 else 1)
    except InputError as error:
        raise InputError(f"augment: task {task.name}: {error}") from error
    height, width = size = shape[-2], shape[-1]
    try:
        for step in program:
            height, width = size_after(step, height, width)
    except InputError as error:
        raise InputError(f"augment: task {task.name}: {error}") from error
    if (height, width) != size:
        raise InputError(
            f"augment: {policy.name} makes pictures of {height} × {width}, and those of task {task.name} that are "
            f"judged have {size[0]} × {size[1]}; give it size=({size[0]}, {size[1]})"
        )
