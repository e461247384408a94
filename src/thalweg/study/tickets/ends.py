"""What becomes of tickets: the line between two of them, and a model that really is smaller."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from thalweg import prune
from thalweg.errors import InputError
from thalweg.files import write_whole
from thalweg.prune import Smaller
from thalweg.recipe import Recipe
from thalweg.study.tickets.ticket import Ticket
from thalweg.task import Task, apply
from thalweg.task.reading import leaves
from thalweg.train.judging import outcomes
from thalweg.train.made import model_of
from thalweg.train.restored import buffers_as_before

__all__ = ["barrier", "leave_smallest"]

POINTS = 30
"""On the line between two tickets, both ends included."""

BATCH = 64
"""Examples on which models are timed."""

REPEATS = 40
"""How often each is timed, the two in turn."""


class _Alone:
    """One module as what `outcomes` asks."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval()

    def unchanged(self) -> AbstractContextManager[None]:
        return buffers_as_before(self.module)

    def outputs(self, inputs: Any) -> list[Any]:
        with torch.no_grad():
            return [apply(self.module, inputs)]


def _metric(task: Task, module: nn.Module) -> float:
    """Return the mean metric on the test split."""
    models: Any = _Alone(module)
    return float(outcomes(models, task.test, task.metric).mean(dtype=np.float64))


def barrier(
    task: Task, module: nn.Module, first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> list[float] | None:
    """Return the test metric on the line between two sets of weights; None where it is not finite.

    Args:
        task: whose test split and metric.
        module: of the architecture; left as it is.
        first, second: state dicts.
    """
    sign = -1.0 if task.metric.higher_is_better else 1.0
    try:
        found = prune.connectivity(module, first, second, lambda model: sign * _metric(task, model), POINTS)
    except InputError:
        return None
    return [sign * error for error in found.errors]


def leave_smallest(
    task: Task, recipe: Recipe, tickets: Sequence[Ticket], weights: int, directory: Path
) -> dict[str, Any] | None:
    """Write the smallest model that is as good as its whole model on the validation split, and return its facts.

    It is a ticket, or one whose whole units were taken: the one with the fewest parameters once units of no use are
    out. Where none is as good, it is the best of them; None where there are none.

    Args:
        task, recipe: of the lottery.
        tickets: all of them.
        weights: that can be pruned in the whole model.
        directory: the study's.
    """
    sign = 1.0 if task.metric.higher_is_better else -1.0

    def worth(ticket: Ticket, part: str) -> tuple[bool, int, float]:
        facts, full = ticket.facts[part], sign * ticket.facts["full"]
        valid = sign * facts["valid"]
        return valid >= full, facts["level"] if valid >= full else 0, valid

    found = []
    for part, kind in (("best", "ticket"), ("small", "whole units")):
        known = [ticket for ticket in tickets if ticket.facts.get(part)]
        if known:
            ticket = max(known, key=lambda ticket: worth(ticket, part))
            masks = getattr(ticket, f"{part}_masks")
            made = _Made(task, recipe, ticket.seed, getattr(ticket, part), masks)
            kept = sum(int(mask.sum()) for mask in masks.values())
            facts = {
                "kind": kind, "seed": ticket.place, "level": ticket.facts[part]["level"], "share": kept / weights,
                "held": worth(ticket, part)[0], "valid": ticket.facts[part]["valid"],
            }  # fmt: skip
            found.append((facts, made))
    if not found:
        return None
    as_good = [one for one in found if one[0]["held"]]
    if as_good:
        facts, made = min(as_good, key=lambda one: one[1].parameters())
    else:
        facts, made = max(found, key=lambda one: sign * one[0]["valid"])
    return {**facts, **made.leave(directory)}


class _Made:
    """A ticket, and what is left of it without units that are of no use.

    Args:
        task, recipe, seed: of the ticket.
        weights: its state dict.
        masks: which weights stay, by the parameters' names.
    """

    def __init__(
        self, task: Task, recipe: Recipe, seed: int, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> None:
        self.task = task
        self.whole = model_of(task, recipe, seed)
        self.whole.load_state_dict(dict(weights))
        self.found = prune.smaller(self.whole.eval(), masks)
        self.small = self.found.model.eval()

    def parameters(self) -> int:
        """Return how many parameters the smaller model has."""
        return _count(self.small)

    def leave(self, directory: Path) -> dict[str, Any]:
        """Write the smaller model into a study's directory, and return its facts.

        Written are ``ticket.safetensors``, its weights; ``ticket.json``, how many units each layer has; and where
        ``torch.export`` can follow it ``ticket.pt2``, the model itself, which ``torch.export.load`` reads and which
        needs neither this library nor the file that defines the model.
        """
        small, found = self.small, self.found
        layers = {name: {"before": before, "after": after} for name, (before, after) in found.units.items()}
        shapes = {name: list(x.shape) for name, x in small.state_dict().items()}
        content = {name: x.detach().clone().contiguous() for name, x in small.state_dict().items()}
        write_whole(directory / "ticket.safetensors", save(content))
        write_whole(directory / "ticket.json", json.dumps({"units": layers, "shapes": shapes}, indent=1).encode())
        return {
            "units": layers,
            "left": dict(found.left),
            "parameters": [_count(self.whole), _count(small)],
            "kept": sum(int((p != 0).sum()) for p in small.parameters()),
            "bytes": [_bytes(self.whole), _bytes(small)],
            "seconds": _seconds(self.task, self.whole, small),
            "batch": _batch(self.task),
            "test": [_metric(self.task, self.whole), _metric(self.task, small)],
            "exported": _export(self.task, found, directory / "ticket.pt2"),
        }


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _bytes(module: nn.Module) -> int:
    return sum(x.numel() * x.element_size() for x in module.state_dict().values())


def _batch(task: Task) -> int:
    return min(BATCH, len(task.test))


def _seconds(task: Task, whole: nn.Module, small: nn.Module) -> list[float]:
    """Return the seconds that each takes for a batch: medians, the two in turn."""
    inputs = task.test.at(slice(0, _batch(task))).inputs
    taken: list[list[float]] = [[], []]
    with torch.no_grad():
        for i in range(REPEATS + 3):
            for module, mine in zip((whole, small), taken, strict=True):
                started = time.perf_counter()
                apply(module, inputs)
                mine.append(time.perf_counter() - started if i >= 3 else np.inf)
    return [float(np.median(mine[3:])) for mine in taken]


def _export(task: Task, found: Smaller, path: Path) -> str:
    """Write the model by ``torch.export``; return why that could not be, or nothing."""
    inputs = task.test.at(slice(0, min(4, len(task.test)))).inputs
    batch = torch.export.Dim("batch")
    args = () if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,)
    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    shapes: Any = {name: {0: batch} for name in named} or tuple({0: batch} for _ in args)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp.pt2")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(found.model, args, named, dynamic_shapes=shapes)
            torch.export.save(program, temporary)
            loaded: Callable[..., Any] = torch.export.load(temporary).module()
            again = task.test.at(slice(0, _batch(task))).inputs
            same = zip(leaves(apply(loaded, again)), leaves(apply(found.model, again)), strict=True)
            if not all(torch.allclose(x, y, rtol=1e-4, atol=1e-5) for x, y in same):
                return "what torch.export makes of it gives other outputs"
        temporary.replace(path)
    except Exception as error:
        return f"torch.export cannot follow it: {str(error).strip().partition(chr(10))[0][:200]}"
    finally:
        temporary.unlink(missing_ok=True)
    return ""
