"""What test knows of train: copies across splits."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from thalweg.inspect._checks.finding import Finding, fine, note, wrong
from thalweg.inspect._checks.subject import Subject, numbers_in, spread
from thalweg.task import Split
from thalweg.task.reading import WORDS, leaves

__all__ = ["duplicates"]

EXAMPLES, FEATURES = 2000, 4096
"""How many of them near copies are looked for in, at most."""

NEXT = 6
"""To how many neighbours distances are compared: as many as one example may have copies, and one."""


def duplicates(subject: Subject) -> Finding:
    """Examples of valid and test that are in train too."""
    task = subject.task
    train = _hashes(task.train)
    seen, again = set(train), len(train) - len(set(train))
    within = 2 * again / len(train)
    shares = {word: _hashes(getattr(task, word)) for word in WORDS[1:]}
    found = {word: sum(x in seen for x in rows) for word, rows in shares.items()}
    total, count = sum(found.values()), sum(map(len, shares.values()))
    said = " and ".join(f"{n:,} of {len(shares[word]):,} in {word}" for word, n in found.items())
    remedy = (
        "What a model has seen says nothing of new examples: drop copies before splitting, and split by person, "
        "document or session where several examples come from one."
    )
    if not total:
        if (close := _near(task.train, task.test)) > 0.05:
            return wrong(f"{close:.0%} of test's examples are in train too, but for small changes", remedy)
        return fine(f"none of {count:,} examples of valid and test is in train too")
    most = max(found[word] / len(shares[word]) for word in found)
    between = "" if not again else f"; train itself has {again:,} copies"
    natural = _coincide(task.train)
    if natural:
        return fine(f"{said} are in train too, as values so few coincide")
    if most > 0.05 + 2 * within or most > 0.25:
        return wrong(f"{said} are in train too{between}", remedy)
    if most > 0.005 + 2 * within:
        return note(f"{said} are in train too{between}", remedy)
    return fine(f"{said} are in train too, no more than train has copies of its own")


def _hashes(part: Split) -> list[int]:
    rows = [x.reshape(len(x), -1).contiguous() for x in leaves(part.inputs)]
    arrays = [np.ascontiguousarray((x + 0.0 if x.is_floating_point() else x).numpy()) for x in rows]
    return [hash(tuple(a[i].tobytes() for a in arrays)) for i in range(len(part))]


def _near(train: Split, test: Split) -> float:
    """Return the share of test that lies as close to examples of train as copies do, and not as chance has it.

    Columns of two values, such as those of a category, are the same in both; the others say how close.
    """
    if any(not x.is_floating_point() for x in leaves(train.inputs)) or numbers_in(train) > FEATURES:
        return 0.0
    # Of train, many: a copy may be of any example.
    every, other = (
        torch.cat([x.reshape(len(x), -1) for x in leaves(part.inputs)], 1).double()
        for part in (train.at(slice(0, 10 * EXAMPLES)), spread(test, EXAMPLES // 2))
    )
    two = ((every == every.amin(0)) | (every == every.amax(0))).all(0)
    if len(every) < 20 or bool(two.all()):
        return 0.0
    both = torch.where(two, torch.cat([every, other]), 0)
    kinds = torch.unique(both, dim=0, return_inverse=True)[1].split([len(every), len(other)])
    deviation = every.std(0, correction=0)
    deviation = deviation.clamp(min=max(0.1 * float(deviation.square().mean().sqrt()), 1e-12))[~two]
    every, other = every[:, ~two] / deviation, other[:, ~two] / deviation
    some = torch.linspace(0, len(every) - 1, min(EXAMPLES // 2, len(every))).long()
    apart = _apart((every[some], kinds[0][some]), (every[some], kinds[0][some])).fill_diagonal_(math.inf).amin(1)
    apart = apart[apart.isfinite()]
    if len(apart) < 20:
        return 0.0
    usual = float(apart.quantile(0.75))  # where many have a copy, of those without
    nearest = _apart((other, kinds[1]), (every, kinds[0])).topk(NEXT, largest=False).values
    return _clustered(nearest, 0.2 * usual, every.shape[1])


def _apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """Return how far apart rows lie, infinitely where they are not of one kind."""
    return torch.cdist(one[0], other[0]).masked_fill_(one[1][:, None] != other[1], math.inf)


def _clustered(nearest: Tensor, limit: float, numbers: int) -> float:
    """Return the share of examples that lie closer to their nearest neighbour than chance has it.

    How many lie within a distance of it grows by chance as a power of the distance, and of copies with small changes
    not at all, until it is as large as examples lie apart. So a distance is looked for within which there are many,
    within four times which there are hardly more, and which is small beside that of the next neighbours.

    Args:
        nearest: distances to the nearest neighbours, sorted; infinite where there are no more; ``(examples, NEXT)``.
        limit: at most so far away is close.
        numbers: how many columns distances are of.
    """
    first, third = nearest[:, 0], nearest[:, 2]
    last = nearest.masked_fill(nearest.isinf(), 0).amax(1)
    # In d dimensions (r₃ / r₆)ᵈ has the median ½, and (r₁ / r₆)ᵈ is below 0.02 for a tenth of the examples.
    median = (third / nearest[:, -1])[nearest[:, -1].isfinite() & (last > 0)]
    dimension = float(numbers)
    if len(median):
        dimension = min(dimension, math.log(0.5) / math.log(float(median.median().clamp(1e-3, 1 - 1e-3))))
    small = min(0.2, 0.02 ** (1 / max(dimension, 1)))
    most = 0.0
    for distance in torch.unique(first[first < limit]).tolist():
        within = first <= distance
        count, more = int(within.sum()), int((first <= 4 * distance).sum())
        many = more <= 1.5 * count and stats.binom.sf(count - 1, more, 1 / 4) < 1e-4
        if many and float((first / last.clamp(min=1e-300))[within].median()) < small:
            most = max(most, count / len(first))
    return most


def _coincide(train: Split) -> bool:
    """Return whether examples are often equal by chance: if features were independent, how many pairs would be?"""
    rows = [x.reshape(len(x), -1)[:EXAMPLES].double() for x in leaves(train.inputs)]
    if sum(x.shape[1] for x in rows) > 64:
        return False
    alike = 0.0
    for x in rows:
        for column in x.T:
            share = torch.unique(column, return_counts=True)[1] / len(column)
            alike += math.log(float((share**2).sum()))
    return len(train) * math.exp(alike) > 0.01
