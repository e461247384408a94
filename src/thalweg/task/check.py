"""Trying a task on a few examples before a study begins, so that a mistake is said in one sentence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.task.fingerprint import hash_weights
from thalweg.task.loss_state import check_loss, loss_state
from thalweg.task.memory import TooLargeError, check_size, free, in_bounds, is_memory, size
from thalweg.task.outside import check_outside
from thalweg.task.reading import Split, apply, are_classes, first_line, leaves, type_name
from thalweg.task.task import Task
from thalweg.task.waiting import Waiting

__all__ = ["check"]


def check(task: Task) -> None:
    """Run the model, the loss and the metric on a few examples.

    Raises:
        InputError: one of them cannot do its part; the message says which, on what, and what to change.
    """
    try:
        _check(task)
    except Exception as error:
        if isinstance(error, TooLargeError) or not is_memory(error):
            raise
        raise TooLargeError(
            f"memory ran out while task {task.name} was tried on {FEW} examples, with {size(free())} of it left; "
            "make the model or the examples smaller, or use a machine with more"
        ) from error


LONG = 1.5
"""Seconds from which it is said how long a model takes to make."""

FEW = 8
"""Examples that the model is trained on."""


def _check(task: Task) -> None:
    module = _model(task)
    loss_state(task)  # before the loss is called here
    start = hash_weights(module)
    few = _spread(task.train, FEW)
    with (Key(0) / "check").seeded():
        output = _forward(task, module.train(), few)
        if hash_weights(task.model(0)) != start:
            raise InputError(
                f"the model of task {task.name} shares what its forward pass writes, such as the running mean of a "
                "batch norm, with the next one made; make it anew inside model="
            )
        _check_filled(task, module)  # which the first pass may have done
        loss = _loss(task, output, few.targets)
        _gradients(task, module, loss)
        # As many as training and evaluation will give to the metric at once; copied, in case something writes.
        many = task.valid.at(torch.arange(min(256, len(task.valid))))
        with torch.no_grad():
            _metric(task, _forward(task, module.eval(), many), many.targets)
    check_outside(task)
    check_loss(task)


def _spread(part: Split, count: int) -> Split:
    """Return examples from all over a split, copied: neighbours may be of one class."""
    return part.at(torch.linspace(0, len(part) - 1, min(count, len(part)), dtype=torch.float64).long())


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}, {type_name(value)}"
    return f"the type {type(value).__name__}"


def _model(task: Task) -> nn.Module:
    """Return the model of seed 0, which must be another object with the same weights each time."""
    waiting = Waiting()
    try:
        with in_bounds(task.name, waiting):
            module = task.model(0)
    except InputError as error:
        raise (error.__cause__ if isinstance(error.__cause__, TooLargeError) else error) from None
    check_size(task.name, module)
    if waiting.seconds >= LONG:
        Waiting().say(
            f"the model of task {task.name} takes {waiting.seconds:.0f} s to make, and is made several times to try "
            "it and to measure how long runs take",
            least=0,
        )
    again = task.model(0)
    who = f"the model of task {task.name}"
    for name, p in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(p):
            raise InputError(f"{who} has a lazy layer, whose {name} has no shape yet; give the layer its sizes")
        if p.device.type != "cpu":
            raise InputError(f"{who} has its {name} on {p.device}, and the data are on the CPU; make it there")
    if module.train() is not module:
        raise InputError(f"{who} has a train() of its own that does not return the model; end it with return self")
    trainable = {id(p) for p in module.parameters() if p.requires_grad}
    if not trainable:
        raise InputError(f"{who} has no trainable parameters; there is nothing to train")
    if trainable & {id(p) for p in again.parameters()}:
        raise InputError(f"{who} shares its weights with the next one made; make them anew inside model=")
    if hash_weights(module) != hash_weights(again):
        raise InputError(
            f"{who} begins with other weights each time, under one seed; draw them from torch's, numpy's or "
            "Python's global generator, which are seeded"
        )
    return module


def _forward(task: Task, module: nn.Module, few: Split) -> Any:
    shapes = " and ".join(map(_shape, leaves(few.inputs)))
    try:
        output = apply(module, few.inputs)
    except Exception as error:
        raise InputError(
            f"the model of task {task.name} cannot take its inputs ({shapes}): "
            f"{first_line(error)}{_recast(task) if 'type' in str(error) else ''}"
        ) from error
    if isinstance(output, Tensor) and (output.dim() == 0 or len(output) != len(few)):
        raise InputError(
            f"the output of the model of task {task.name} has {_shape(output)} for {len(few)} examples; "
            "its first axis must count the examples"
        )
    return output


def _check_filled(task: Task, module: nn.Module) -> None:
    for name, p in module.named_parameters():
        if p.isnan().any():
            raise InputError(
                f"the model of task {task.name} has NaN in {name} as it is made; fill what torch.empty or "
                "torch.Tensor made, such as by torch.nn.init.normal_, or look for a division by 0"
            )


def _recast(task: Task) -> str:
    """Return what of the model was of another type before it was made one of the task's; empty if nothing was."""
    with (Key(0) / "init").seeded():
        module = task.factory()
    ours, named = str(task.dtype).removeprefix("torch."), (*module.named_parameters(), *module.named_buffers())
    name, x = next(((n, x) for n, x in named if x.is_floating_point() and x.dtype != task.dtype), ("", None))
    if x is None:
        return ""
    remedy = "leave conversions out" + f", or give the task dtype={x.dtype}" * (x.dtype == torch.float64)
    return f"; a task makes all numbers of its model {ours}, and {name} was made as {type_name(x)}: {remedy}"


def _loss(task: Task, output: Any, targets: Tensor) -> Tensor:
    both = f"the output has {_shape(output)}, the targets {_shape(targets)}"
    unlike = (
        f"the loss of task {task.name} would compare unlike shapes: {both}; "
        "bring the output into the targets' shape, such as with squeeze(-1)"
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Using a target size")
            loss = _seeded_loss(task, output, targets)
    except Exception as error:
        if isinstance(error, UserWarning) and "Using a target size" in str(error):
            raise InputError(unlike) from error
        raise InputError(
            f"the loss of task {task.name} cannot take the model's output: {_classes(task, output) or both} "
            f"({first_line(error)})"
        ) from error
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        raise InputError(
            f"the loss of task {task.name} has {_shape(loss)}, and must be one number, a tensor of shape (); "
            "take the mean over the batch"
        )
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss of task {task.name} is {loss.item()} before the first step; "
            "look at the range of the inputs (standardize=True helps) and at the model's output"
        )
    if _broadcasts(task, output, targets):
        raise InputError(unlike)
    outside = _classes(task, output)
    if outside:
        beyond = targets.clone()
        beyond[0], beyond[-1] = _extremes(task)
        try:
            _seeded_loss(task, output, beyond)
        except Exception as error:
            raise InputError(f"the loss of task {task.name} cannot take all targets: {outside}") from error
    return loss


def _seeded_loss(task: Task, output: Any, targets: Tensor) -> Tensor:
    with (Key(0) / "check" / "loss").seeded():
        return task.loss(output, targets)


def _broadcasts(task: Task, output: Any, targets: Tensor) -> bool:
    """Return whether the loss pairs every output with every target, as (N, 1) against (N,) makes it.

    Then it does not matter whose target is whose. Where output or targets are all the same it never does, and some
    losses see little but the larger of the two: a right guess is tried as well.
    """
    if not isinstance(output, Tensor) or output.shape == targets.shape or output.numel() != targets.numel():
        return False
    others = targets.roll(1, 0)
    for guess in (output.detach(), targets.reshape(output.shape).to(output.dtype)):
        try:
            mine, theirs = (float(_seeded_loss(task, guess, y)) for y in (targets, others))
        except Exception:
            return False  # it looks into what it is given
        if not (math.isfinite(mine) and math.isclose(mine, theirs, rel_tol=1e-4)):
            return False
    return not torch.equal(targets, others)


def _extremes(task: Task) -> tuple[int, int]:
    """Return the least and the greatest class of all splits."""
    every = torch.cat([part.targets for part in (task.train, task.valid, task.test)])
    return int(every.min()), int(every.max())


def _classes(task: Task, output: Any) -> str:
    """Return what is wrong with the number of classes, if anything is."""
    if not (isinstance(output, Tensor) and output.dim() == 2 and are_classes(task.train.targets)):
        return ""
    (low, high), known = _extremes(task), output.shape[1]
    if low >= 0 and high < known:
        return ""
    wrong_start = low < 0 or high - low < known
    return (
        f"targets are classes {low} to {high}, and a model with {known} output{'s' * (known != 1)} knows "
        f"{f'0 to {known - 1}' if known > 1 else 'class 0'}; "
        f"{'count classes from 0' if wrong_start else f'give it {high + 1} outputs'}"
    )


def _parts(output: Any) -> str:
    """Return how a metric takes one of several outputs; empty where there is one."""
    key: Any
    if isinstance(output, Mapping) and output:
        key, shown = next(iter(output)), ", ".join(map(repr, output))
    elif isinstance(output, tuple | list) and output:
        key, shown = 0, f"0 to {len(output) - 1}"
    else:
        return ""
    return (
        f"; the output has the parts {shown}; give a Metric of your own that takes one of them, such as "
        f'Metric("accuracy", lambda output, y: thalweg.accuracy.outcomes(output[{key!r}], y), True)'
    )


def _gradients(task: Task, module: nn.Module, loss: Tensor) -> None:
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    try:
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    except RuntimeError as error:
        raise InputError(
            f"the loss of task {task.name} has no gradient; something between model and loss leaves the graph "
            f"({first_line(error)})"
        ) from error
    if all(g is None for g in gradients):
        raise InputError(
            f"the loss of task {task.name} does not depend on the model's parameters; compute it from the output"
        )
    for name, g in zip(named, gradients, strict=True):
        if g is not None and not torch.isfinite(g.norm()):
            raise InputError(
                f"the loss of task {task.name} has a gradient with NaN or infinity in {name} before the first step; "
                "look for a square root, a logarithm or a division at 0"
            )


def _metric(task: Task, output: Any, targets: Tensor) -> None:
    name, count, kept = task.metric.name, len(targets), targets.clone()
    try:
        values = task.metric.outcomes(output, targets)
    except Exception as error:
        raise InputError(
            f"the metric {name} cannot take the model's output ({_shape(output)}) and targets ({_shape(targets)}): "
            f"{first_line(error)}{_parts(output)}"
        ) from error
    if not isinstance(values, Tensor) or tuple(values.shape) not in ((), (count,)):
        raise InputError(
            f"the metric {name} has {_shape(values)} for {count} examples; "
            f"it must be a tensor with one value an example, shape ({count},), or one for all, shape ()"
        )
    if not torch.equal(targets, kept):
        raise InputError(f"the metric {name} writes into its targets; have it work on a copy")
    bad = ~torch.isfinite(values)
    if values.dim() and bad.any():
        row = int(bad.nonzero()[0])
        raise InputError(
            f"the metric {name} of example {row} of valid is {values[row].item()} before the first step; "
            "a run with such an outcome counts as diverged, so define it for every example"
        )
    if task.metric.by_example and isinstance(output, Tensor) and count > 1:
        cut = count // 2
        pieces = [task.metric.outcomes(output[some], targets[some]) for some in (slice(0, cut), slice(cut, None))]
        if not values.dim() or not torch.allclose(values.double(), torch.cat(pieces).double(), equal_nan=True):
            raise InputError(
                f"the metric {name} says by_example=True, but what it gives an example depends on which others it "
                "sees; leave that out"
            )
