"""Layers rescaled one after the other by what they put out for a batch, as LSUV does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.errors import InputError
from thalweg.key import Key

__all__ = ["rescale"]


class _Seen(Exception):  # noqa: N818 — the way out of a forward pass, not an error
    """A layer has put out all that it will."""


def rescale(
    name: str,
    formula: Callable[[Tensor, float], Tensor],
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    batch: Any,
    *,
    passes: int,
    tolerance: float,
) -> list[str]:
    """Rescale weights in the order in which a forward pass calls their layers; return the layers it does not call.

    The passes are those of evaluation, and leave modes and generators as they were.

    Args:
        name: of who asks, for errors.
        formula: from a weight and the variance of what its layer puts out to the weight that follows it.
        model: whose forward passes.
        weights: by the name of their layer.
        batch: inputs as the model takes them.
        passes: how often a layer is rescaled at most.
        tolerance: how far from 1 the variance may stay.

    Raises:
        InputError: a model that cannot take the batch, or a layer that puts out the same for all of it.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with Key(0).seeded():
            counts = _calls(model, weights, batch)
            for layer, count in counts.items():
                for _ in range(passes):
                    variance = _variance(model, layer, count, batch)
                    if not (math.isfinite(variance) and variance > 0):
                        raise InputError(
                            f"{name}: {layer or 'the model'} puts out numbers of variance {variance:g}, "
                            "which no scale brings to 1; give it a batch of varied inputs"
                        )
                    if abs(variance - 1) < tolerance:
                        break
                    p = weights[layer]
                    p.copy_(formula(p.double(), variance))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return [layer for layer in weights if layer not in counts]


def _calls(model: nn.Module, layers: Iterable[str], batch: Any) -> dict[str, int]:
    """Return the layers in the order of their first call, and how often each is called."""
    found: dict[str, int] = {}

    def hook(layer: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            found[layer] = found.get(layer, 0) + 1

        return note

    hooks = [model.get_submodule(layer).register_forward_hook(hook(layer)) for layer in layers]
    try:
        _forward(model, batch)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{type(model).__name__} cannot take the batch: {reason}") from error
    finally:
        for handle in hooks:
            handle.remove()
    return found


def _variance(model: nn.Module, layer: str, count: int, batch: Any) -> float:
    """Return the variance of all numbers that a layer puts out in a pass, which is left after the last of them."""
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append(output.detach().double().flatten())
        if len(seen) == count:
            raise _Seen

    handle = model.get_submodule(layer).register_forward_hook(note)
    try:
        _forward(model, batch)
    except _Seen:
        pass
    finally:
        handle.remove()
    return float(torch.cat(seen).var(correction=0))


def _forward(model: nn.Module, batch: Any) -> Any:
    batch = tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, batch)  # it may write into them
    if isinstance(batch, dict):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple | list) else model(batch)
