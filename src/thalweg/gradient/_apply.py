"""Gradient techniques on the gradients of anyone's own training loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.optim._executors.whole import joined, parted

if TYPE_CHECKING:
    from thalweg.gradient._technique import Gradient

__all__ = ["apply"]


@torch.no_grad()
def apply(chain: Gradient, parameters: Iterable[Tensor] | Tensor) -> Tensor | None:
    """See `Gradient.apply`."""
    if isinstance(parameters, nn.Module):
        raise InputError(
            f"{chain.name} takes parameters, such as model.parameters(), not {type(parameters).__name__}"
        )
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    live = [p for p in given if p.grad is not None]
    for p in live:
        if p.grad is not None and p.grad.layout != torch.strided:
            raise InputError(f"{chain.name} takes dense gradients, not those of layout {p.grad.layout}")
    measured = None
    for part in chain.parts:
        technique: Any = part.technique
        if ranges := [name for name, value in part.values if not isinstance(value, int | float)]:
            raise InputError(f"{ranges[0]} of {part.name} is a range to search; give it a value to apply it")
        values = dict(part.resolved())
        gradients = [p.grad for p in live if p.grad is not None]
        if not gradients:
            continue
        columns = [gradients, live][: 1 + technique.takes_weights]
        if technique.scope == "model":
            found = technique.formula(*map(joined, columns), **values)
            new, *more = found if isinstance(found, tuple) else (found,)
            measured = more[0] if more and measured is None else measured
            done = parted(new, gradients)
        else:
            wide = [[x.to(torch.promote_types(x.dtype, torch.float32)) for x in column] for column in columns]
            done = [technique.formula(*tensors, **values) for tensors in zip(*wide, strict=True)]
        for g, new in zip(gradients, done, strict=True):
            g.copy_(new)
    return measured
