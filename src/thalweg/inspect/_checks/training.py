"""Checks that train a little: a small batch learned by heart, and what is learned of new examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.inspect._checks.finding import Finding, fine, note, skipped, wrong
from thalweg.inspect._checks.losses import value
from thalweg.inspect._checks.relations import DEALT, relation
from thalweg.inspect._checks.subject import LONG, Pass, Subject, clock, spread
from thalweg.key import Key
from thalweg.task import Split, apply
from thalweg.task.reading import leaves
from thalweg.train.epochs import batches

__all__ = ["overfit", "signal"]

RATES = ((1e-2, 200), (1e-1, 100), (1e-3, 400))
"""Learning rates of Adam that are tried, and steps."""

ENOUGH = 40
"""Steps in which something must be learned; where there is no time for them, nothing is said."""

FEW = 10
"""Examples of other classes than the commonest that it takes to see whether targets go with inputs."""

SEEN = 0.09
"""Examples are enough to call it a mistake where an area under the curve so far above a half would be seen."""


def overfit(subject: Subject) -> Finding:
    """Whether the model can learn a few examples by heart."""
    few = _few(subject)
    floor = _floor(subject, few)
    started, best, first, steps = clock(), math.inf, math.nan, 0
    for lr, count in RATES:
        if steps and clock() - started > LONG:
            break
        module = subject.model().train()
        one = Pass(subject, module, few)
        trained = [p for p in module.parameters() if p.requires_grad]
        optimizer = _adam(trained, lr)
        begun, loss = one()
        first = float(loss.detach())
        if floor > first:
            floor = 0.0
        enough = floor + 0.05 * (first - floor)
        if not math.isfinite(floor):  # the loss has no lowest value
            enough = 0.05 * first if first > 0 else first - abs(first) - 0.5
        for _ in range(count):
            optimizer.zero_grad()
            output, loss = one()
            steps += 1
            now = float(loss.detach())
            if not math.isfinite(now):
                break
            best = min(best, now)
            if now < enough:
                return _learned(subject, few, begun, output, first, now, steps)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if clock() - started > LONG:
                break
    if clock() - started > LONG and steps < ENOUGH:
        return skipped(f"a step takes {(clock() - started) / steps:.2g} s, too long to learn anything in seconds")
    if not math.isfinite(floor):
        floor = min(0.0, first - abs(first) - 0.5)
    left = (best - floor) / (first - floor) if first > floor else 1.0
    said = f"of {len(few)} examples, the loss went from {first:.3g} to {best:.3g} in {steps} steps"
    said += f"; the outputs that are best for it give {floor:.3g}" if floor > 1e-3 else ", and not to 0"
    if left < 0.5 or (clock() - started > LONG and left < 0.9):
        return note(said, "The model may be too small for it or slow to train; look at the checks around this one.")
    return wrong(
        said,
        "What cannot learn a few examples by heart learns nothing: look for a cut gradient, dead units, an "
        "activation "
        "behind the last layer, or targets that do not go with inputs.",
    )


def _few(subject: Subject) -> Split:
    """Return examples, as many as the model has weights enough for; different ones, of different targets."""
    output = subject.output
    numbers = max(1, output[0].numel()) if output is not None else 16
    weights = sum(p.numel() for p in subject.model().parameters() if p.requires_grad)
    count = min(16, max(2, weights // (4 * numbers)))
    part = spread(subject.task.train, 256)
    rows: list[int] = []
    inputs = [x.reshape(len(x), -1) for x in leaves(part.inputs)]
    targets = part.targets.reshape(len(part), -1)
    for fresh in (True, False):  # first one of each target
        for i in range(len(part)):
            known = [all(torch.equal(x[i], x[j]) for x in inputs) for j in rows]
            same = [torch.equal(targets[i], targets[j]) for j in rows]
            if len(rows) < count and not any(known) and not (fresh and any(same)):
                rows.append(i)
    return part.at(torch.tensor(rows or [0]))


def _adam(trained: Sequence[Tensor], lr: float) -> torch.optim.Optimizer:
    """Return torch's Adam, which also takes sparse gradients, as embeddings have them."""

    def densify(*_: Any) -> None:
        for p in trained:
            p.grad = None if p.grad is None else p.grad.to_dense()

    optimizer = torch.optim.Adam(trained, lr)
    optimizer.register_step_pre_hook(densify)
    return optimizer


def _floor(subject: Subject, few: Split) -> float:
    """Return the least loss that any outputs have, whatever model gives them; -inf where there is none."""
    output = Pass(subject, subject.model().train(), few).output()
    if not (isinstance(output, Tensor) and output.is_floating_point()):
        return 0.0
    free = output.detach().double().requires_grad_()
    targets = few.targets.double() if few.targets.is_floating_point() else few.targets
    optimizer = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        with torch.enable_grad(), (Key(0) / "floor").seeded():
            loss = subject.loss(free, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    try:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        found = value(subject, free.detach(), targets)
    except Exception:
        return 0.0
    return (found if found > -1e3 else -math.inf) if math.isfinite(found) else 0.0


def _learned(subject: Subject, few: Split, begun: Any, output: Any, first: float, now: float, steps: int) -> Finding:
    said = f"{len(few)} examples are learned by heart: loss {first:.3g} to {now:.3g} in {steps} steps"
    metric = subject.task.metric
    with torch.no_grad():
        before, after = (float(metric.outcomes(x, few.targets).double().mean()) for x in (begun, output))
        others = [-output, output.roll(1, 0), output * 0] if isinstance(output, Tensor) else []
        seen = torch.cat([metric.outcomes(x, few.targets).double().reshape(-1) for x in (begun, output, *others)])
    if others and bool((seen == seen[0]).all()):
        return note(
            f"{said}, and {metric.name} is {before:.3g} whatever the outputs are",
            "Look whether the metric uses the outputs: recipes are judged by it.",
        )
    better = (after - before) * (1 if metric.higher_is_better else -1)
    if math.isfinite(better) and better < -1e-6 * max(abs(before), abs(after)):
        word = "higher" if metric.higher_is_better else "lower"
        return wrong(
            f"{said}, and {metric.name} went from {before:.3g} to {after:.3g}, where {word} counts as better",
            "Turn higher_is_better of the metric around, or the sign of the loss if that is the wrong one; or look "
            "whether the metric takes the output as the loss does.",
        )
    return fine(said)


def signal(subject: Subject) -> Finding:
    """Whether what is learned from train holds of new examples: do targets go with their inputs?"""
    task = subject.task
    if len(task.valid) < 20 or len(task.train) < 50:
        return skipped("it takes 50 examples in train and 20 in valid")
    count = len(task.valid)
    if subject.output is not None:
        count = max(20, min(count, 1024, 400_000 // max(1, subject.output[0].numel())))
    some = subject.some(task.valid, count)
    if bool((some.targets == some.targets[:1]).all()):
        return skipped("all targets of valid are the same")
    margins = []
    for lr in (3e-3, 3e-4, 3e-2):
        found = _margin(subject, some, lr)
        if found is None:
            return skipped("the loss cannot be taken of the outputs of another batch")
        margins.append(found)
        if found[0] > 3:
            return fine(_course(found))
    best = max(margins)
    if math.isnan(best[1]):
        return skipped("in training for it, the loss becomes NaN or infinite")
    if best[3] < ENOUGH:
        return skipped(f"{best[3]} steps are all that seconds are enough for, and nothing was learned in them")
    said = _course(best)
    rest = min(_apart_from_commonest(part.targets) for part in (task.train, some)) if subject.classes else FEW
    if rest < FEW:
        return skipped(
            f"{said}; no more than {rest} of the examples are of another class than the commonest, too few to tell"
        )
    remedy = (
        "Look at a few examples with their targets: were inputs and targets shuffled or sorted apart, or joined by a "
        "wrong key?"
    )
    other = relation(subject)
    if other is None:
        return note(
            f"{said}: no relation was found", f"{remedy} If not, it takes longer to learn than this check has."
        )
    if other.train > 3 and other.train * other.share - other.valid > 5:
        return wrong(f"{said}: what trees and a linear model find in train does not hold of valid", remedy)
    if other.both > 3 and best[0] > 1.6:
        return fine(f"{said}; trees and a linear model find a relation, too")
    if other.both > 3:
        return note(
            f"{said}; trees and a linear model find a relation",
            "The data are in order. In so few steps the model learns little of them that holds of new examples: it "
            "may need longer, another learning rate, or fewer weights.",
        )
    if other.least > SEEN:
        return note(
            f"{said}; trees and a linear model find no relation either, and a weak one would not be seen in so few "
            "examples",
            remedy,
        )
    return wrong(f"{said}, and trees and a linear model find no relation of inputs and targets either", remedy)


def _course(found: tuple[float, float, float, int]) -> str:
    _, loss, dealt, steps = found
    return f"after {steps} steps, valid's loss is {loss:.3g}, and {dealt:.3g} where its targets are shuffled"


def _apart_from_commonest(classes: Tensor) -> int:
    return len(classes) - int(torch.unique(classes, return_counts=True)[1].max())


def _margin(subject: Subject, some: Split, lr: float) -> tuple[float, float, float, int] | None:
    """Train; return by how many deviations the loss of some examples is below that of shuffled targets."""
    task, module = subject.task, subject.model().train()
    optimizer = _adam([p for p in module.parameters() if p.requires_grad], lr)
    order = torch.from_numpy((Key(0) / "signal").permutation(len(task.train)))
    size, steps, started = min(64, len(order)), 0, clock()
    cuts = [cut for cut in batches(len(order), size) if cut.stop - cut.start > 1]
    for step in range(120):
        optimizer.zero_grad()
        part = task.train.at(order[cuts[step % len(cuts)]])
        loss = subject.loss(apply(module, part.inputs), part.targets)
        if not bool(torch.isfinite(loss.detach())):
            return -math.inf, math.nan, math.nan, steps
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        steps += 1
        if clock() - started > LONG / 2:
            break
    with torch.no_grad():
        output = Pass(subject, module.eval(), some).output()
    if not isinstance(output, Tensor):
        return None
    key = Key(0) / "dealt"
    mine = value(subject, output, some.targets)
    dealt = [
        value(subject, output, some.targets[torch.from_numpy((key / i).permutation(len(some)))]) for i in range(DEALT)
    ]
    if not np.isfinite([mine, *dealt]).all():
        return None
    deviation = float(np.std(dealt))
    margin = (float(np.mean(dealt)) - mine) / deviation if deviation > 0 else 0.0
    return margin, mine, float(np.mean(dealt)), steps
