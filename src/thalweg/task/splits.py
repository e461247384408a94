"""Dividing examples into train, valid and test, and scaling them by what train alone shows."""

from __future__ import annotations

import numpy as np

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.norm._standardise import standardize

__all__ = ["split", "standardize"]


def split(
    n: int, shares: tuple[float, float, float], seed: int, classes: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return three disjoint sets of row numbers, sorted, that cover ``range(n)``.

    With ``classes``, shape ``(n,)``, each class is divided by the same shares, and is in every set.

    Raises:
        InputError: the shares are not three numbers above 0 that sum to 1, or there are fewer than three rows
            (of a class).

    >>> [part.tolist() for part in split(5, (0.6, 0.2, 0.2), seed=0)]
    [[2, 3, 4], [0], [1]]
    """
    try:
        numbers = [float(share) for share in shares]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3 or min(numbers) <= 0 or not abs(sum(numbers) - 1) <= 1e-6:
        raise InputError(f"splits takes three shares above 0 that sum to 1, such as (0.6, 0.2, 0.2), not {shares!r}")
    labels = np.zeros(n, np.int64) if classes is None else np.asarray(classes)
    if labels.shape != (n,):
        raise InputError(f"classes takes one value a row, shape ({n},), not {labels.shape}")
    key = Key(seed) / "split"
    parts: list[list[np.ndarray]] = [[], [], []]
    for number, label in enumerate(np.unique(labels) if n else [0]):
        rows = np.flatnonzero(labels == label)
        count = len(rows)
        if count < 3:
            few = f"{count} example{'s' * (count != 1)}"
            if classes is None:
                raise InputError(f"there are {few} to split; train, valid and test need one each")
            raise InputError(
                f"class {label} has {few}, and every class needs 3, one for each split; drop it or join it with "
                "another, or make the targets floats if they are quantities"
            )
        shuffled = rows[(key / number).permutation(count)]
        n_valid = min(max(1, round(numbers[1] * count)), count - 2)
        n_test = min(max(1, round(numbers[2] * count)), count - n_valid - 1)
        n_train = count - n_valid - n_test
        for part, chunk in zip(parts, np.split(shuffled, [n_train, n_train + n_valid]), strict=True):
            part.append(chunk)
    return [np.sort(np.concatenate(part)) for part in parts]
