"""What an optimizer keeps for a parameter: how it begins, what it must be, and how it is read from a state dict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import InputError
from thalweg.optim._executors import eager
from thalweg.optim._face import Face
from thalweg.optim._technique import Optimizer

__all__ = ["TRAINED", "begin", "check", "check_saved", "counters", "place", "wide"]

TRAINED = "trained"
"""Under which key the weights that are trained are kept while others are evaluated."""

_HALF = (torch.bfloat16, torch.float16)


def wide(p: Tensor) -> torch.dtype:
    """Return the type of a parameter's state: its own, and float32 where that is shorter."""
    return torch.float32 if p.dtype in _HALF else p.dtype


def begin(face: Face, technique: Optimizer, p: Tensor, kept: dict[str, Any], group: Mapping[str, Any]) -> None:
    """Fill in what a formula keeps and a parameter lacks; what is there has passed `check`."""
    # torch's SGD counts no steps; where it has kept something, it has made one.
    step = kept.get("step", bool(kept))
    if not isinstance(step, Tensor) or step.device.type != "cpu":
        kept["step"] = _counter(step)
    missing = [name for name in technique.state if kept.get(face.key(name)) is None]
    if missing:
        begun = dict(zip(technique.state, eager.begin(technique, p, wide(p)), strict=True))
        for name in missing:
            kept[face.key(name)] = begun[name]
            if name in face.starts:
                eager.fill(begun[name], group[face.starts[name]])
    for name in technique.scalars:
        value = kept.get(face.key(name), technique.start.get(name, 0.0))
        if not isinstance(value, Tensor) or value.device.type != "cpu" or value.dtype != torch.float64:
            kept[face.key(name)] = torch.tensor(float(value), dtype=torch.float64)


def check(face: Face, technique: Optimizer, p: Tensor, kept: Mapping[str, Any], owner: str) -> None:
    """Refuse state that does not fit its parameter: put there by hand, or the parameter has changed since."""
    for name in ("step", *(face.key(name) for name in technique.scalars)):
        value = kept.get(name, 0.0)
        if not _is_number(value):
            raise InputError(f'the state of {owner} keeps "{name}" as one finite number, not {value!r}')
    for name in technique.state:
        key = face.key(name)
        value = kept.get(key)
        shape = _shape(technique, name, p)
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise InputError(f'the state of {owner} keeps "{key}" as a tensor, not {type(value).__name__}')
        if (tuple(value.shape), value.dtype, value.device, value.layout) != (shape, wide(p), p.device, torch.strided):
            is_now = f"{value.dtype} {tuple(value.shape)} on {value.device}"
            raise InputError(
                f'the state of {owner} keeps "{key}" as {wide(p)} {shape} on {p.device}, not {is_now}; was the model '
                f"moved or cast after the optimizer was made?"
            )


def counters(face: Face) -> set[str]:
    """Return the keys under which numbers are kept: parameters share them while they step together."""
    return {"step", *(face.key(name) for formula in _formulas(face) for name in formula.scalars)}


def check_saved(
    face: Face,
    groups: Sequence[Mapping[str, Any]],
    states: Mapping[Any, Any],
    owners: Mapping[Any, Tensor],
    owner: str,
) -> None:
    """Refuse a saved state that is another optimizer's, or of other shapes."""
    formulas = _formulas(face)
    known = {"step", *(face.key(name) for formula in formulas for name in (*formula.state, *formula.scalars))}
    known |= {TRAINED for formula in formulas if formula.evaluate is not None}
    required = set(face.arguments()) - set(face.options)
    for group in groups:
        missing = [name for name in face.arguments() if name in required and name not in group]
        if missing:
            raise InputError(f"the saved state is not {owner}'s: its groups have no {missing[0]}")
    for saved, kept in states.items():
        if not isinstance(saved, int):
            continue
        p = owners.get(saved)
        strange = sorted(set(kept) - known)
        if p is None or strange:
            what = f'it keeps "{strange[0]}"' if strange else "it names other parameters"
            raise InputError(f"the saved state is not {owner}'s: {what}")
        trained = kept.get(TRAINED)
        if trained is not None and getattr(trained, "shape", None) != p.shape:
            raise InputError(
                f'the saved state of {owner} does not fit: "{TRAINED}" is no tensor of shape {tuple(p.shape)}'
            )
        for key in counters(face):
            if not _is_number(kept.get(key, 0.0)):
                raise InputError(f'the saved state of {owner} does not fit: "{key}" is not one finite number')
        for formula in formulas:
            for name in formula.state:
                value = kept.get(face.key(name))
                if value is None:
                    continue
                if not isinstance(value, Tensor):
                    raise InputError(f'the saved state of {owner} does not fit: "{face.key(name)}" is no tensor')
                fitting = [f for f in formulas if f is f.on(tuple(p.shape))]
                shapes = {_shape(f, n, p) for f in fitting for n in f.state if face.key(n) == face.key(name)}
                if tuple(value.shape) not in shapes:
                    fits = f"{face.key(name)} has the shape {tuple(value.shape)}, and its parameter {tuple(p.shape)}"
                    raise InputError(f"the saved state of {owner} does not fit: {fits}")


def place(face: Face, p: Tensor, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved state as the parameter's own: copied, in its type, on its device, laid out as it is."""
    numbers = counters(face)
    found: dict[str, Any] = {}
    for key, value in kept.items():
        if value is None:  # torch's SGD without momentum writes that down
            continue
        if key == "step":
            found[key] = _counter(value)
        elif key in numbers:
            found[key] = torch.tensor(float(value), dtype=torch.float64)
        elif value.shape == p.shape:
            found[key] = torch.empty_like(p, dtype=wide(p), memory_format=torch.preserve_format).copy_(value)
            found[key].requires_grad_(False)
        else:
            found[key] = value.detach().to(p.device, wide(p), copy=True)
    return found


def _counter(step: Any) -> Tensor:
    """Return a step's number as torch keeps it: float32 counts to 16 million, shorter types to thousands at best."""
    dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
    return torch.tensor(float(step), dtype=dtype)


def _formulas(face: Face) -> list[Optimizer]:
    return [f for chosen in face.formulas.values() for f in (chosen, chosen.vectors) if f is not None]


def _shape(technique: Optimizer, name: str, p: Tensor) -> tuple[int, ...]:
    make = technique.shapes.get(name)
    return tuple(p.shape) if make is None else tuple(make(tuple(p.shape)))


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex() and math.isfinite(float(value))
    return isinstance(value, int | float) and math.isfinite(value)
