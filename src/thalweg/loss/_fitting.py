"""Outputs and targets in the shapes and types that formulas take, or a sentence on why they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor

from thalweg.errors import InputError
from thalweg.loss._words import LEFT_OUT

__all__ = ["fitted", "outside"]


def fitted(name: str, kinds: Sequence[str], output: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Return output and targets for a loss's formula; see `Loss`."""
    for what, x in (("output", output), ("targets", targets)):
        if not isinstance(x, Tensor):
            raise InputError(f"{name} takes a tensor as {what}, not {type(x).__name__}")
    # Sums in bfloat16 lose what a loss is about, and autocast keeps torch's own losses from them.
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    if "classes" in kinds and ("numbers" not in kinds or not targets.is_floating_point()):
        return _classes(name, output, targets)
    return _numbers(name, output, targets)


def outside(name: str, output: Tensor, targets: Tensor) -> InputError | None:
    """Return what is wrong with targets that name a class of which the output says nothing; None for others.

    Args:
        name: the loss's.
        output, targets: as `fitted` returns them; of many runs stacked, nothing can be said.
    """
    if targets.is_floating_point() or is_batchedtensor(targets):
        return None
    count = output.shape[1]
    wrong = targets[((targets < 0) & (targets != LEFT_OUT)) | (targets >= count)]
    if not len(wrong):
        return None
    return InputError(
        f"{name} got the class {int(wrong[0])} in its targets, and the output is of {count}: 0 to {count - 1}"
    )


def _classes(name: str, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    if targets.is_floating_point() or targets.is_complex():
        raise InputError(f"{name} takes classes, which are whole numbers, not targets of {_type(targets)}")
    shape = tuple(output.shape)
    if len(shape) < 2 or (shape[0], *shape[2:]) != tuple(targets.shape):
        raise InputError(
            f"{name} takes an output (N, classes, …) for targets (N, …), not {shape} for {tuple(targets.shape)}"
        )
    return output, targets.long()


def _numbers(name: str, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    longer = [[n for n in x.shape if n != 1] for x in (output, targets)]
    if longer[0] != longer[1]:
        raise InputError(
            f"{name} takes targets in the shape of the output, not {tuple(targets.shape)} for {tuple(output.shape)}"
        )
    return output, targets.reshape(output.shape).to(output.dtype)


def _type(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
