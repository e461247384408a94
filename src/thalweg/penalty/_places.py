"""Where a model's weights lie, and which of their numbers lead to one output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from thalweg.optim._weights import transposed_groups, weights

__all__ = ["Place", "places"]


@dataclass(frozen=True)
class Place:
    """A weight among a model's trained parameters.

    Attributes:
        name: the parameter's.
        columns: where it lies in a row of them all.
        shape: its own.
        transposed: 0, or of a transposed convolution, whose second axis counts the outputs of a group, its groups.
    """

    name: str
    columns: slice
    shape: tuple[int, ...]
    transposed: int = 0


def places(model: nn.Module, names: str | Sequence[str] | None = None, asks: str = "the penalty") -> list[Place]:
    """Return where a model's weights lie in a row of all its trained parameters, one after the other.

    Args:
        model, names: as for `Penalty.of`; parameters that are named and frozen have no place.
        asks: what wants them, for the sentence where there are none.

    Raises:
        InputError: a model without weights, or a name that no parameter has.

    >>> [place.columns for place in places(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)))]
    [slice(0, 32, None), slice(40, 56, None)]
    """
    chosen = {id(w) for w in weights(model, names, asks).values()}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    ends = list(accumulate(p.numel() for p in trained.values()))
    transposed = transposed_groups(model)
    return [
        Place(name, slice(end - math.prod(p.shape), end), tuple(p.shape), transposed.get(id(p), 0))
        for (name, p), end in zip(trained.items(), ends, strict=True)
        if id(p) in chosen
    ]
