"""A model's weights filled by a formula, in place."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.init._branches import Branches, branches
from thalweg.init._following import following
from thalweg.init._rescale import rescale
from thalweg.init._weights import Weight, Weights, weights
from thalweg.key import Key

if TYPE_CHECKING:
    from thalweg.init._technique import Init

__all__ = ["Filled", "Row", "apply", "draw", "numbers"]


@dataclass(frozen=True)
class Row:
    """One weight that was filled.

    Attributes:
        name: the parameter's.
        shape: its shape.
        deviation: the root of its mean square.
        gain: by which it was scaled, if the technique has one.
        because: what the gain is of; or, without one, what was done.
    """

    name: str
    shape: tuple[int, ...]
    deviation: float
    gain: float | None
    because: str


@dataclass(frozen=True)
class Filled:
    """What an initialisation did; printed, a table.

    Attributes:
        rows: the weights, in the model's order.
        left: what was left as it was, and why, in sentences.
    """

    rows: tuple[Row, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        head = ("weight", "shape", "deviation", "gain")
        cells = [(row.name, str(row.shape), f"{row.deviation:.4g}", _said(row)) for row in self.rows]
        widths = [max(len(row[i]) for row in (head, *cells)) for i in range(4)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *cells)]
        return "\n".join([*lines, *(f"left: {sentence}" for sentence in self.left)])


def _said(row: Row) -> str:
    return ", ".join([*([] if row.gain is None else [f"{row.gain:.4g}"]), *([row.because] if row.because else [])])


def apply(ingredient: Init, model: nn.Module, key: Key | int, batch: Any) -> Filled:
    """See `Init.apply`."""
    _check(ingredient)
    key = _key(key)
    name, technique = ingredient.name, ingredient.technique
    if not isinstance(model, nn.Module):
        raise InputError(f"{name} is applied to an nn.Module, not to {type(model).__name__}")
    if technique.rescaled is not None and batch is None:
        raise InputError(f"{name} needs a batch of inputs to see what layers put out; give it batch=")
    found = weights(model)
    chosen = [weight for weight in found.weights if weight.kind in technique.fills]
    if not chosen:
        raise InputError(
            f"{name}: {type(model).__name__} has no {_either(technique.fills)} weights that it could fill"
        )
    others = [weight for weight in found.weights if weight.kind not in technique.fills]
    left = [f"{w.name}: {name} is for {_either(technique.fills)} weights" for w in others]
    gains = _gains(ingredient, model, chosen)
    tree = branches(model) if technique.branched else None
    undo = [(p, p.detach().clone()) for p in _touched(found, chosen)] if technique.rescaled is not None else []
    with torch.no_grad():
        for p in _biases(found, chosen):
            p.zero_()
        for weight in chosen:
            _fill(ingredient, weight, key / weight.name, _numbers(ingredient, weight, gains, tree))
        if technique.rescaled is not None:
            try:
                by_layer = {weight.layer: weight.parameter for weight in chosen}
                uncalled = rescale(name, technique.rescaled, model, by_layer, batch, **dict(ingredient.resolved()))
                left += [
                    f"{w.name}: the batch's forward pass does not call it; it is not rescaled"
                    for w in chosen
                    if w.layer in uncalled
                ]
            except BaseException:
                for p, before in undo:
                    p.copy_(before)
                raise
    rows = [
        Row(
            w.name, tuple(w.parameter.shape), float(w.parameter.detach().double().square().mean().sqrt()),
            *(gains[w.name] if w.name in gains else (None, _place(w, tree))),
        )
        for w in chosen
    ]  # fmt: skip
    return Filled(tuple(rows), (*found.left, *left))


def draw(
    ingredient: Init, shape: Sequence[int], key: Key | int, fan_in: float | None, fan_out: float | None
) -> Tensor:
    """See `Init.draw`."""
    _check(ingredient)
    if len(shape) < 2:
        raise InputError(f"a weight has outputs and inputs, two axes at least, not the shape {tuple(shape)}")
    window = math.prod(shape[2:])
    fans = (shape[1] * window if fan_in is None else fan_in, shape[0] * window if fan_out is None else fan_out)
    given = _given(ingredient, *fans, ingredient.technique.usual, 1, 2)
    return torch.as_tensor(ingredient.technique.formula(*_noise(ingredient, shape, _key(key)), **given))


def _check(ingredient: Init) -> None:
    if ranges := [name for name, value in ingredient.values if not isinstance(value, int | float)]:
        raise InputError(f"{ranges[0]} of {ingredient.name} is a range to search; give it a value to apply it")


def _key(key: Key | int) -> Key:
    if isinstance(key, bool) or not isinstance(key, Key | int):
        raise InputError(f"key takes a thalweg.Key or a whole number, not {key!r}")
    return key if isinstance(key, Key) else Key(key)


def _gains(ingredient: Init, model: nn.Module, chosen: list[Weight]) -> dict[str, tuple[float, str]]:
    """Return each weight's gain and what it is of, by name; nothing for a technique that has none."""
    if "gain" not in ingredient.technique.hyperparameters:
        return {}
    given = dict(ingredient.resolved()).get("gain")
    if given is not None:
        return {weight.name: (given, "given") for weight in chosen}
    found = following(model)
    usual = (ingredient.technique.usual, "what follows cannot be told")
    return {w.name: (1.0, w.kind) if w.alone else found.get(w.layer, usual) for w in chosen}


def numbers(ingredient: Init, model: nn.Module) -> tuple[list[tuple[Weight, dict[str, Any]]], list[str]]:
    """Return the weights that `apply` fills, with the formula's arguments, and the names of what it zeroes."""
    found = weights(model)
    chosen = [weight for weight in found.weights if weight.kind in ingredient.technique.fills]
    gains = _gains(ingredient, model, chosen)
    tree = branches(model) if ingredient.technique.branched else None
    given = [(weight, _numbers(ingredient, weight, gains, tree)) for weight in chosen]
    zeroed = {id(p) for p in _biases(found, chosen)}
    names = [name for name, p in model.named_parameters() if id(p) in zeroed]
    return (
        [(weight, values) for weight, values in given if values is not None],
        names + [weight.name for weight, values in given if values is None],
    )


def _numbers(
    ingredient: Init, weight: Weight, gains: Mapping[str, tuple[float, str]], tree: Branches | None
) -> dict[str, Any] | None:
    """Return the formula's keyword arguments for a weight, or None for one that begins at 0."""
    count, depth = 1, 2
    if tree is not None:
        if weight.layer in tree.last:
            return None
        if weight.layer in tree.depths:
            count, depth = tree.count, tree.depths[weight.layer]
    return _given(ingredient, weight.fan_in, weight.fan_out, gains.get(weight.name, (0.0, ""))[0], count, depth)


def _fill(ingredient: Init, weight: Weight, key: Key, given: Mapping[str, Any] | None) -> None:
    """Give a weight its values: every matrix of it those that the formula makes of its part of the noise."""
    if given is None:
        weight.parameter.zero_()
        return
    noise = [weight.matrices(z) for z in _noise(ingredient, weight.parameter.shape, key)]
    for place, *mine in zip(weight.matrices(weight.parameter), *noise, strict=True):
        place.copy_(ingredient.technique.formula(*mine, **given))
    if weight.blank is not None:
        weight.parameter[weight.blank].zero_()


def _given(ingredient: Init, fan_in: float, fan_out: float, gain: float, count: int, depth: int) -> dict[str, Any]:
    """Return the formula's keyword arguments."""
    formula = ingredient.technique.formula
    values = {"fan_in": fan_in, "fan_out": fan_out, "gain": gain, "branches": count, "depth": depth}
    wanted = inspect.signature(formula).parameters
    return {name: x for name, x in values.items() if name in wanted} | dict(ingredient.resolved())


def _noise(ingredient: Init, shape: Sequence[int], key: Key) -> list[Tensor]:
    """Return the formula's random numbers, float64: the first of the key itself, each other of a key below it."""
    kinds = ingredient.technique.noise
    if not kinds:
        return [torch.zeros(tuple(shape), dtype=torch.float64)]
    found = []
    for i, kind in enumerate(kinds):
        generator = (key / i if i else key).generator()
        drawn = (
            generator.standard_normal(tuple(shape)) if kind == "normal" else generator.uniform(-1, 1, tuple(shape))
        )
        found.append(torch.from_numpy(drawn))
    return found


def _touched(found: Weights, chosen: list[Weight]) -> list[nn.Parameter]:
    return [*(weight.parameter for weight in chosen), *_biases(found, chosen)]


def _biases(found: Weights, chosen: list[Weight]) -> list[nn.Parameter]:
    return [p for layer in dict.fromkeys(weight.layer for weight in chosen) for p in found.biases.get(layer, ())]


def _place(weight: Weight, tree: Branches | None) -> str:
    if tree is None:
        return ""
    return "last: 0" if weight.layer in tree.last else "in a branch" if weight.layer in tree.depths else ""


def _either(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
