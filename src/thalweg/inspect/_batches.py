"""Batches of anyone's own data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import InputError

__all__ = ["again", "moved"]


def again(data: Iterable[Any]) -> Iterator[Any]:
    """Yield batches ``(inputs, targets)``, from the first one on again when they end.

    Raises:
        InputError: there is none, or one that is no pair.
    """
    while True:
        empty = True
        for batch in data:
            empty = False
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise InputError(f"data gives pairs (inputs, targets), not a {type(batch).__name__}")
            yield batch
        if empty:
            raise InputError("data has no batch in it")


def moved(part: Any, place: torch.device) -> Any:
    """Return inputs or targets on a device: a tensor, or a tuple, list or dict of them."""
    if isinstance(part, Tensor):
        return part.to(place)
    if isinstance(part, dict):
        return {name: moved(x, place) for name, x in part.items()}
    return tuple(moved(x, place) for x in part) if isinstance(part, tuple | list) else part
