"""What models put out for a split, judged by a task's metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.task import Metric, Split
from thalweg.train.pulse import beat
from thalweg.train.step import CHUNK, Executor

__all__ = ["JUDGED", "means", "outcomes"]

JUDGED = 1 << 17
"""Numbers that models put out before they are judged: a metric is called once for a few chunks."""


def outcomes(
    models: Executor, split: Split, metric: Metric, chunk: int = CHUNK, judged: float = JUDGED
) -> np.ndarray:
    """Return the metric of every example, float32, shape ``(runs, examples)``; or ``(runs, 1)``.

    The latter where the metric has one value for a whole split. Examples pass ``chunk`` at a time, and are judged
    when the models have put out ``judged`` numbers.
    """
    with models.unchanged():
        return _outcomes(models, split, metric, chunk, judged)


def _outcomes(models: Executor, split: Split, metric: Metric, chunk: int, judged: float) -> np.ndarray:
    pieces, held, begun, numbers = [], [], 0, 0
    for start in range(0, len(split), chunk):
        beat()
        end = min(start + chunk, len(split))
        held.append(models.outputs(split.at(slice(start, end)).inputs))
        plain = _numbers(held[-1]) is not None  # a module alone may return what it likes
        numbers += _numbers(held[-1]) or 0
        if plain and numbers < judged and end < len(split):
            continue
        targets = split.at(slice(begun, end)).targets
        values = _judged(held, targets, metric)
        if values.dim() == 1 and begun == 0 < end < len(split):
            return _outcomes(models, split, metric, chunk if plain else len(split), math.inf)
        pieces.append(values.reshape(len(values), -1).float().numpy())
        held, begun, numbers = [], end, 0
    return np.concatenate(pieces, axis=1)


def _numbers(outputs: Tensor | Sequence[Any]) -> int | None:
    """Return how many numbers models have put out; None where it is not a tensor of each."""
    if isinstance(outputs, Tensor):
        return outputs.numel()
    return sum(x.numel() for x in outputs) if all(isinstance(x, Tensor) for x in outputs) else None


def _judged(held: Sequence[Tensor | Sequence[Any]], targets: Tensor, metric: Metric) -> Tensor:
    """Return what a metric says of each model's outputs for chunks that follow each other, a row a model."""
    stacks = [outputs for outputs in held if isinstance(outputs, Tensor)]
    if metric.by_example and len(stacks) == len(held):
        rows = torch.cat(stacks, 1) if len(stacks) > 1 else stacks[0]
        values = metric.outcomes(rows.flatten(0, 1), targets.repeat(len(rows), *[1] * (targets.dim() - 1)))
        return values.view(len(rows), -1)
    return torch.stack([metric.outcomes(_joined(outputs), targets) for outputs in zip(*held, strict=True)])


def _joined(outputs: Sequence[Any]) -> Any:
    """Return the outputs of chunks that follow each other as one; those of one chunk as they are."""
    return torch.cat(list(outputs)) if len(outputs) > 1 else outputs[0]


def means(models: Executor, split: Split, metric: Metric) -> np.ndarray:
    """Return each model's metric on a split, float64, shape ``(runs,)``; NaN where it is not finite."""
    values = outcomes(models, split, metric).mean(axis=1, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
