"""A formula as tensor operations: any device, any type, any scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.optim._technique import Optimizer

__all__ = ["begin", "elements", "fill", "update"]


def begin(technique: Optimizer, p: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Return a parameter's state before its first step.

    Args:
        technique: whose state; that of its formula for vectors, if ``p`` is one.
        p: the parameter, in its shape.
        dtype: of the state.
    """
    technique = technique.on(tuple(p.shape))
    state = []
    for name in technique.state:
        start = technique.start.get(name, 0.0)
        if start == "p":
            state.append(p.detach().clone(memory_format=torch.preserve_format).to(dtype))
        elif name in technique.shapes:
            shape = technique.shapes[name](tuple(p.shape))
            state.append(torch.full(shape, start, dtype=dtype, device=p.device))
        else:
            state.append(torch.empty_like(p, dtype=dtype, memory_format=torch.preserve_format, requires_grad=False))
            fill(state[-1], start)
    return state


def fill(x: Tensor, value: float) -> None:
    """Set every element; of complex numbers, real and imaginary part are elements."""
    x.fill_(complex(value, value) if x.is_complex() else value)


def update(
    technique: Optimizer,
    p: Tensor,
    g: Tensor,
    state: Sequence[Tensor],
    scalars: Sequence[float],
    *,
    t: int,
    hyperparameters: Mapping[str, Any],
) -> list[Any]:
    """Update a parameter and its state in place, and return its scalars after the step.

    Args:
        technique: whose formula; its formula for vectors, if ``p`` is one.
        p, g: parameter and gradient, of one shape; computed in the state's type where there is state.
        state: one tensor for each name in ``technique.state``.
        scalars: one number for each name in ``technique.scalars``.
        t: the step, counted from 1.
        hyperparameters: by name; the formula takes its own, and its defaults for those not given.
    """
    technique = technique.on(tuple(p.shape))
    wide = torch.promote_types(p.dtype, torch.float32)
    new, *after = technique.formula(
        p.to(wide), g.to(wide), *state, *scalars, t=t, **technique.values(hyperparameters)
    )
    p.copy_(new)
    for kept, value in zip(state, after, strict=False):
        kept.copy_(value)
    scalars_after: list[Any] = after[len(state) :]
    return scalars_after


def elements(
    formula: Callable[..., Any], p: Tensor, g: Tensor, state: Sequence[Tensor], constants: Sequence[Any]
) -> None:
    """Update a parameter and its state in place by a formula's elements; see `lifting.Lifted`."""
    if p.is_complex():  # the field's rule: real and imaginary parts are elements
        p, g, state = torch.view_as_real(p), torch.view_as_real(g.resolve_conj()), [*map(torch.view_as_real, state)]
    wide = torch.promote_types(p.dtype, torch.float32)
    new, *after = formula(p.to(wide), g.to(wide), *state, *constants)
    p.copy_(new)
    for kept, value in zip(state, after, strict=True):
        kept.copy_(value)
