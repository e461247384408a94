"""Dividing examples into train, valid and test, and scaling them by what train alone shows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from thalweg.key import Key

__all__ = ["split", "standardize"]


def split(
    n: int, shares: tuple[float, float, float], seed: int, classes: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return three disjoint sets of row numbers, sorted, that cover ``range(n)``.

    With ``classes``, shape ``(n,)``, each class is divided by the same shares, and is in every set.

    >>> [part.tolist() for part in split(5, (0.6, 0.2, 0.2), seed=0)]
    [[2, 3, 4], [0], [1]]
    """
    key = Key(seed) / "split"
    groups = [np.arange(n)] if classes is None else [np.flatnonzero(classes == c) for c in np.unique(classes)]
    parts: list[list[np.ndarray]] = [[], [], []]
    for number, rows in enumerate(groups):
        shuffled = rows[(key / number).permutation(len(rows))]
        n_valid, n_test = (max(1, round(share * len(rows))) for share in shares[1:])
        n_train = max(1, len(rows) - n_valid - n_test)
        for part, chunk in zip(parts, np.split(shuffled, [n_train, n_train + n_valid]), strict=True):
            part.append(chunk)
    return [np.sort(np.concatenate(part)) for part in parts]


def standardize(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all with train's mean 0 and standard deviation 1; a constant feature becomes 0.

    Per feature for shape ``(N, features)``, per channel for ``(N, channels, …)``.

    >>> a, b = standardize(torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0]]))
    >>> a.flatten().tolist(), b.item()
    ([-1.0, 1.0], 2.0)
    """
    axes = [0, *range(2, train.dim())]
    mean = train.mean(axes, keepdim=True)
    deviation = train.std(axes, correction=0, keepdim=True)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return [(x - mean) / deviation for x in (train, *others)]
