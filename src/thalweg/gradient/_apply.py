"""Gradient techniques on the gradients of anyone's own training loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.gradient._technique import Gradient

__all__ = ["apply"]


@torch.no_grad()
def apply(chain: Gradient, parameters: Iterable[Tensor] | Tensor) -> Tensor | None:
    """See `Gradient.apply`."""
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
        wide = [g.to(torch.promote_types(g.dtype, torch.float32)) for g in gradients]
        weights = [p.to(w.dtype) for p, w in zip(live, wide, strict=True)] if technique.takes_weights else []
        if technique.scope == "model":
            flat = [_joined(xs) for xs in (wide, weights) if xs]
            found = technique.formula(*flat, **values)
            new, *more = found if isinstance(found, tuple) else (found,)
            measured = more[0] if more and measured is None else measured
            done = new.split([g.numel() for g in gradients])
        else:
            columns = zip(wide, weights, strict=True) if weights else zip(wide, strict=True)
            done = [technique.formula(*column, **values) for column in columns]
        for g, new in zip(gradients, done, strict=True):
            g.copy_(new.view_as(g))
    return measured


def _joined(tensors: list[Tensor]) -> Tensor:
    first = tensors[0]
    return torch.cat([x.reshape(-1).to(first.device, first.dtype) for x in tensors])
