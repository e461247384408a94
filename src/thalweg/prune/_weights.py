"""What can be pruned, and masks that fit it, or a sentence on why they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError, unknown
from thalweg.graph import check_open
from thalweg.key import Key
from thalweg.optim._groups import not_decayed
from thalweg.optim._weights import weights

__all__ = ["check_state", "checked", "masked", "prunable", "remaining", "shuffled"]


def prunable(model: nn.Module, names: str | Sequence[str] | None, asks: str) -> dict[str, nn.Parameter]:
    """Return the weights that can be pruned, by name.

    Args:
        model: any module.
        names: which; by default all that are trained.
        asks: what wants them, for the sentences.

    Raises:
        InputError: there are none, one that is named is a bias or a norm's, or one is tied or parametrized.
    """
    found = weights(model, names, asks)
    check_open(model, asks)
    whole = not_decayed(model)
    places: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(p), []).append(name)
    for name, p in found.items():
        if id(p) in whole:
            raise InputError(f"{asks} prunes no biases and nothing of a norm, and {name} is one of these")
        if len(places[id(p)]) > 1:
            others = " and ".join(other for other in places[id(p)] if other != name)
            raise InputError(f"{asks} prunes no tied weights, and {name} is {others} too; {_leave_out(name)}")
        if ".parametrizations." in f".{name}":
            raise InputError(
                f"{asks} prunes weights themselves, and {name} is what one is computed from; call "
                f"torch.nn.utils.parametrize.remove_parametrizations first, or {_leave_out(name)}"
            )
    return found


def _leave_out(name: str) -> str:
    """Return how a parameter is left out: in the model itself, or where masks are asked for by hand."""
    module, _, own = name.rpartition(".")
    return f'leave it out by not_weights = ("{own}",) on {module or "the model"}, or by names= of masks'


def checked(model: nn.Module, masks: Mapping[str, Tensor], asks: str) -> dict[str, tuple[nn.Parameter, Tensor]]:
    """Return each mask with its parameter, by name.

    Raises:
        InputError: a mask of another shape, of another type than bool, or for a parameter that the model has not.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"{asks} takes a model, a torch.nn.Module, not {type(model).__name__}")
    check_open(model, asks)
    every = dict(model.named_parameters(remove_duplicate=False))
    found = {}
    for name, mask in masks.items():
        if name not in every:
            raise unknown(f"parameter of {type(model).__name__} in the masks for {asks}", name, every)
        p = every[name]
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise InputError(f"{asks} takes masks of torch.bool, and that of {name} is of {kind}")
        if mask.shape != p.shape:
            raise InputError(f"the mask of {name} for {asks} has the shape {tuple(mask.shape)}, not {tuple(p.shape)}")
        found[name] = (p, mask)
    return found


def check_state(own: Mapping[str, Any], given: Mapping[str, Any], asks: str, whose: str) -> None:
    """Refuse a state dict that is not of a model.

    Args:
        own: the model's.
        given: what is to fit it.
        asks, whose: for the sentences: what wants it, and what it is called there.
    """
    for name, value in own.items():
        if name not in given:
            raise InputError(f"{asks} misses {name} in the {whose} weights")
        if isinstance(value, Tensor) and given[name].shape != value.shape:
            raise InputError(
                f"{asks} takes {name} of the shape {tuple(value.shape)}, and the {whose} weights have "
                f"{tuple(given[name].shape)}"
            )
    for name in given:
        if name not in own:
            raise unknown(f"name in the {whose} weights for {asks}", name, own)


def masked(w: Tensor, mask: Tensor) -> Tensor:
    """Return weights with 0 where the mask is False, whatever stands there."""
    return w.masked_fill(~mask.to(w.device), 0.0)


def remaining(masks: Mapping[str, Tensor]) -> float:
    """Return the share of weights that masks keep.

    >>> remaining({"weight": torch.tensor([[True, False], [False, False]])})
    0.25
    """
    every = sum(mask.numel() for mask in masks.values())
    return sum(int(mask.sum()) for mask in masks.values()) / every if every else 1.0


def shuffled(masks: Mapping[str, Tensor], key: Key) -> dict[str, Tensor]:
    """Return masks that keep as many weights of each parameter, but by lot: a ticket's first control.

    Args:
        masks: by name; left as they are.
        key: of the lots; each parameter's follow from its name.

    >>> mask = torch.arange(100).reshape(10, 10) < 30
    >>> other = shuffled({"weight": mask}, Key(0))["weight"]
    >>> int(other.sum()), bool((other != mask).any())
    (30, True)
    """
    found = {}
    for name, mask in masks.items():
        order = torch.from_numpy((key / "shuffled" / name).permutation(mask.numel()))
        found[name] = mask.flatten()[order.to(mask.device)].view_as(mask)
    return found
