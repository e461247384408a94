"""Batches of anyone's own data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.errors import InputError

__all__ = ["again", "check_numbers", "check_open", "moved"]


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


def check_open(model: nn.Module) -> None:
    """Refuse a model whose modules take no hooks.

    Raises:
        InputError: it is made by TorchScript, or a part of it.
    """
    if any(isinstance(m, torch.jit.ScriptModule) for m in model.modules()):
        raise InputError(
            f"{type(model).__name__} is made by TorchScript, which cannot be looked into; give the module that it "
            "was made of"
        )


def check_numbers(inputs: Any, targets: Tensor | None = None) -> None:
    """Refuse what would come out as a table of NaN.

    Raises:
        InputError: there are no examples, or numbers that are not finite.
    """
    for word, part in (("inputs", inputs), ("targets", targets)):
        for x in tree_leaves(part):
            if not isinstance(x, Tensor):
                continue
            if not x.numel():
                raise InputError(f"the {word} have no examples in them (shape {tuple(x.shape)})")
            if x.device.type != "meta" and x.is_floating_point() and not bool(torch.isfinite(x).all()):
                bad = int((~torch.isfinite(x)).sum())
                raise InputError(f"{bad:,} of the {x.numel():,} numbers of the {word} are NaN or infinite")
