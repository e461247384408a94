"""What models put out for a split, judged by a task's metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.task import Metric, Split
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
    pieces, held, begun, numbers = [], [], 0, 0
    for start in range(0, len(split), chunk):
        end = min(start + chunk, len(split))
        held.append(models.outputs(split.at(slice(start, end)).inputs))
        plain = all(isinstance(output, Tensor) for output in held[-1])  # a module alone may return what it likes
        numbers += sum(output.numel() for output in held[-1]) if plain else 0
        if plain and numbers < judged and end < len(split):
            continue
        targets = split.at(slice(begun, end)).targets
        values = [metric.outcomes(_joined(outputs), targets) for outputs in zip(*held, strict=True)]
        if values[0].dim() == 0 and begun == 0 < end < len(split):
            return outcomes(models, split, metric, chunk if plain else len(split), math.inf)
        pieces.append(torch.stack(values).reshape(len(values), -1).float().numpy())
        held, begun, numbers = [], end, 0
    return np.concatenate(pieces, axis=1)


def _joined(outputs: Sequence[Any]) -> Any:
    """Return the outputs of chunks that follow each other as one; those of one chunk as they are."""
    return torch.cat(list(outputs)) if len(outputs) > 1 else outputs[0]


def means(models: Executor, split: Split, metric: Metric) -> np.ndarray:
    """Return each model's metric on a split, float64, shape ``(runs,)``; NaN where it is not finite."""
    values = outcomes(models, split, metric).mean(axis=1, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
