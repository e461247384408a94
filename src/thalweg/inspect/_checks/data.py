"""Checks of the data alone: targets, copies across splits, leakage, and the range of inputs."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from thalweg.inspect._checks.finding import Finding, fine, listed, note, skipped, wrong
from thalweg.inspect._checks.subject import Subject, spread
from thalweg.task import Split, apply
from thalweg.task.reading import WORDS, leaves, named

__all__ = ["alike", "duplicates", "inputs", "leakage", "targets"]

EXAMPLES, FEATURES = 2000, 4096
"""How many of them leakage is looked for in, at most."""


def targets(subject: Subject) -> Finding:
    """Classes: how often each occurs, and in which splits. Quantities: their range."""
    parts = {word: getattr(subject.task, word).targets for word in WORDS}
    train = parts["train"]
    if subject.classes:
        return _classes(parts)
    if not train.is_floating_point():
        return fine(
            f"whole numbers of shape {tuple(train.shape[1:])} an example, {len(train.unique())} different ones"
        )
    numbers = train.double().reshape(len(train), -1)
    mean, deviation = float(numbers.mean()), float(numbers.std(correction=0))
    said = f"quantities, mean {mean:.3g} and deviation {deviation:.3g} in train"
    if deviation == 0:
        return wrong(f"every target of train is {mean:.3g}", "There is nothing to learn; look at how they are read.")
    if max(abs(mean), deviation) > 30 or deviation < 0.01:
        return (wrong if max(abs(mean), deviation) > 1000 else note)(
            f"{said}: far from what a model gives before it is trained",
            "Give targets mean 0 and deviation 1 by those of train alone, and undo it in the metric.",
        )
    return fine(said)


def _classes(parts: dict[str, Tensor]) -> Finding:
    train = parts["train"]
    known, counts = train.unique(return_counts=True)
    if known.min() < 0:
        return skipped("some classes are below 0, which the loss has to know of")
    many, few = int(counts.max()), int(counts.min())
    said = f"{len(known)} classes, {few:,} to {many:,} examples of each in train"
    for word in WORDS[1:]:
        strange = [int(c) for c in parts[word].unique() if c not in known]
        if strange:
            share = float(torch.isin(parts[word], torch.tensor(strange)).double().mean())
            return wrong(
                f"train has no example of class {listed(list(map(str, strange)))}, and {share:.0%} of {word} "
                "are of it",
                "Shuffle before splitting, and stratify: give Task data= in place of three splits made by hand.",
            )
    table = np.array([[int((part == c).sum()) for c in known] for part in parts.values()])
    if table.sum(0).min() > 0 and stats.chi2_contingency(table).pvalue < 1e-6:
        shares = table / table.sum(1, keepdims=True)
        worst = int(np.argmax(np.ptp(shares, axis=0)))
        seen = ", ".join(f"{share:.0%} of {word}" for word, share in zip(WORDS, shares[:, worst], strict=True))
        return wrong(
            f"the splits have other shares of the classes: class {int(known[worst])} is {seen}",
            "Shuffle before splitting, and stratify: give Task data= in place of three splits made by hand.",
        )
    if many > 10 * few:
        rarest = int(known[counts.argmin()])
        return note(
            f"{said}: class {rarest} is rare, and always saying the commonest is right for {many / len(train):.0%}",
            "Judge by a metric that counts classes alike, such as balanced accuracy, and weight the loss or "
            "draw rare "
            "classes more often.",
        )
    return fine(said)


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
    if not total:
        return fine(f"none of {count:,} examples of valid and test is in train too")
    most = max(found[word] / len(shares[word]) for word in found)
    between = "" if not again else f"; train itself has {again:,} copies"
    remedy = (
        "What a model has seen says nothing of new examples: drop copies before splitting, and split by person, "
        "document or session where several examples come from one."
    )
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


def _coincide(train: Split) -> bool:
    """Return whether examples are often equal by chance: if features were independent, how many pairs would be?"""
    rows = [x.reshape(len(x), -1)[:EXAMPLES].double() for x in leaves(train.inputs)]
    if sum(x.shape[1] for x in rows) > 64:
        return False
    alike = 0.0
    for x in rows:
        for column in x.T:
            share = column.unique(return_counts=True)[1] / len(column)
            alike += math.log(float((share**2).sum()))
    return len(train) * math.exp(alike) > 0.01


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


def inputs(subject: Subject) -> Finding:
    """The range of what enters the first layer, and features that say nothing."""
    task = subject.task
    numbers = [(name, x) for name, x in list(named(task.train).items())[:-1] if x.is_floating_point()]
    if not numbers:
        return fine("whole numbers, which an embedding takes as they are")
    for name, x in numbers:
        if float(x.max()) == float(x.min()):
            return wrong(f"{name} are {float(x.max()):.3g} in all of train", "Look at how they are read.")
    entering = _entering(subject)
    if entering is not None:
        layer, sizes = entering
        worst = float(sizes.max())
        typical = float(sizes.square().mean().sqrt())
        low, high = min(float(x.min()) for _, x in numbers), max(float(x.max()) for _, x in numbers)
        said = f"from {low:.3g} to {high:.3g}, and what enters {layer} has a root mean square of {typical:.3g}"
        remedy = (
            "Give each feature or channel mean 0 and deviation 1 by train alone: standardize=True in Task, or divide "
            "pictures by 255 and take their mean away."
        )
        if worst > 20:
            return wrong(f"{said}, {worst:.3g} in its largest feature: not normalised", remedy)
        if worst > 8:
            return note(f"{said}, {worst:.3g} in its largest feature", remedy)
        if typical < 0.02:
            return wrong(f"{said}: too small to tell the examples apart", remedy)
    else:
        said = f"{len(numbers)} tensors of numbers with fractions"
    for name, x in numbers:
        if x.dim() == 2:
            constant = (x.amax(0) == x.amin(0)).nonzero().flatten().tolist()
            elsewhere = [i for i in constant if not bool((named(task.test)[name][:, i] == x[0, i]).all())]
            if constant:
                what = f"{name}: feature {listed(list(map(str, constant)))} has one value in all of train"
                more = f", and others in test ({listed(list(map(str, elsewhere)))})" if elsewhere else ""
                return note(what + more, "It says nothing; take it out, or look at how it is read.")
    return fine(said)


def _entering(subject: Subject) -> tuple[str, Tensor] | None:
    """Return the first layer that a forward pass calls, and the root mean square of each feature that enters it."""
    module = subject.model().eval()
    seen: list[tuple[str, Tensor]] = []

    def noted(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...]) -> None:
            x = args[0] if args else None
            if not seen and isinstance(x, Tensor) and x.is_floating_point() and x.dim() > 1:
                axis = 1 if isinstance(layer, _ConvNd) else x.dim() - 1
                axes = [i for i in range(x.dim()) if i != axis]
                seen.append((name or "the model", x.detach().double().square().mean(axes).sqrt()))

        return hook

    kinds = (nn.Linear, _ConvNd, nn.RNNBase, nn.MultiheadAttention)
    for name, layer in module.named_modules():
        if isinstance(layer, kinds):
            layer.register_forward_pre_hook(noted(name))
    with torch.no_grad():
        apply(module, spread(subject.task.train, 256).inputs)
    return seen[0] if seen else None


def alike(subject: Subject) -> Finding:
    """Whether the inputs of valid and test lie where those of train do."""
    task = subject.task
    tensors = [(name, x) for name, x in list(named(task.train).items())[:-1] if x.is_floating_point()]
    if not tensors:
        return skipped("inputs are whole numbers, whose size says nothing")
    worst = 0.0
    for name, x in tensors:
        # By feature, or by channel: the first axis behind the examples.
        rows = x.reshape(len(x), x.shape[1] if x.dim() > 1 else 1, -1).double()
        mean, deviation = rows.mean((0, 2)), rows.std((0, 2), correction=0)
        there = deviation > 0
        if not there.any():
            continue
        for word in WORDS[1:]:
            other = named(getattr(task, word))[name]
            other = other.reshape(len(other), rows.shape[1], -1).double()
            if len(other) < 10:
                continue
            moved = ((other.mean((0, 2)) - mean) / deviation)[there].abs()
            wider = (other.std((0, 2), correction=0) / deviation)[there]
            middle, wide = float(moved.median()), float(wider.median())
            worst = max(worst, middle)
            if middle > 1 or not 0.4 < wide < 2.5:
                return wrong(
                    f"{name} of {word} lie elsewhere than in train: their mean {middle:.2g} deviations away, their "
                    f"deviation {wide:.2g} times as large",
                    "Scale all splits by the mean and deviation of train, and shuffle before splitting.",
                )
            far = int(moved.argmax())
            if float(moved[far]) > 2 and len(other) >= 30:
                place = int(there.nonzero()[far])
                return note(
                    f"{name}, feature {place}, lies elsewhere in {word}: {float(moved[far]):.2g} deviations away",
                    "Look whether it is a time or a number that counts on; shuffle before splitting if order is no "
                    "matter, else expect a worse result than valid says.",
                )
    return fine(f"valid and test lie where train does: {worst:.2g} deviations between the means of a median feature")
