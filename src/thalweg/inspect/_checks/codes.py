"""Whether classes are called the same in all splits: what a quick model of train calls them in the others."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from thalweg.inspect._checks.finding import Finding, fine, listed, skipped, wrong
from thalweg.inspect._checks.subject import Subject, numbers_in
from thalweg.key import Key
from thalweg.task import Split
from thalweg.task.reading import WORDS, leaves

__all__ = ["codes"]

EXAMPLES, FEATURES = 1500, 4096
"""How many examples of train a quick model learns from, and how many numbers each may have."""

BAG = 512
"""Into how many columns tokens are counted."""

Table = np.ndarray


def codes(subject: Subject) -> Finding:
    """Classes of valid or test that are called otherwise than in train."""
    task = subject.task
    if not subject.classes:
        return skipped("targets are not one class an example")
    if numbers_in(task.train) > FEATURES or any(x.is_complex() for x in leaves(task.train.inputs)):
        return skipped("an example has too many numbers for a quick model")
    classes = int(max(getattr(task, word).targets.max() for word in WORDS)) + 1
    if classes > 200 or int(min(getattr(task, word).targets.min() for word in WORDS)) < 0:
        return skipped("there are more classes than a quick model tells apart")
    told = _told(subject, classes)
    held = told.pop("train")
    right = np.trace(held) / max(1, held.sum())
    for word, table in told.items():
        moved = _moved(held, table)
        if moved:
            known = list(moved)
            share = table[[moved[c] for c in known], known].sum() / table[:, known].sum()
            names = listed([f"{subject.class_(c)} for what train calls {subject.class_(moved[c])}" for c in known])
            return wrong(
                f"{word} calls classes otherwise than train: {names}; a quick model, right for {right:.0%} of unseen "
                f"examples of train, says the latter for {share:.0%} of these",
                "Code the classes of all splits by one list, such as the sorted names of train's, and not split by "
                "split.",
            )
    return fine(f"a quick model, right for {right:.0%} of unseen examples of train, finds none moved")


def _told(subject: Subject, classes: int) -> dict[str, Table]:
    """Return how often each class (rows) is said of each (columns), by split; of train's in a part held back."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import RidgeClassifier

    task = subject.task
    parts = {word: _some(getattr(task, word), EXAMPLES) for word in WORDS}
    train = parts["train"]
    kept = len(train) * 2 // 3
    x = {word: _numbers(part) for word, part in parts.items()}
    y = {word: part.targets.numpy() for word, part in parts.items()}
    mean, deviation = x["train"][:kept].mean(0), x["train"][:kept].std(0)
    x = {word: ((a - mean) / np.where(deviation > 0, deviation, 1.0)).clip(-30, 30) for word, a in x.items()}
    best: dict[str, Table] = {}
    for made in (ExtraTreesClassifier(40, min_samples_leaf=2, random_state=0), RidgeClassifier(10.0)):
        made.fit(x["train"][:kept], y["train"][:kept])
        found = {word: _table(made.predict(x[word]), y[word], classes) for word in WORDS[1:]}
        found["train"] = _table(made.predict(x["train"][kept:]), y["train"][kept:], classes)
        if not best or np.trace(found["train"]) > np.trace(best["train"]):
            best = found
    return best


def _table(said: np.ndarray, targets: np.ndarray, classes: int) -> Table:
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (said, targets), 1)
    return found


def _moved(held: Table, table: Table) -> dict[int, int]:
    """Return for classes of a split what train calls them, where that is something else.

    What is said of examples is matched with what they are called so that most agree. A class has moved where its
    match is said of it nearly as often as where nothing has moved, far oftener than by mistake, and it itself hardly
    ever; and where the match has moved on too, or is not used: a class that is merely not recognised has no such.
    """
    sizes, known = table.sum(0), held.sum(0)
    found, chances = {}, {}
    for new, c in zip(*linear_sum_assignment(-table), strict=True):
        if new == c or sizes[c] < 5 or known[new] < 5:
            continue
        usual, before = held[new, new] / known[new], held[c, c] / max(1, known[c])
        like = held[:, [c]] if known[c] else np.delete(held, new, 1).sum(1, keepdims=True)
        mistaken = [[table[new, c], sizes[c] - table[new, c]], [like[new, 0], like.sum() - like[new, 0]]]
        oftener = stats.fisher_exact(mistaken, "greater").pvalue
        stays = table[c, c] / sizes[c] > 0.3 * before if known[c] else False
        if table[new, c] / sizes[c] > 0.7 * usual and not stays and oftener < 0.01:
            found[int(c)], chances[int(c)] = int(new), float(oftener)
    while left := [c for c, new in found.items() if new not in found and sizes[new] >= 5]:
        for c in left:
            del found[c]
    return found if math.prod(chances[c] for c in found) < 1e-8 else {}


def _some(part: Split, most: int) -> Split:
    rows = (Key(0) / "codes").permutation(len(part))[:most]
    return part.at(torch.from_numpy(rows))


def _numbers(part: Split) -> np.ndarray:
    """Return an example's numbers in a row; tokens are counted."""
    columns = []
    for x in leaves(part.inputs):
        rows = x.reshape(len(x), -1)
        if not x.is_floating_point() and rows.shape[1] > 8:
            counts = np.zeros((len(rows), BAG))
            np.add.at(counts, (np.arange(len(rows))[:, None], rows.numpy() % BAG), 1)
            columns.append(np.log1p(counts))
        else:
            columns.append(rows.double().numpy())
    return np.concatenate(columns, 1)
