"""Where a model's weights lie, and which of their numbers lead to one output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from thalweg.optim._groups import weights

__all__ = ["Place", "by_units", "places", "transposed_groups"]


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


def transposed_groups(model: nn.Module) -> Mapping[int, int]:
    """Return the groups of the transposed convolutions' weights, by their ``id``."""
    return {id(m.weight): m.groups for m in model.modules() if isinstance(m, _ConvTransposeNd)}


def by_units(w: Tensor, transposed: int, axis: int = 0) -> list[Tensor]:
    """Return views of a layer's weights in which an axis counts the output units.

    Args:
        w: the weights; axes before ``axis`` count runs.
        transposed: see `Place`.
        axis: the first of the layer's own.
    """
    return [group.transpose(axis, axis + 1) for group in w.chunk(transposed, axis)] if transposed else [w]
