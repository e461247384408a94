"""Checks of what inputs know of targets: by one number, or by a few together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from thalweg.inspect._checks.finding import Finding, fine, listed, note, skipped, wrong
from thalweg.inspect._checks.subject import Subject
from thalweg.task.reading import WORDS, named

__all__ = ["leakage"]

EXAMPLES, FEATURES = 2000, 4096
"""How many of them leakage is looked for in, at most."""


def leakage(subject: Subject) -> Finding:
    """A number among the inputs, or a few together, that say what the target is."""
    task = subject.task
    if not subject.classes and not (task.train.targets.is_floating_point() and task.train.targets.dim() <= 2):
        return skipped("targets are neither one class nor a few quantities an example")
    names, columns, others = _columns(subject)
    if len(names) < 2:
        return skipped("inputs are a single number, or too many to look at each alone")
    if len(task.valid) < 10:
        return skipped(f"valid has {len(task.valid)} examples, and this takes 10")
    y, y_valid = (
        part.targets[:EXAMPLES].reshape(len(part.targets[:EXAMPLES]), -1).numpy() for part in (task.train, task.valid)
    )
    counted = _counted(subject, names)
    if not subject.classes:
        if _rebuilt(columns, y):
            return fine("targets are the inputs themselves, or nearly: they are to be rebuilt")
        found = _correlated(names, columns, y.astype(np.float64))
        return found if found.level != "fine" else _summed(names, (columns, others), (y, y_valid)) or counted or found
    known, valid = y.ravel(), y_valid.ravel()
    commonest = np.bincount(np.unique(known, return_inverse=True)[1]).max() / len(known)
    best, place = 0.0, 0
    for i in range(len(names)):
        right = _alone(columns[:, i], known, others[:, i], valid)
        if right > best:
            best, place = right, i
    alone = names[place]
    remedy = (
        "Ask whether {} is known when a prediction is asked for; take it out if it was made from the "
        "target, or together with it."
    )
    if best >= 0.98 and best - commonest >= 0.02:
        if _apart(columns[:, place], known):
            return wrong(
                f"{alone} alone says {best:.0%} of valid's classes, as a copy of the target would",
                remedy.format(alone),
            )
        if best == 1 or _dips(columns[:, place], known):
            return note(f"{alone} alone says {best:.0%} of valid's classes", remedy.format(alone))
    few = _indicators(columns, known, others, valid) or _coded(columns, known, others, valid)
    if few:
        said = listed([names[i] for i in few], 5)
        return wrong(
            f"{said} together say the class of train and valid, as the target in a code of its own would",
            remedy.format(f"any of {said}"),
        )
    return counted or fine(
        f"no input alone, nor a few together, give the class away: at best {best:.0%} of valid, by {alone}"
    )


def _counted(subject: Subject, names: list[str]) -> Finding | None:
    """Return a note on a number that counts the examples of all splits, as that of a row does."""
    inputs = subject.task.train.inputs
    if not isinstance(inputs, Tensor) or inputs.dim() != 2:
        return None
    whole = torch.cat([getattr(subject.task, word).inputs for word in WORDS]).double()
    if len(whole) < 50:
        return None
    steps = whole.sort(0).values.diff(dim=0)
    usual = steps.median(0).values
    even = ((steps - usual).abs() <= 0.02 * usual).double().mean(0)
    found = ((usual > 0) & (steps.amin(0) > 0) & (even > 0.9)).nonzero().flatten().tolist()
    if not found:
        return None
    said = listed([names[i] for i in found])
    has = "has another value" if len(found) == 1 else "have other values"
    return note(
        f"{said} {has} in each example, all evenly apart, as the number of a row has",
        f"An order of the rows may hold the target, and new rows will have other numbers: take {said} out, unless it "
        "is a time that is known when a prediction is asked for.",
    )


def _rebuilt(columns: np.ndarray, y: np.ndarray) -> bool:
    """Return whether each target is the input at its place, with or without noise."""
    if columns.shape != y.shape:
        return False
    one, other = (x - x.mean(0) for x in (columns, y.astype(np.float64)))
    sizes = np.sqrt((one**2).sum(0) * (other**2).sum(0))
    there = sizes > 0
    return bool(there.any()) and float(np.median((one * other).sum(0)[there] / sizes[there])) > 0.7


def _pursued(x: np.ndarray, y: np.ndarray, most: int = 3) -> tuple[list[int], np.ndarray]:
    """Return the columns that fit a target best, added one at a time, and the weights; the last is of 1."""
    deviation = x.std(0)
    scaled = np.where(deviation > 0, (x - x.mean(0)) / np.where(deviation > 0, deviation, 1), 0.0)
    chosen: list[int] = []
    left, weights = y - y.mean(), np.zeros(1)
    for _ in range(min(most, x.shape[1])):
        chosen.append(int(np.abs(left @ scaled).argmax()))
        matrix = np.column_stack([x[:, chosen], np.ones(len(x))])
        weights = np.linalg.lstsq(matrix, y, rcond=None)[0]
        left = y - matrix @ weights
        if float(left @ left) < 1e-12 * float(y @ y) or int(np.abs(left @ scaled).argmax()) in chosen:
            break
    return chosen, weights


def _explained(x: np.ndarray, y: np.ndarray, chosen: list[int], weights: np.ndarray) -> float:
    """Return the share of a target's variance that a sum of columns explains."""
    left = y - np.column_stack([x[:, chosen], np.ones(len(x))]) @ weights
    return 1 - float(left @ left) / max(float(((y - y.mean()) ** 2).sum()), 1e-30)


def _indicators(x: np.ndarray, y: np.ndarray, x_valid: np.ndarray, y_valid: np.ndarray) -> list[int]:
    """Return columns of which a few, added up, are 1 for a class and 0 for others; of all classes or all but one."""
    classes = np.unique(y)
    if len(classes) > 50 or x.shape[1] < 4:
        return []
    found: list[int] = []
    missing = 0
    for c in classes:
        one, other = ((part == c).astype(np.float64) for part in (y, y_valid))
        chosen, weights = _pursued(x, one)
        shares = [_explained(*pair, chosen, weights) for pair in ((x, one), (x_valid, other))]
        missing += min(shares) < 0.98 and other.any()
        if missing > 1:
            return []
        found += [i for i, weight in zip(chosen, weights, strict=False) if abs(weight) * x[:, i].std() > 0.05]
    return sorted(set(found))


def _coded(x: np.ndarray, y: np.ndarray, x_valid: np.ndarray, y_valid: np.ndarray) -> list[int]:
    """Return columns of two values, as few as can tell so many classes apart, that do; none where there are none."""
    classes, number = np.unique(y, return_inverse=True)
    binary = [i for i in range(x.shape[1]) if 0 < (x[:, i] == x[0, i]).mean() < 1 and len(np.unique(x[:, i])) == 2]
    bits = int(np.ceil(np.log2(len(classes))))
    if bits < 2 or not bits <= len(binary) <= 256:
        return []
    chosen: list[int] = []
    cells = np.zeros(len(x), np.int64)
    values = {i: (x[:, i] == x[:, i].max()).astype(np.int64) for i in binary}
    for _ in range(bits):
        right = {}
        for i in binary:
            table = np.zeros((2 ** (len(chosen) + 1), len(classes)))
            np.add.at(table, (2 * cells + values[i], number), 1)
            right[i] = table.max(1).sum()
        chosen.append(max(right, key=lambda i: right[i]))
        cells = 2 * cells + values[chosen[-1]]
    said = dict(zip(cells, y, strict=True))
    there = np.zeros(len(x_valid), np.int64)
    for i in chosen:
        there = 2 * there + (x_valid[:, i] == x[:, i].max())
    whole = right[chosen[-1]] == len(x) and all(said.get(k) == c for k, c in zip(there, y_valid, strict=True))
    return chosen if whole else []


def _summed(
    names: list[str], columns: tuple[np.ndarray, np.ndarray], targets: tuple[np.ndarray, np.ndarray]
) -> Finding | None:
    """Return a note where a target is a sum of two or three of many columns."""
    x, count = columns[0], len(names)
    if count < 6 or len(x) < 3 * count:
        return None
    for k in range(min(targets[0].shape[1], 16)):
        y, y_valid = (part[:, k].astype(np.float64) for part in targets)
        weights = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
        shares = np.abs(weights[:-1]) * x.std(0) / max(float(y.std()), 1e-30)
        chosen = np.flatnonzero(shares > 0.02).tolist()
        if not 0 < len(chosen) <= 3:
            continue
        kept = np.append(weights[chosen], weights[-1])
        if min(_explained(x, t, chosen, kept) for x, t in zip(columns, (y, y_valid), strict=True)) > 0.9999:
            said = listed([names[i] for i in chosen])
            return note(
                f"a sum of {said}, with weights, is the target to 4 digits",
                f"Ask whether {said} are known when a prediction is asked for; a total says its parts.",
            )
    return None


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
        if alone and len(subject.task.features) == count:
            names += subject.task.features
        elif alone and not x.is_floating_point() and subject.task.encode is not None:
            names += [f"the word at place {i + 1}" for i in range(count)]
        elif x[0].dim() == 1:
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


def _dips(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether few examples lie between classes, as with a copy and noise; not so at a mere threshold."""
    middles = np.sort([np.median(x[y == c]) for c in np.unique(y)])
    for low, high in pairwise(middles):
        third = (high - low) / 3
        sides, middle = (
            sum(float(((x >= a) & (x < a + third)).mean()) for a in starts)
            for starts in ((low, high - third), (low + third,))
        )
        if middle > 0.25 * sides:
            return False
    return True


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
