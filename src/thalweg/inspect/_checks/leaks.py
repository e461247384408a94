"""Checks of what inputs know of targets: by one number, or by a few together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from thalweg.inspect._checks.finding import Finding, fine, note, skipped, wrong
from thalweg.inspect._checks.subject import Subject
from thalweg.task.reading import named

__all__ = ["leakage"]

EXAMPLES, FEATURES = 2000, 4096
"""How many of them leakage is looked for in, at most."""


def leakage(subject: Subject) -> Finding:
    """A single number among the inputs that says what the target is."""
    task = subject.task
    if not subject.classes and not (task.train.targets.is_floating_point() and task.train.targets.dim() <= 2):
        return skipped("targets are neither one class nor a few quantities an example")
    names, columns, others = _columns(subject)
    if len(names) < 2:
        return skipped("inputs are no more than one number, or none that can be looked at one by one")
    if len(task.valid) < 10:
        return skipped(f"valid has {len(task.valid)} examples, and this takes 10")
    y, y_valid = (
        part.targets[:EXAMPLES].reshape(len(part.targets[:EXAMPLES]), -1) for part in (task.train, task.valid)
    )
    if not subject.classes:
        return _correlated(names, columns, y.double().numpy())
    known = y.numpy().ravel()
    commonest = np.bincount(np.unique(known, return_inverse=True)[1]).max() / len(known)
    best, place = 0.0, 0
    for i in range(len(names)):
        right = _alone(columns[:, i], known, others[:, i], y_valid.numpy().ravel())
        if right > best:
            best, place = right, i
    if best < 0.98 or best - commonest < 0.02:
        return fine(f"no input alone tells the class of valid: at best {best:.0%}, by {names[place]}")
    remedy = (
        f"Ask whether {names[place]} is known when a prediction is asked for; take it out if it was made from the "
        "target, or together with it."
    )
    if _apart(columns[:, place], known):
        return wrong(
            f"{names[place]} alone says {best:.0%} of valid's classes, as a copy of the target would", remedy
        )
    return note(f"{names[place]} alone says {best:.0%} of valid's classes", remedy)


def _columns(subject: Subject) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the numbers among the inputs, their names, ``(examples, numbers)`` of train and of valid."""
    names: list[str] = []
    rows: tuple[list[Tensor], list[Tensor]] = ([], [])
    train, valid = named(subject.task.train), named(subject.task.valid)
    for name in list(train)[:-1]:
        x, other = (part[name][:EXAMPLES] for part in (train, valid))
        count = x[0].numel()
        if count > FEATURES:
            continue
        alone = name == "inputs"
        if x[0].dim() == 1:
            names += [f"input {i}" if alone else f"{name}, number {i}" for i in range(count)]
        else:
            places = [tuple(int(k) for k in np.unravel_index(i, x.shape[1:])) for i in range(count)]
            names += [f"input {place}" if alone else f"{name} {place or ''}".strip() for place in places]
        for found, part in zip(rows, (x, other), strict=True):
            found.append(part.reshape(len(part), -1).double())
    if not names:
        return [], np.zeros((0, 0)), np.zeros((0, 0))
    joined = [torch.cat(part, 1).numpy() for part in rows]
    return names, joined[0], joined[1]


def _alone(x: np.ndarray, y: np.ndarray, x_valid: np.ndarray, y_valid: np.ndarray) -> float:
    """Return how often the commonest class of train at the nearest value is valid's."""
    values, place = np.unique(x, return_inverse=True)
    classes, number = np.unique(y, return_inverse=True)
    if len(values) < 2:
        return 0.0
    counts = np.zeros((len(values), len(classes)), np.int32)
    np.add.at(counts, (place, number), 1)
    said = classes[counts.argmax(1)]
    right = np.searchsorted(values, x_valid).clip(1, len(values) - 1)
    nearest = np.where(x_valid - values[right - 1] <= values[right] - x_valid, right - 1, right)
    return float((said[nearest] == y_valid).mean())


def _apart(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether classes lie apart in a number: as far from each other as each is wide."""
    classes = np.unique(y)
    ends = sorted((np.quantile(x[y == c], 0.01), np.quantile(x[y == c], 0.99)) for c in classes)
    widest = max(high - low for low, high in ends)
    return all(b[0] - a[1] > widest for a, b in pairwise(ends))


def _correlated(names: list[str], columns: np.ndarray, y: np.ndarray) -> Finding:
    best, place = 0.0, 0
    with np.errstate(all="ignore"):
        for target in y.T[:16]:
            ranks = stats.rankdata(target)
            for i in range(len(names)):
                column = columns[:, i]
                if column.std() == 0:
                    continue
                found = max(
                    abs(np.corrcoef(a, b)[0, 1]) for a, b in ((column, target), (stats.rankdata(column), ranks))
                )
                if found > best:
                    best, place = float(found), i
    said = f"{names[place]} alone follows the target with a correlation of {best:.4f}"
    if best < 0.995:
        return fine(f"no input alone follows the target: the largest correlation is {best:.2f}, of {names[place]}")
    return (wrong if best > 0.9995 else note)(
        said,
        f"Ask whether {names[place]} is known when a prediction is asked for; take it out if it was made from the "
        "target.",
    )
