"""What test knows of train: copies across splits."""

from __future__ import annotations

import math

import numpy as np
import torch

from thalweg.inspect._checks.finding import Finding, fine, note, wrong
from thalweg.inspect._checks.subject import Subject, numbers_in, spread
from thalweg.task import Split
from thalweg.task.reading import WORDS, leaves

__all__ = ["duplicates"]

EXAMPLES, FEATURES = 2000, 4096
"""How many of them near copies are looked for in, at most."""


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
    """Return the share of test that lies close to an example of train, by how far those of train lie apart."""
    if any(not x.is_floating_point() for x in leaves(train.inputs)) or numbers_in(train) > FEATURES:
        return 0.0
    parts = [spread(part, EXAMPLES // 2) for part in (train, test)]
    one, other = (torch.cat([x.reshape(len(x), -1) for x in leaves(part.inputs)], 1).double() for part in parts)
    if one.shape[1] < 4 or len(one) < 20:
        return 0.0
    # Of train, all: a copy may be of any example.
    every = torch.cat([x.reshape(len(x), -1) for x in leaves(train.inputs)], 1).double()[: 10 * EXAMPLES]
    deviation = every.std(0, correction=0)
    deviation = deviation.clamp(min=max(0.1 * float(deviation.square().mean().sqrt()), 1e-12))
    apart = torch.cdist(one / deviation, one / deviation)
    usual = apart.fill_diagonal_(math.inf).amin(1).quantile(0.75)  # where many have a copy, of those without
    nearest = torch.cdist(other / deviation, every / deviation).amin(1)
    return float((nearest < 0.1 * usual).double().mean())


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
