"""A run's model and its loss: what the task makes, and what the recipe changes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.dropout._rates import Rated
from thalweg.errors import InputError
from thalweg.init import Init
from thalweg.key import Key
from thalweg.loss._fitting import outside
from thalweg.penalty._places import places
from thalweg.prune import Prune
from thalweg.recipe import Recipe
from thalweg.surgery import Operation, operate
from thalweg.task import Task
from thalweg.task.reading import apply
from thalweg.technique import Ingredient
from thalweg.train.augment_check import check_augment
from thalweg.train.mixing import Mixed
from thalweg.train.passes import fewest, freeze

__all__ = ["check_made", "loss_of", "masks_of", "model_of", "step_loss_of"]

FEW = 4
"""Examples that surgery looks at."""

BATCH = 256
"""Examples, at most, on which an initialisation or a way to prune may look."""


def model_of(
    task: Task, recipe: Recipe, seed: int, *, seen: Callable[[nn.Module], None] = lambda _: None
) -> nn.Module:
    """Return a run's model at its initial weights: the task's, after surgery, filled and frozen as the recipe says.

    Layers keep their names in surgery, and a weight's first values follow from seed and name: they are the same with
    other norms, and with another activation but for its gain.

    Args:
        task, recipe, seed: the run's.
        seen: gets the module as the task makes it.

    Raises:
        InputError: surgery finds nothing to replace, or what it must not touch; or there is nothing to fill.
    """
    module = task.model(seed)
    seen(module)
    parts = {role: part for role in ("activation", "norm", "dropout") if (part := getattr(recipe, role)) is not None}
    if parts:
        kinds = {role: part.technique() if role == "dropout" else part for role, part in parts.items()}
        module = _operation(task, tuple(kinds.items())).again(module, **parts)
        for part in module.modules():
            if isinstance(part, Rated):
                part.as_buffers()  # so that each of many stacked models has rates of its own
    if isinstance(recipe.init, Init):
        recipe.init.apply(module, Key(seed) / "init", task.train.at(slice(0, BATCH)).inputs)
    return freeze(module, recipe.freeze)


_OPERATIONS: WeakKeyDictionary[Task, dict[tuple[tuple[str, Ingredient], ...], Operation]] = WeakKeyDictionary()


def _operation(task: Task, kinds: tuple[tuple[str, Ingredient], ...]) -> Operation:
    """Return what surgery does to the task's model, whatever its weights; it is looked at once."""
    known = _OPERATIONS.setdefault(task, {})
    if kinds not in known:
        known[kinds] = operate(task.model(0), task.train.at(slice(0, FEW)).inputs, **dict(kinds))
    return known[kinds]


def loss_of(task: Task, recipe: Recipe) -> Callable[[Any, Tensor], Tensor]:
    """Return what a run minimises: the recipe's loss, else the task's."""
    found: Any = recipe.loss or task.loss
    call: Callable[[Any, Tensor], Tensor] = found
    return call


def step_loss_of(task: Task, recipe: Recipe) -> Callable[[Any, Tensor], Tensor]:
    """Return a run's loss on batches as training has them: where pictures are mixed, of more than one target each."""
    labels = recipe.together().labels
    loss = loss_of(task, recipe)
    return loss if labels == 1 else Mixed(loss, labels, task.train.targets.dtype)


def masks_of(task: Task, recipe: Recipe, seed: int, module: nn.Module) -> dict[str, Tensor]:
    """Return which weights a run keeps, by the parameters' names, True where a weight stays; none without pruning.

    What looks at data looks at the examples that the run sees first; what draws lots draws them by the run's seed.

    Args:
        task, recipe, seed: the run's.
        module: its model at its initial weights; left as it is.

    Raises:
        InputError: nothing to prune, tied weights, or a layer that the technique cannot take.
    """
    if not isinstance(recipe.prune, Prune):
        return {}
    first = torch.from_numpy((Key(seed) / "order" / 0).permutation(len(task.train))[:BATCH])
    batch = task.train.at(first)
    return recipe.prune.masks(
        module, batch=(batch.inputs, batch.targets), loss=loss_of(task, recipe), key=Key(seed) / "prune"
    )


def check_made(task: Task, recipe: Recipe) -> None:
    """Refuse a recipe whose techniques do not fit the task's model or its targets.

    Args:
        task: whose model and targets.
        recipe: resolved.

    Raises:
        InputError: says which, and why; also where a batch norm, the model's own too, would get a batch of one.
    """
    if recipe.loss is not None:
        loss: Any = recipe.loss
        loss.check(task.train.targets, task.name)
    check_augment(task, recipe, loss_of(task, recipe))
    module = model_of(task, recipe, 0)
    masks_of(task, recipe, 0, module)
    if recipe.loss is not None:
        _check_classes(recipe.loss.name, task, module)
    if recipe.penalty is not None:
        places(module)
    if fewest(len(task.train), recipe) == 1:
        _check_alone(module, task)


def _check_classes(name: str, task: Task, module: nn.Module) -> None:
    """Refuse targets of classes of which the model says nothing.

    Args:
        name: the loss's, which takes the task's targets.
        task: whose training targets.
        module: in evaluation mode afterwards.
    """
    with Key(0).seeded(), torch.no_grad():
        output = apply(module.eval(), task.train.at(slice(0, FEW)).inputs)
    if isinstance(output, Tensor) and output.dim() > 1 and (wrong := outside(name, output, task.train.targets)):
        raise wrong


def _check_alone(module: nn.Module, task: Task) -> None:
    """Refuse a model whose batch norms cannot take one example alone in training.

    Args:
        module: in training mode afterwards.
        task: whose first example.
    """
    norms = {name: norm for name, norm in module.named_modules() if isinstance(norm, _BatchNorm)}
    called: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        return lambda *_: called.append(name)

    hooks = [norm.register_forward_pre_hook(noted(name)) for name, norm in norms.items()]
    try:
        with Key(0).seeded(), torch.enable_grad():
            apply(module.train(), task.train.at(slice(0, 1)).inputs)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            where = called[-1].removesuffix(".behind") if called else "the model"
            raise InputError(
                f"{where}: batch norm has nothing to take a variance over in a batch of one; take batches of at "
                "least 2, or another norm"
            ) from error
        raise
    finally:
        for hook in hooks:
            hook.remove()
