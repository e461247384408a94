"""A formula's elements compiled for the device by ``torch.compile``: one kernel for all tensors of a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

__all__ = ["run"]


def run(
    elements: Callable[..., Any],
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[Sequence[Tensor]],
    constants: Sequence[float],
) -> None:
    """Update all parameters and states in place.

    Constants are handed over as one tensor, so that a new step or rate compiles nothing anew.
    """
    numbers = torch.tensor(constants, dtype=torch.float64).to(parameters[0].device, parameters[0].dtype)
    layouts = tuple((p.shape, p.stride(), p.dtype, p.device) for p in parameters)
    _compiled(elements, layouts)(list(parameters), list(gradients), [list(s) for s in states], numbers)


@cache
def _compiled(elements: Callable[..., Any], layouts: tuple[Any, ...]) -> Callable[..., None]:
    """Return a group's step, with code of its own: torch gives up on code that it has compiled for 8 groups."""

    def step(parameters: list[Tensor], gradients: list[Tensor], states: list[list[Tensor]], numbers: Tensor) -> None:
        constants = numbers.unbind(0)
        for p, g, kept in zip(parameters, gradients, states, strict=True):
            new, *after = elements(p, g, *kept, *constants)
            p.copy_(new)
            for place, value in zip(kept, after, strict=True):
                place.copy_(value)

    own = FunctionType(step.__code__.replace(), globals(), closure=step.__closure__)
    compiled: Callable[..., None] = torch.compile(own, fullgraph=True, dynamic=False)
    return compiled
