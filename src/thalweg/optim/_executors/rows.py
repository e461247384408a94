"""A formula on many runs at once: written for one run's tensors, called on stacks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

__all__ = ["on_rows", "on_shapes"]


def on_rows(
    formula: Callable[..., Any], tensors: Sequence[Tensor], values: Sequence[Mapping[str, float]]
) -> tuple[Tensor, ...]:
    """Return what a formula returns for each row.

    Hyperparameters are columns in float64: combined among themselves they stay so, and where they meet the tensors
    they are rounded once, exactly as a Python float is. A row's bits do not depend on the others.

    Args:
        formula: of one run's tensors, and by keyword of its hyperparameters.
        tensors: each of shape ``(runs, …)``.
        values: one mapping a row.
    """
    columns = {name: torch.tensor([float(row[name]) for row in values], dtype=torch.float64) for name in values[0]}
    moved = {name: column.to(tensors[0].device) for name, column in columns.items()}

    def one(mine: tuple[Tensor, ...], own: dict[str, Tensor]) -> Any:
        return formula(*mine, **own)

    if not moved:
        found = vmap(lambda *mine: formula(*mine))(*tensors)
    else:
        found = vmap(one)(tuple(tensors), moved)
    return found if isinstance(found, tuple) else (found,)


def on_shapes(
    formula: Callable[..., Any],
    tensors: Sequence[Tensor],
    values: Sequence[Mapping[str, float]],
    shapes: Sequence[tuple[int, ...]],
) -> Tensor:
    """Return what a formula returns first, for each row and each of the parameters that make up a row.

    Args:
        formula, values: as for `on_rows`.
        tensors: each of shape ``(runs, n)``.
        shapes: of the parameters, in order.
    """
    sizes = [torch.Size(shape).numel() for shape in shapes]
    pieces = zip(shapes, *(x.split(sizes, dim=1) for x in tensors), strict=True)
    done = [on_rows(formula, [x.unflatten(1, shape or (1,)).view(len(x), *shape) for x in xs], values)[0]
            for shape, *xs in pieces]  # fmt: skip
    return torch.cat([x.flatten(1) if x.dim() > 1 else x.unsqueeze(1) for x in done], dim=1)
