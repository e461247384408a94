"""Which norms surgery replaces, and behind which layers it puts one."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.errors import InputError
from thalweg.surgery._activations import stays
from thalweg.surgery._layers import behind, takes
from thalweg.surgery._seen import LAYERS, NORMS
from thalweg.surgery._surgeon import Make, Surgeon, place_of
from thalweg.technique import Ingredient

__all__ = ["plan_norm"]


def plan_norm(surgeon: Surgeon, ingredient: Ingredient) -> None:
    """Replace the norms that are there, and put one where a layer leads to an activation without."""
    before, out, seen = len(surgeon.left), ingredient.name == "removed", surgeon.seen
    put = {name: module for name, layer in surgeon.modules.items() if (module := behind(layer)) is not None}
    parts = {id(part) for module in put.values() for part in module.modules()}
    for name, old in surgeon.modules.items():
        if id(old) in parts or (not isinstance(old, NORMS) and name not in seen.whole_norms):
            continue
        if not out and name not in seen.shapes:
            surgeon.left.append(f"norm {place_of(name)}: this forward pass did not call it")
            continue
        if not out and not isinstance(old, _BatchNorm):
            _check_calls(surgeon, name, ingredient)
        make = _nothing if out else _norm(surgeon, ingredient, name)
        texts = type(old).__name__, "nothing" if out else ingredient.name
        surgeon.change("norm", name, "instead", make, texts)
    for name, functions in seen.inner_norms.items():
        if id(surgeon.modules[name]) in parts:
            continue
        called = " and ".join(f"F.{function}" for function in sorted(functions))
        surgeon.left.append(f"{called} in {place_of(name)}: {type(surgeon.modules[name]).__name__} calls it itself")
    _note_written_out(surgeon, parts)
    for name, module in put.items() if out else ():
        surgeon.change("norm", f"{name}.behind".strip("."), "instead", _nothing, (type(module).__name__, "nothing"))
    uncalled = [] if out else [name for name in put if name not in seen.shapes]
    surgeon.left += [f"norm behind {place_of(name)}: this forward pass did not call it" for name in uncalled]
    for name in [] if out else dict.fromkeys([*_hidden(surgeon), *(name for name in put if name not in uncalled)]):
        if takes(surgeon.modules[name]):
            _check_calls(surgeon, name, ingredient)
            there = type(put[name]).__name__ if name in put else ""
            surgeon.change("norm", name, "behind", _norm(surgeon, ingredient, name), (there, ingredient.name))
        else:
            surgeon.leave(name)
    surgeon.check(
        "norm",
        before,
        "the model has no norm to take out"
        if out
        else "the model has no linear or convolution layer that leads to an activation, and no norm",
    )


def _note_written_out(surgeon: Surgeon, parts: set[int]) -> None:
    """Note the norms that the user wrote out in arithmetic, known by the names of their classes alone.

    Args:
        surgeon: whose model.
        parts: modules that are none of the user's, by their ids.
    """
    found: dict[str, list[str]] = {}
    for name, module in surgeon.modules.items():
        kind, known = type(module), name in surgeon.seen.whole_norms or name in surgeon.seen.inner_norms
        own = not isinstance(module, NORMS) and id(module) not in parts and not kind.__module__.startswith("torch.")
        if own and not known and "norm" in kind.__name__.lower() and next(module.children(), None) is None:
            found.setdefault(kind.__name__, []).append(place_of(name))
    for kind_name, places in found.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        surgeon.left.append(f"{places[0]}{more}: {kind_name} calls no norm of torch's, and stays")


def _hidden(surgeon: Surgeon) -> list[str]:
    """Return the layers whose output an activation gets at once."""
    found = [call.follows for call in surgeon.seen.calls if not stays(call)]
    layers = [name for name in found if name is not None and isinstance(surgeon.modules[name], LAYERS)]
    return list(dict.fromkeys(layers))


def _check_calls(surgeon: Surgeon, name: str, ingredient: Ingredient) -> None:
    """Refuse a norm that keeps statistics of its batches at a place that several kinds of batches pass."""
    count = surgeon.seen.counts[name]
    if count > 1 and ingredient.technique.over == "batch" and ingredient.technique.evaluated:  # type: ignore[attr-defined]
        raise InputError(
            f"norm: {place_of(name)} is called {count} times in a forward pass, and one batch norm would mix its "
            "statistics; take layer norm, or batch_untracked, which keeps none"
        )


def _norm(surgeon: Surgeon, ingredient: Ingredient, name: str) -> Make:
    """Return what makes a norm of what a layer or norm puts out, having made one."""
    module, shape = surgeon.modules[name], surgeon.seen.shapes[name]
    features, dims = _features(module, shape, surgeon.seen.whole_norms.get(name))
    places = dims == 0 and len(shape) > 2
    every = (p for p in (*module.parameters(), *surgeon.model.parameters()) if p.is_floating_point())
    like = None if (first := next(every, None)) is None else first.new_empty(0)

    def make(part: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
        new: nn.Module = part.module(features, dims, places=places, like=like)  # type: ignore[attr-defined]
        return new

    try:
        make(ingredient, module)
    except InputError as error:
        raise InputError(f"norm: {place_of(name)}: {error}") from error
    return make


def _features(module: nn.Module, shape: tuple[int, ...], over: tuple[int, ...] | None) -> tuple[int, int]:
    """Return how many features a layer or norm puts out, and over how many axes behind them.

    Args:
        module: the layer or norm.
        shape: of its output.
        over: the last axes' sizes over which a norm that does nothing else goes; none for channels.
    """
    channels = shape[1], max(0, len(shape) - 2)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm) and over is None:
        # One that turns its input first may have its features elsewhere.
        sizes = tuple(module.normalized_shape)
        return channels if sizes != shape[-1:] and sizes == shape[1:2] else (shape[-1], 0)
    return (shape[-1], 0) if isinstance(module, nn.Linear) or (over and len(over) == 1) else channels


def _nothing(ingredient: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
    return nn.Identity()
