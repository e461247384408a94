"""Penalties and constraints on a model in anyone's own training loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.optim._weights import by_units, transposed_groups, weights

if TYPE_CHECKING:
    from thalweg.penalty._technique import Penalty

__all__ = ["apply", "of"]


def of(how: Penalty, model: nn.Module, names: str | Sequence[str] | None) -> Tensor:
    """See `Penalty.of`."""
    if how.technique.place != "loss":
        raise InputError(f"{how.name} is a constraint and no number; call its apply(model) after each step")
    values = _values(how)
    found = [how.technique.formula(_wide(w), **values) for w in weights(model, names, how.name).values()]
    whole: Tensor = sum(x.to(found[0].device) for x in found[1:]) + found[0]
    return whole


@torch.no_grad()
def apply(how: Penalty, model: nn.Module, names: str | Sequence[str] | None) -> None:
    """See `Penalty.apply`."""
    if how.technique.place != "after":
        raise InputError(f"{how.name} is a number and no constraint; add its of(model) to the loss")
    values = _values(how)
    chosen = weights(model, names, how.name)
    transposed = transposed_groups(model)
    for w in chosen.values():
        for units in by_units(w, transposed.get(id(w), 0)):
            units.copy_(how.technique.formula(_wide(units), **values))


def _values(how: Penalty) -> dict[str, Any]:
    if ranges := [name for name, value in how.values if not isinstance(value, int | float)]:
        raise InputError(f"{ranges[0]} of {how.name} is a range to search; give it a value to apply it")
    return dict(how.resolved())


def _wide(w: Tensor) -> Tensor:
    """Return weights of a short type as float32: a sum of squares in bfloat16 stops growing at 256."""
    return w.to(torch.promote_types(w.dtype, torch.float32))
