"""How far a step goes, whether the learning rate is in its band, and how long data take to come."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from thalweg.inspect._checks.finding import Finding, fine, listed, note, skipped, wrong
from thalweg.inspect._checks.losses import factor
from thalweg.inspect._checks.scales import small
from thalweg.inspect._checks.subject import LONG, Subject, Trained
from thalweg.inspect._range_test import RangeTest, range_test
from thalweg.key import Key

__all__ = ["learning_rate", "loader", "updates"]


def updates(subject: Subject) -> Finding:
    """Gradients, and updates in parts of the weights, layer by layer."""
    trained = subject.trained
    if not np.isfinite(trained.losses).all() or not bool(torch.isfinite(trained.updates).all()):
        if (steep := _steep(trained)) is not None:
            return steep
        return wrong(
            f"within {len(trained.losses)} steps of {subject.recipe.optimizer}, weights or loss are no longer finite",
            "Lower the learning rate, normalise the inputs, and look at the loss for logarithms and divisions by 0.",
        )
    layers = [
        i for i, n in enumerate(trained.names) if len(trained.shapes[n]) > 1 and float(trained.weights[0, i]) > 0
    ]
    if not layers:
        return skipped("no layer has a matrix of weights that is not 0")
    names = [trained.names[i] for i in layers]
    ratios = (trained.updates / trained.weights.clamp(min=1e-30))[:, layers].median(0).values
    slopes = (trained.gradients / trained.weights.clamp(min=1e-30))[:, layers].median(0).values
    low, high = int(ratios.argmin()), int(ratios.argmax())
    said = f"a step changes weights by {float(ratios[low]):.1g} ({names[low]}) to {float(ratios[high]):.1g}"
    said += f" ({names[high]}) of their norm" if low != high else " of their norm"
    first = float((trained.updates / trained.weights.clamp(min=1e-30))[:, layers].max())
    largest = float(ratios.max())
    if first > 0.5:
        return wrong(
            f"{said}, and at first by {first:.1g}; about 0.001 is usual",
            small(subject.model()) or f"Lower the learning rate, which is {subject.rate:g}, or warm up to it.",
        )
    if not bool(trained.gradients[:, layers].any()):
        return wrong(
            f"{said}: the gradient by all of them is exactly 0, and no learning rate changes that",
            "Look at the checks of units, of the loss and of what gets no gradient.",
        )
    if largest < 1e-5:
        return (wrong if largest < 1e-7 else note)(
            f"{said}; about 0.001 is usual",
            f"Take the factor {multiple[1]:.2g} out of the loss."
            if (multiple := factor(subject)) is not None and multiple[1] < 1
            else f"Raise the learning rate, which is {subject.rate:g}.",
        )
    some = slopes[slopes > 0]
    apart = float(some.max() / some.min()) if len(some) else 1.0
    if apart > 1e5:
        least = names[int(slopes.masked_fill(slopes == 0, math.inf).argmin())]
        big = names[int(slopes.argmax())]
        return (wrong if apart > 1e7 else note)(
            f"gradients, in parts of the weights, are {apart:.0e} times as large in {big} as in {least}",
            "They vanish or explode on the way: use an initialisation for the activation (init=he_normal, "
            "orthogonal), "
            "norms, or shortcuts around blocks.",
        )
    decay = float(dict(subject.recipe.optimizer).get("weight_decay", 0.0))
    if decay >= 1 or decay * subject.rate > 0.003:
        return note(
            f"{said}, and a weight decay of {decay:g} pulls them to 0",
            "Lower it, to 0.01 to 0.1 where it is decoupled (adamw), or 0.0005 in a gradient (sgd).",
        )
    if first > 0.2:
        return note(
            f"{said}; about 0.001 is usual", f"A lower rate than {subject.rate:g}, or a warm-up, may be better."
        )
    return fine(said)


def _steep(trained: Trained) -> Finding | None:
    """Return a finding where the loss is not finite from the start, or a gradient is not though the loss still is."""
    for step, loss in enumerate(trained.losses):
        if not math.isfinite(loss) and step == 0:
            return wrong(f"the loss of step 1 is {loss:.3g}", "Look at the checks of inputs, outputs and loss.")
        odd = [
            n for n, g in zip(trained.names, trained.gradients[step].tolist(), strict=True) if not math.isfinite(g)
        ]
        if not math.isfinite(loss):
            return None
        if odd:
            return wrong(
                f"the loss of step {step + 1} is {loss:.3g}, and the gradient by {listed(odd)} is NaN or infinite",
                "Look for a root, norm, logarithm or division where what is in it can be 0: there its slope is "
                "infinite. Add a small number inside, such as torch.sqrt(x + 1e-8).",
            )
    return None


def learning_rate(subject: Subject) -> Finding:
    """The recipe's learning rate against the band of a range test."""
    seconds = subject.trained.seconds
    steps = min(80, int(1.5 * LONG / max(seconds, 1e-6)))
    if steps < 30:
        return skipped(f"a step takes {seconds:.2g} s, too long for a range test within seconds")
    if not math.isfinite(subject.trained.losses[0]):
        return skipped("the loss is not finite before the first step; there is nothing to find")
    found = range_test(subject.task, subject.recipe, steps=steps)
    if len(found.rates) < 3:
        return skipped(f"the range test came to its end at once: {found.ended}")
    mine = subject.rate
    if found.band is None:
        return note(
            f"{mine:g}; the loss does not fall clearly at any rate from {found.rates[0]:.1g} to "
            f"{found.rates[-1]:.1g}",
            "Look at the other checks first; then try thalweg.schedule.range_test with more steps.",
        )
    low, high = found.band
    said = f"{mine:.3g}; in a range test, the loss falls from {low:.2g} to {high:.2g}"
    if _explodes(found, mine):
        return wrong(f"{said}, and rises again before {mine:.2g}", f"Lower it to {high / 3:.1g} or so.")
    if mine < low / 1000:
        return wrong(f"{said}: it hardly learns", f"Raise it, to {math.sqrt(low * high):.1g} or so.")
    if mine < low / 100:
        return note(f"{said}: it learns slowly", f"Raise it, to {math.sqrt(low * high):.1g} or so.")
    if mine > 10 * high:
        return note(f"{said}: it is above", f"Lower it to {high / 3:.1g} or so, or warm up to it.")
    return fine(said)


def _explodes(found: RangeTest, mine: float) -> bool:
    """Return whether, by the rate, the loss is back where it began, or higher."""
    if mine > found.rates[-1]:
        return "all steps" not in found.ended
    bottom = int(np.argmin(found.smoothed))
    there = int(np.searchsorted(found.rates, mine))
    return there > bottom and float(found.smoothed[there]) >= float(found.smoothed[0])


def loader(subject: Subject) -> Finding:
    """How long data take to come, against a step of training."""
    size, seconds = subject.recipe.sizes()[0], subject.trained.seconds
    rows = torch.from_numpy((Key(0) / "loader").permutation(len(subject.task.train))[:size])
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        subject.task.train.at(rows)
        taken.append(time.perf_counter() - started)
    gather, read = float(np.median(taken)), subject.task.seconds_to_read
    examples = sum(len(part) for part in (subject.task.train, subject.task.valid, subject.task.test))
    epoch = seconds * len(subject.task.train) / size
    waiting = read * len(subject.task.train) / examples
    if read > 1 and waiting > epoch:
        return note(
            f"the data set took {read:.3g} s to give {examples:,} examples, once; an epoch of training takes "
            f"{epoch:.2g} s",
            "Studies keep the data in memory and do not wait; a loop with a DataLoader waits "
            f"{waiting / (waiting + epoch):.0%} "
            "of its time: prepare examples once, or use workers.",
        )
    said = f"a batch is there in {1e3 * gather:.2g} ms, and a step takes {1e3 * seconds:.2g} ms"
    if gather > seconds:
        return note(said, "Make examples smaller, such as with uint8 in place of floats, or batches.")
    return fine(said)
