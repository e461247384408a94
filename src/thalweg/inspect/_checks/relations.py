"""Whether anything simple can tell targets from inputs: trees and a linear model, judged by ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from thalweg.inspect._checks.subject import Subject, numbers_in, spread
from thalweg.key import Key
from thalweg.task import Split
from thalweg.task.reading import leaves

__all__ = ["DEALT", "Relation", "relation"]

DEALT = 99
"""How often targets are shuffled anew."""

FOLDS = 4
"""Into how many parts train is divided, each predicted from the others."""

Floats = np.ndarray


@dataclass(frozen=True)
class Relation:
    """By how many deviations predictions are ranked more like targets than like shuffled ones.

    Attributes:
        train, valid, both: of which examples.
        share: what a relation that holds of all comes to on valid, in parts of what it comes to on train.
        least: by how much the area under the curve is above a half where it is by three deviations.
    """

    train: float
    valid: float
    both: float
    share: float
    least: float


def relation(subject: Subject) -> Relation | None:
    """Return what is found, or None where inputs or targets are not such that it can be looked for.

    Each class has a score, and its examples are to be ranked before the others: of two classes, this is the area
    under the curve. It sees a rare class, of which accuracy says nothing; quantities are ranked too. Of train, each
    fold is predicted from the others, so that all examples tell, and ranked by itself.
    """
    train, valid = spread(subject.task.train, 1500), spread(subject.task.valid, 500)
    if not subject.classes and not (train.targets.is_floating_point() and train.targets[0].numel() == 1):
        return None
    if any(not x.is_floating_point() for x in leaves(train.inputs)) or numbers_in(train) > 4096:
        return None
    x, y = _numbers(train), train.targets.reshape(-1).numpy()
    x_new, y_new = _numbers(valid), valid.targets.reshape(-1).numpy()
    names, places = np.unique(y, return_inverse=True)
    if subject.classes:
        x_new, y_new = (part[np.isin(y_new, names)] for part in (x_new, y_new))
    parts = _folds(places if subject.classes else None, len(y))
    pieces = [(x[~held], y[~held], x[held], y[held]) for held in parts]
    found = [_agreement(subject.classes, names, *piece) for piece in (*pieces, (x, y, x_new, y_new))]
    one, other = np.sum(found[:-1], 0), found[-1]
    commonest = np.bincount(places).max() / len(y) if subject.classes else 0.5
    variance = min(0.25, commonest * (1 - commonest))
    least = 3 / max(12 * (len(y) + len(y_new)) * variance, 1e-9) ** 0.5
    return Relation(_margin(one), _margin(other), _margin(one + other), (len(y_new) / len(y)) ** 0.5, least)


def _numbers(part: Split) -> Floats:
    return torch.cat([x.reshape(len(x), -1) for x in leaves(part.inputs)], 1).double().numpy()


def _folds(places: Floats | None, count: int) -> list[Floats]:
    """Return which examples each fold holds; each class is in all of them, as far as it can be."""
    order = (Key(0) / "folds").permutation(count)
    if places is not None:
        order = order[np.argsort(places[order], kind="stable")]
    number = np.empty(count, np.int64)
    number[order] = np.arange(count) % FOLDS
    return [number == i for i in range(FOLDS)]


def _agreement(classes: bool, names: Floats, x: Floats, y: Floats, x_new: Floats, y_new: Floats) -> Floats:
    """Return how alike predictions and targets are ranked, first as they are, then with targets shuffled."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import Ridge

    mean, deviation = x.mean(0), x.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    x, x_new = (x - mean) / deviation, ((x_new - mean) / deviation).clip(-1e3, 1e3)
    wanted, right = (
        (t[:, None] == names).astype(float) if classes else stats.rankdata(t)[:, None] for t in (y, y_new)
    )
    scale = wanted.std(0)
    wanted = (wanted - wanted.mean(0)) / np.where(scale > 0, scale, 1.0)
    trees = ExtraTreesRegressor(40, min_samples_leaf=3, max_features=max(1, round(x.shape[1] ** 0.5)) / x.shape[1],
                                random_state=0)  # fmt: skip
    ranks = np.zeros(right.shape)
    for model in (Ridge(10.0), trees):
        said = model.fit(x, wanted if classes else wanted[:, 0]).predict(x_new).reshape(right.shape)
        ranks += stats.rankdata(said, axis=0) / len(said) - 0.5 - 0.5 / len(said)
    size = right.std(0)
    right = np.where(size > 0, (right - right.mean(0)) / np.where(size > 0, size, 1.0), 0.0)
    key = Key(0) / "dealt"
    orders = [np.arange(len(right)), *((key / i).permutation(len(right)) for i in range(DEALT))]
    return np.array([(ranks * right[order]).sum() for order in orders])


def _margin(found: Floats) -> float:
    deviation = float(found[1:].std())
    return float(found[0] - found[1:].mean()) / deviation if deviation > 0 else 0.0
