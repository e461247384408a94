"""Where surgery puts dropout."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from thalweg.errors import InputError
from thalweg.surgery._layers import CONVOLUTIONS, takes
from thalweg.surgery._surgeon import Surgeon, place_of
from thalweg.technique import Ingredient

__all__ = ["plan_dropout"]


_AROUND: dict[str, tuple[type[nn.Module], ...]] = {"rnn": (nn.LSTM, nn.GRU), "embedding": (nn.Embedding,)}
"""Dropouts that are for one kind of layer, and that kind."""


def plan_dropout(surgeon: Surgeon, ingredient: Ingredient) -> None:
    """Put dropout before the last linear layers, or before or around the layers that it is for."""
    before, nothing = len(surgeon.left), _NO_PLACE
    if ingredient.name in _AROUND:
        _around(surgeon, ingredient, _AROUND[ingredient.name])
    elif ingredient.technique.diverges:  # type: ignore[attr-defined]
        _distribute(surgeon, ingredient)
    elif ingredient.technique.shares == "channels":  # type: ignore[attr-defined]
        layers = [name for name in surgeon.seen.order if name != surgeon.seen.first]
        _before(surgeon, ingredient, [name for name in layers if isinstance(surgeon.modules[name], CONVOLUTIONS)])
        nothing = f"{ingredient.name} goes before each convolution after the model's first layer, and it has none"
    else:
        _before(surgeon, ingredient, _last_linear(surgeon))
    surgeon.check("dropout", before, nothing)
    _note_own(surgeon)


_NO_PLACE = "the model has no linear layer after its first layer to put dropout before"


def _last_linear(surgeon: Surgeon) -> list[str]:
    """Return the linear layers that come last, but for the model's very first layer."""
    modules, seen = surgeon.modules, surgeon.seen
    tail: list[str] = []
    for name in reversed(seen.order):
        if not isinstance(modules[name], nn.Linear) or len(seen.shapes[name]) != 2:
            break
        tail.append(name)
    if not tail and seen.order and seen.order[-1] in seen.last and isinstance(modules[seen.order[-1]], nn.Linear):
        tail = [seen.order[-1]]  # a linear layer at each place of a sequence
    return [name for name in reversed(tail) if name != seen.first]


def _before(surgeon: Surgeon, ingredient: Ingredient, found: list[str]) -> None:
    """Put dropout before layers, in place of what the model has there."""
    modules, seen = surgeon.modules, surgeon.seen
    replaced: list[str] = []
    for name in found:
        own = seen.thinned.get(name)
        if own in replaced:
            continue
        if own is not None and own in modules and seen.thins[own] <= set(found):
            replaced.append(own)
            surgeon.change("dropout", own, "instead", _module, (repr(modules[own]), ingredient.name))
        elif takes(modules[name]):
            surgeon.change("dropout", name, "before", _module, ("", f"{ingredient.name} before it"))
        else:
            surgeon.leave(name)


def _distribute(surgeon: Surgeon, ingredient: Ingredient) -> None:
    """Make the weights of every linear layer and convolution distributions."""
    held = {edit.where for edit in surgeon.edits if edit.role == "norm" and edit.place == "behind"}
    found = [(name, module) for name, module in surgeon.modules.items() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not found:
        raise InputError(f"dropout: {ingredient.name} is for Linear or Conv2d, of which the model has none")
    owners: dict[int, list[str]] = {}
    for name, module in surgeon.modules.items():
        for p in module.parameters(recurse=False):
            owners.setdefault(id(p), []).append(name)
    for name, module in found:
        if name in held:
            raise InputError(
                f"dropout: {ingredient.name} takes the place of {place_of(name)}, behind which the recipe puts a "
                "norm; choose one of the two"
            )
        others = [other for other in owners.get(id(module.weight), []) if other != name]
        if others:
            why = f"its weight is tied to that of {place_of(others[0])}, which would not get the same noise"
            surgeon.left.append(f"{place_of(name)}: {why}")
        elif type(module) in (nn.Linear, nn.Conv2d):
            surgeon.change("dropout", name, "instead", _of_layer, (type(module).__name__, ingredient.name))
        else:
            surgeon.leave(name)


def _around(surgeon: Surgeon, ingredient: Ingredient, kinds: tuple[type[nn.Module], ...]) -> None:
    """Put a technique that is for one kind of layer around each of them."""
    found = [(name, module) for name, module in surgeon.modules.items() if isinstance(module, kinds)]
    if not found:
        names = " or ".join(cls.__name__ for cls in kinds)
        raise InputError(f"dropout: {ingredient.name} is for {names}, of which the model has none")
    for name, module in found:
        surgeon.change("dropout", name, "instead", _of_layer, (type(module).__name__, ingredient.name))


SHOWN = 3
"""How many of the model's own dropouts are named."""


def _note_own(surgeon: Surgeon) -> None:
    """Note which dropout of its own the model still has."""
    replaced = {edit.where for edit in surgeon.edits if edit.role == "dropout"}
    found = [name for name, m in surgeon.modules.items() if name not in replaced and _rate(m) > 0]
    found += [f"F.dropout in {place_of(name)}" for name in surgeon.seen.inner_dropouts]
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        surgeon.left.append(f"the model's own dropout: {', '.join(found[:SHOWN])}{more}")


def _rate(module: nn.Module) -> float:
    """Return with what probability a module of torch's drops."""
    if isinstance(module, _DropoutNd):
        return module.p
    return float(module.dropout) if isinstance(module, nn.RNNBase | nn.MultiheadAttention) else 0.0


def _module(ingredient: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
    module: nn.Module = ingredient.module()  # type: ignore[attr-defined]
    return module


def _of_layer(ingredient: Ingredient, old: nn.Module) -> nn.Module:
    module: nn.Module = ingredient.module(old)  # type: ignore[attr-defined]
    return module
