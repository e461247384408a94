"""A step of one group taken apart: which parameters are updated how, for as long as nothing but numbers changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import InputError, unknown
from thalweg.optim import _state
from thalweg.optim._batch import Batch, how
from thalweg.optim._face import Face
from thalweg.optim._technique import Optimizer

__all__ = ["EXECUTORS", "Chosen", "Plan", "Work", "check", "choose", "executor", "plan"]

EXECUTORS = ("fused", "compiled", "eager")

Work = tuple[Batch, Sequence[Tensor], Mapping[str, Any]]
"""A batch to run, its gradients and its hyperparameters."""


@dataclass(frozen=True)
class Chosen:
    """What a group asks for: a formula, its hyperparameters as numbers, and what stands before it."""

    technique: Optimizer
    values: dict[str, Any]
    before: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What was chosen for a group, and the batches that its parameters were sorted into.

    Attributes:
        settings: the group as it was, tensors among its values as numbers.
        batches: of the parameters that had a gradient.
        absent: places of those that had none.
        values: the formula's hyperparameters.
    """

    settings: dict[str, Any]
    batches: list[Batch]
    absent: list[int]
    values: dict[str, Any]

    def work(self, group: dict[str, Any]) -> list[Work] | None:
        """Return what a step consists of; None if more has changed than gradients and the numbers in memory."""
        try:
            if group != self.settings:
                return None
        except RuntimeError:  # a tensor of several numbers has no single truth
            return None
        params = group["params"]
        gradients = [p.grad for p in params]
        if len(params) != len(self.absent) + sum(len(batch.places) for batch in self.batches):
            return None
        if any(gradients[place] is not None for place in self.absent):
            return None
        found: list[Work] = []
        for batch in self.batches:
            mine = batch.gradients(params, gradients)
            if mine is None:
                return None
            found.append((batch, mine, self.values))
        return found


def choose(face: Face, group: Mapping[str, Any], owner: str) -> Chosen:
    """Return what a group asks for.

    Raises:
        InputError: no formula covers it, or an argument cannot be.
    """
    for mode in ("capturable", "differentiable"):
        if group.get(mode):
            raise InputError(f"{owner} has no {mode} form; leave {mode} out")
    if group.get("executor") not in (None, *EXECUTORS):
        raise unknown("executor", group["executor"], EXECUTORS)
    numbers = {name: _number(name, value, owner) for name, value in group.items() if name != "params"}
    betas = face.arguments().get("betas")
    if betas is not None and (not isinstance(numbers["betas"], tuple | list) or len(numbers["betas"]) != len(betas)):
        raise InputError(f"betas of {owner} takes {len(betas)} numbers, not {numbers['betas']!r}")
    technique, values, before = face.select(numbers, owner)
    technique(**{key: values[key] for key in technique.hyperparameters})  # refuses what a hyperparameter cannot be
    for name in ("weight_decay", *face.starts.values()):
        value = numbers.get(name, 0.0)
        if not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise InputError(f"{name} of {owner} takes a number from 0 up, not {value!r}")
    return Chosen(technique, values, before)


def check(face: Face, chosen: Chosen, p: Tensor, g: Tensor, kept: Mapping[str, Any], owner: str) -> None:
    """Refuse a gradient that a formula cannot take, or state that does not fit."""
    technique, before = chosen.technique.on(tuple(p.shape)), chosen.before
    if g.dtype != p.dtype or g.device != p.device or g.shape != p.shape:
        unlike = f"a gradient is {g.dtype} {tuple(g.shape)} on {g.device}"
        raise InputError(f"{unlike}, and its parameter {p.dtype} {tuple(p.shape)} on {p.device}")
    if not (p.is_floating_point() or p.is_complex()):
        raise InputError(f"{owner} takes parameters of real or complex numbers, not {p.dtype}")
    if p.layout != torch.strided:
        raise InputError(f"{owner} does not take parameters of layout {p.layout}")
    if g.layout not in (torch.strided, torch.sparse_coo):
        raise InputError(f"{owner} does not take gradients of layout {g.layout}")
    if g.layout == torch.sparse_coo and (not technique.sparse or "weight_decay" in before):
        why = " with weight_decay" if technique.sparse else ""
        raise InputError(f"{owner}{why} does not take sparse gradients: a step moves elements that have none")
    if p.is_complex() and technique.scope != "element":
        raise InputError(f"{owner} does not take complex parameters")
    if any(size > 1 and stride == 0 for size, stride in zip(p.shape, p.stride(), strict=True)):
        raise InputError(f"a parameter of {owner} is expanded: its elements share memory; clone it")
    _state.check(face, technique, p, kept, owner)


def plan(
    face: Face,
    chosen: Chosen,
    group: dict[str, Any],
    executors: Sequence[str | None],
    state: Mapping[Tensor, dict[str, Any]],
) -> Plan:
    """Return a group's parameters in batches by executor, type, device and step.

    Args:
        face, chosen, group: of an optimizer.
        executors: of each parameter, see `executor`; None where it has no gradient.
        state: of all parameters; filled in where there is none yet.
    """
    params = group["params"]
    found: dict[Any, list[int]] = {}
    for place, (p, executor) in enumerate(zip(params, executors, strict=True)):
        if executor is not None:
            kept, technique = state[p], chosen.technique.on(tuple(p.shape))
            _state.begin(face, technique, p, kept, group)
            counts = tuple(float(kept[key]) for key in ("step", *map(face.key, technique.scalars)))
            found.setdefault((technique, executor, p.dtype, p.device, counts), []).append(place)
    batches = [
        Batch(
            technique, chosen.before, executor, [params[i] for i in places], [state[params[i]] for i in places],
            [face.key(name) for name in technique.state], [face.key(name) for name in technique.scalars], places,
        )
        for (technique, executor, *_), places in found.items()
    ]  # fmt: skip
    settings = {name: value if name == "params" else _number(name, value, "") for name, value in group.items()}
    absent = [place for place, executor in enumerate(executors) if executor is None]
    return Plan(settings, batches, absent, chosen.values)


def executor(group: Mapping[str, Any], technique: Optimizer, p: Tensor, g: Tensor) -> str:
    """Return which executor updates a parameter: the one that the group asks for, or else the quickest.

    Raises:
        InputError: the one asked for cannot.
    """
    technique = technique.on(tuple(p.shape))
    best, asked = how(technique, p, g), group.get("executor")
    if asked is None or asked == best or best == "sparse" or asked == "eager":
        return best if asked is None or best == "sparse" else str(asked)
    real = p.dtype in (torch.float32, torch.float64) and p.numel() > 0
    if asked == "compiled" and technique.scope == "element" and real:
        return "compiled"
    if p.numel() == 0:
        return best
    kind = f"{str(p.dtype).removeprefix('torch.')} on {p.device.type}"
    raise InputError(f"{technique.name} has no {asked} step for {kind}; leave executor out")


def _number(name: str, value: Any, owner: str) -> Any:
    """Return a group's value with numbers for tensors, so that what is modified in place is seen to differ."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise InputError(f"{name} of {owner} takes one number, not a tensor of {value.numel()}")
        return float(value)
    if isinstance(value, tuple):
        return tuple(_number(name, one, owner) for one in value)
    return value
