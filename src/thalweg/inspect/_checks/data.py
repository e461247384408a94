"""Checks of the data alone: targets, the range of inputs, and whether the splits are alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from thalweg.inspect._checks.finding import Finding, fine, listed, note, skipped, wrong
from thalweg.inspect._checks.subject import Subject, spread
from thalweg.task import apply
from thalweg.task.reading import WORDS, named

__all__ = ["alike", "inputs", "targets"]


def targets(subject: Subject) -> Finding:
    """Classes: how often each occurs, and in which splits. Quantities: their range."""
    parts = {word: getattr(subject.task, word).targets for word in WORDS}
    train = parts["train"]
    if subject.classes:
        return _classes(subject, parts)
    if not train.is_floating_point():
        return fine(
            f"whole numbers of shape {tuple(train.shape[1:])} an example, {len(torch.unique(train))} different ones"
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


def _classes(subject: Subject, parts: dict[str, Tensor]) -> Finding:
    train = parts["train"]
    known, counts = torch.unique(train, return_counts=True)
    if known.min() < 0:
        return skipped("some classes are below 0, which the loss has to know of")
    many, few = int(counts.max()), int(counts.min())
    each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    said = f"{len(known)} classes, {each} examples of each in train"
    for word in WORDS[1:]:
        strange = [int(c) for c in torch.unique(parts[word]) if c not in known]
        if strange:
            share = float(torch.isin(parts[word], torch.tensor(strange)).double().mean())
            return wrong(
                f"train has no example of class {listed([subject.class_(c) for c in strange])}, and {share:.0%} of "
                f"{word} are of it",
                "Shuffle before splitting, and stratify: give Task data= in place of three splits made by hand.",
            )
    table = np.array([[int((part == c).sum()) for c in known] for part in parts.values()])
    if table.sum(0).min() > 0 and stats.chi2_contingency(table).pvalue < 1e-6:
        shares = table / table.sum(1, keepdims=True)
        worst = int(np.argmax(np.ptp(shares, axis=0)))
        seen = ", ".join(f"{share:.0%} of {word}" for word, share in zip(WORDS, shares[:, worst], strict=True))
        return wrong(
            f"the splits have other shares of the classes: class {subject.class_(int(known[worst]))} is {seen}",
            "Shuffle before splitting, and stratify: give Task data= in place of three splits made by hand.",
        )
    if many > 10 * few and _counts_alike(subject, known):
        return fine(f"{said}, which {subject.task.metric.name} counts alike")
    if many > 10 * few:
        rarest = subject.class_(int(known[counts.argmin()]))
        return note(
            f"{said}: class {rarest} is rare, and always saying the commonest is right for {many / len(train):.0%}",
            _balanced(subject),
        )
    return fine(said)


def _counts_alike(subject: Subject, known: Tensor) -> bool:
    """Return whether always saying one class scores the same, whichever class that is, as it does where all count."""
    task, output = subject.task, subject.output
    if output is None or output.dim() != 2 or output.shape[1] <= int(known.max()):
        return False
    scores = []
    for c in known:
        always = torch.zeros(len(task.train), output.shape[1]).index_fill_(1, c, 1.0)
        scores.append(float(task.metric.outcomes(always, task.train.targets).double().mean()))
    return max(scores) - min(scores) < 0.1 * max(abs(score) for score in scores)


def _balanced(subject: Subject) -> str:
    """Return what to do about rare classes, in a way that there is for such a task."""
    origin = subject.task.origin
    if origin is not None and origin.of_data:
        return "Judge by a metric that counts classes alike: --metric balanced_accuracy."
    return (
        "Judge by a metric that counts classes alike, metric=balanced_accuracy(y), and weight the loss, as "
        "nn.CrossEntropyLoss(weight=...) does."
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
    if task.constant:
        one = len(task.constant) == 1
        return note(
            f"the column{'s' * (not one)} {listed(list(task.constant))} {'has' if one else 'have'} one value in all "
            "of train, and no input is made of it",
            "Take it out of the file, or look at how it is read.",
        )
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
        if math.isnan(typical):
            return wrong(
                f"from {low:.3g} to {high:.3g}, and some of what enters {layer} is NaN",
                "Look at what is done to inputs before it, such as a division by a length or deviation that may be "
                "0.",
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
            if (found := _coded(subject, name, x)) is not None:
                return found
            constant = (x.amax(0) == x.amin(0)).nonzero().flatten().tolist()
            elsewhere = [i for i in constant if not bool((named(task.test)[name][:, i] == x[0, i]).all())]
            if constant:
                has = "has" if len(constant) == 1 else "have"
                what = f"{listed([subject.feature(name, i) for i in constant])} {has} one value in all of train"
                more = (
                    f", and others in test ({listed([subject.feature(name, i) for i in elsewhere])})"
                    if elsewhere
                    else ""
                )
                return note(what + more, "It says nothing; take it out, or look at how it is read.")
    return fine(said)


def _coded(subject: Subject, name: str, x: Tensor) -> Finding | None:
    """Return a note on a number that stands for what is missing, or on one that outweighs all the others."""
    for i, column in enumerate(x.double().T):
        if len(torch.unique(column)) < 5:
            continue
        called = subject.feature(name, i)
        for end in (column.min(), column.max()):
            rest, count = column[column != end], int((column == end).sum())
            away = float((end - rest.mean()).abs() / rest.std(correction=0).clamp(min=1e-12))
            if away > 8 and len(rest) > 20 and count >= max(3, len(column) // 200):
                return note(
                    f"{called} is {float(end):.4g} {count} times, {away:.2g} deviations from the others",
                    "Numbers such as -999 often stand for what is missing: fill it in, and add a feature that "
                    "says so.",
                )
            if away > 50 and len(rest) > 20:
                return note(
                    f"{called} is {float(end):.4g} in one example, {away:.2g} deviations from the others",
                    "Look whether it is a mistake; if not, take its logarithm or cut it off, so that it does "
                    "not rule.",
                )
    return None


def _entering(subject: Subject) -> tuple[str, Tensor] | None:
    """Return the first layer that a forward pass calls, and the root mean square of each feature that enters it."""
    module = subject.model().train()  # where a batch norm comes first, it normalises
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
        apply(module, spread(subject.task.train, 64).inputs)
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
                    f"{subject.feature(name, place)} lies elsewhere in {word}: {float(moved[far]):.2g} deviations "
                    "away",
                    "Look whether it is a time or a number that counts on; shuffle before splitting if order is no "
                    "matter, else expect a worse result than valid says.",
                )
    return fine(f"valid and test lie where train does: half of the features have means within {worst:.2g} deviations")
