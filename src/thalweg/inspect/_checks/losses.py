"""Checks of outputs and loss before the first step: its theoretical value, and whether the two fit together."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from thalweg.inspect._checks.finding import Finding, fine, note, skipped, wrong
from thalweg.inspect._checks.scales import large
from thalweg.inspect._checks.subject import LONG, Pass, Subject, clock, spread
from thalweg.key import Key
from thalweg.task.reading import are_classes

__all__ = ["factor", "loss", "outputs", "start"]

UNKNOWN = "the output is no single tensor of numbers with fractions"

NUMBERS = (
    "Look in the forward pass and in the loss for a division by 0, and for the logarithm or root of what may be 0 or "
    "less; then at the inputs of such examples."
)


def value(subject: Subject, output: Tensor, targets: Tensor) -> float:
    """Return the loss of an output; NaN where it cannot be taken."""
    try:
        with torch.no_grad(), (Key(0) / "loss").seeded():
            return float(subject.loss(output, targets))
    except Exception:
        return math.nan


def class_axis(subject: Subject) -> int | None:
    """Return the axis of the output over which classes lie; None where targets are no classes."""
    output, targets = subject.output, subject.batch.targets
    if output is None or targets.is_floating_point():
        return None
    shape = tuple(output.shape)
    for axis in (1, len(shape) - 1):
        if len(shape) > 1 and (*shape[:axis], *shape[axis + 1 :]) == tuple(targets.shape) and shape[axis] > 1:
            return axis
    return None


def is_cross_entropy(subject: Subject) -> bool:
    """Return whether the loss takes scores of classes: it is ln C of zeros, and of scores that are all as large."""
    output, axis = subject.output, class_axis(subject)
    if output is None or axis is None:
        return False
    expected = math.log(output.shape[axis])
    return all(
        math.isclose(value(subject, torch.full_like(output, x), subject.batch.targets), expected, rel_tol=1e-3)
        for x in (0.0, 3.0)
    )


def is_binary_entropy(subject: Subject) -> bool:
    """Return whether the loss takes scores of yes and no: it is ln 2 of zeros."""
    output, targets = subject.output, subject.batch.targets
    if output is None or output.numel() != targets.numel() or not bool(((targets >= 0) & (targets <= 1)).all()):
        return False
    at_zero, far = (value(subject, torch.full_like(output, x), targets) for x in (0.0, 30.0))
    return math.isclose(at_zero, math.log(2), rel_tol=1e-3) and far > 1


def start(subject: Subject) -> Finding:
    """The loss before the first step, against that of a model that knows nothing."""
    output, targets, first = subject.output, subject.batch.targets, float(subject.first[1])
    if not math.isfinite(first):
        return wrong(f"{first:.3g}, before the first step", NUMBERS)
    if output is None:
        return skipped(UNKNOWN)
    axis = class_axis(subject)
    if is_cross_entropy(subject) and axis is not None:
        count = output.shape[axis]
        return _judged(subject, first, math.log(count), f"ln {count} = {math.log(count):.3g}")
    if is_binary_entropy(subject):
        return _judged(subject, first, math.log(2), "ln 2 = 0.693")
    if targets.is_floating_point() and output.numel() == targets.numel():
        mean = targets.mean(0, keepdim=True).expand(targets.shape).reshape(output.shape).to(output.dtype)
        best = value(subject, mean, targets)
        if math.isfinite(best) and best > 0:
            said = f"{first:.3g}; always saying the targets' mean gives {best:.3g}"
            if first > 5 * best:
                return (wrong if first > 30 * best else note)(
                    said,
                    large(subject.model())
                    or "The first steps go into finding the mean: scale targets to mean 0 and deviation 1, and "
                    "begin with "
                    "small weights in the last layer.",
                )
            return fine(said)
    nothing = value(subject, torch.zeros_like(output), targets)
    if not math.isfinite(nothing):
        return skipped(f"{first:.3g}; no value is known that this loss begins with")
    return fine(f"{first:.3g}; an output of zeros gives {nothing:.3g}")


def _judged(subject: Subject, first: float, expected: float, name: str) -> Finding:
    said = f"{first:.3g}; a model that knows nothing has {name}"
    remedy = "The model begins sure of what it cannot know, and the first steps go into unlearning it. "
    remedy += large(subject.model()) or (
        "Begin with smaller weights in the last layer, such as a deviation of 0.02, and a bias of 0; normalise the "
        "inputs if they are large."
    )
    if first > 2 * expected + 0.5:
        return wrong(said, remedy)
    if first > 1.3 * expected + 0.3:
        return note(said, remedy)
    return fine(said if first > 0.5 * expected else f"{said}: it begins with what it knows, as if trained before")


def outputs(subject: Subject) -> Finding:
    """Whether the output is what the loss takes: scores, log-probabilities, and as many as there are classes."""
    output, targets, axis = subject.output, subject.batch.targets, class_axis(subject)
    if output is None:
        return skipped(UNKNOWN)
    odd = ~output.isfinite().reshape(len(output), -1).all(1)
    if odd.any():
        return wrong(
            f"those of {int(odd.sum())} of {len(output)} examples are NaN or infinite before the first step", NUMBERS
        )
    scores = is_cross_entropy(subject)
    if axis is not None:
        sums = output.double().exp().sum(axis)
        logs = bool(torch.allclose(sums, torch.ones_like(sums), rtol=1e-3))
        shares = bool((output >= 0).all()) and bool(
            torch.allclose(output.double().sum(axis), sums * 0 + 1, rtol=1e-3)
        )
        if shares and scores:
            return wrong(
                "outputs are probabilities that sum to 1, and the loss takes scores, of which it makes probabilities",
                "Take the softmax out of the model; cross entropy has one, and gradients fade behind two.",
            )
        shifted = value(subject, output + 1, targets) - value(subject, output, targets)
        if not scores and math.isclose(shifted, -1, rel_tol=1e-3) and not logs:
            what = "probabilities" if shares else "scores"
            return wrong(
                f"outputs are {what}, and the loss takes log-probabilities: it has no lowest value",
                "Use cross_entropy in place of nll_loss, or end the model with log_softmax.",
            )
    if subject.classes and axis == 1 and output.dim() == 2:
        unused = output.shape[1] - len(torch.unique(subject.task.train.targets))
        if unused > 0:
            return (wrong if 2 * unused > output.shape[1] else note)(
                f"{output.shape[1]} outputs, of which {unused} stand for no class in train",
                "Give the last layer one output a class, and count classes from 0.",
            )
    low, high = _range(subject)
    wants = "scores without bounds" if scores or is_binary_entropy(subject) else ""
    if wants and high - low > 0.1 and low >= -1.001 and high <= 1.001:
        return wrong(
            f"outputs stay between {round(low) + 0:g} and {round(high):g} whatever the weights, and the loss "
            f"takes {wants}",
            "Take the sigmoid or tanh out of the model's end; the loss has one, and gradients fade behind two.",
        )
    if not wants and targets.is_floating_point() and output.numel() == targets.numel() and high > low:
        beyond = 0.05 * min(high - low, 1.0)  # the largest weights tried need not reach a bound
        outside = float(((targets < min(low, 0) - beyond) | (targets > max(high, 0) + beyond)).double().mean())
        if outside > 0.1 and (low >= -1e-6 or high <= 1.001):
            ends = f"at or above {max(low, 0):g}" if high > 1.001 else f"between {low:.3g} and {high:.3g}"
            return wrong(
                f"outputs stay {ends} whatever the weights, and {outside:.0%} of targets do not",
                "Take the activation behind the last layer out, or scale the targets into its range.",
            )
    if wants and high > low >= 0 and float((output == 0).double().mean()) > 0.05:
        return wrong(
            f"outputs are never below 0, and {float((output == 0).double().mean()):.0%} are 0 exactly: an activation "
            "follows the last layer",
            "Take the ReLU behind the last layer out; where it gives 0, nothing is learned.",
        )
    shape = " × ".join(map(str, output.shape[1:])) or "one number"
    return fine(f"{shape} an example, as the loss takes them")


def _range(subject: Subject) -> tuple[float, float]:
    """Return the least and the greatest output with large weights of any sign: what an activation holds stays so."""
    low = high = math.nan
    for size in (30.0, 3e3, 3e5):
        low, high = _reached(subject, size)
        if high - low > 0.1:  # else weights are so small that they tell nothing of bounds
            break
    return low, high


def _reached(subject: Subject, size: float) -> tuple[float, float]:
    signs = (Key(0) / "signs").generator()
    few = spread(subject.batch, 16)
    low, high, started = math.inf, -math.inf, clock()
    for _ in range(8):
        if clock() - started > LONG:
            return -math.inf, math.inf
        module = subject.model().train()
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(size * float(signs.choice([-1, 1])))
            output = Pass(subject, module, few).output().detach()
        if not bool(torch.isfinite(output).all()):
            return -math.inf, math.inf
        low, high = min(low, float(output.min())), max(high, float(output.max()))
        if low < -1.001 and high > 1.001:
            break
    return low, high


def loss(subject: Subject) -> Finding:
    """Whether the loss is a mean over the batch, and depends on the targets."""
    output, targets = subject.output, subject.batch.targets
    if output is None:
        return skipped(UNKNOWN)
    once = value(subject, output, targets)
    twice = value(subject, torch.cat([output, output]), torch.cat([targets, targets]))
    half = len(targets) // 2
    if not (math.isfinite(once) and math.isfinite(twice)):
        return skipped("it cannot be taken of the batch twice over")
    if abs(once) > 1e-9 and math.isclose(twice, 2 * once, rel_tol=0.02) and half:
        return wrong(
            "it grows with the batch: of the same examples twice, it is twice as large; a sum, not a mean",
            'Take reduction="mean": with a sum, the learning rate means something else at each batch size.',
        )
    drawn = _drawn(output)
    mine, *others = (value(subject, drawn, targets.roll(k, 0)) for k in (0, 1, 3, max(half, 1)))
    varied = bool((targets[1:] != targets[:1]).any())
    if varied and all(math.isclose(x, mine, rel_tol=1e-7, abs_tol=1e-12) for x in others):
        return wrong(
            "it is the same whichever target goes with which output",
            "Compute it from output and targets example by example; look for a mean over the batch taken too early.",
        )
    if _upside_down(subject, output):
        return wrong(
            "it is lower for outputs that say the contrary of the targets than for outputs that say the targets",
            "Turn its sign around: training minimises it, and with this one it makes the model worse without bound.",
        )
    if (multiple := factor(subject)) is not None:
        size = "smaller" if multiple[1] < 1 else "larger"
        return note(
            f"it is {multiple[0]} times {multiple[1]:.2g}, and gradients are as much {size}",
            "Take the factor out; else learning rates, gradient clipping and adam's eps mean something else here.",
        )
    steady = math.isclose(twice, once, rel_tol=0.02, abs_tol=1e-9)
    if not steady:
        return fine(f"of the same examples twice, {twice:.4g} in place of {once:.4g}: it looks at a batch as a whole")
    kind = "classes" if are_classes(targets) else "targets"
    return fine(f"a mean over the batch that depends on the {kind}")


def _drawn(output: Tensor) -> Tensor:
    noise = (Key(0) / "outputs").generator().standard_normal(tuple(output.shape))
    return output + torch.from_numpy(noise).to(output)


def _upside_down(subject: Subject, output: Tensor) -> bool:
    """Return whether the loss prefers what contradicts the targets."""
    targets, axis = subject.batch.targets, class_axis(subject)
    if axis is not None:
        count = output.shape[axis]
        if int(targets.max()) >= count:
            return False
        one = nn.functional.one_hot(targets.clamp(min=0), count).movedim(-1, axis).to(output)
        # Both are scores and probabilities.
        right, wrong = (value(subject, 0.8 * x + 0.2 / count, targets) for x in (one, (1 - one) / (count - 1)))
        return right > wrong + 1e-3 * abs(wrong)
    if output.numel() != targets.numel() or not targets.is_floating_point():
        return False
    same = targets.reshape(output.shape).to(output)
    if bool(((same == 0) | (same == 1)).all()):
        right, wrong = (value(subject, 0.1 + 0.8 * x, targets) for x in (same, 1 - same))
        return right > wrong + 1e-3 * abs(wrong)
    # Of what is convex, no noise makes the mean of both signs lower.
    noise = torch.from_numpy((Key(0) / "away").generator().standard_normal(tuple(output.shape))).to(output)
    noise = noise * float(same.std(correction=0))
    right = value(subject, same, targets)
    away = [
        (value(subject, same + size * noise, targets) + value(subject, same - size * noise, targets)) / 2
        for size in (0.1, 1.0, 10.0)
    ]
    return away[2] < away[1] < away[0] < right and away[2] < 0


def factor(subject: Subject) -> tuple[str, float] | None:
    """Return which usual loss it is a multiple of, and by how much, where that is far from 1."""
    output, targets, axis = subject.output, subject.batch.targets, class_axis(subject)
    if output is None:
        return None
    drawn = _drawn(output)
    usual: Callable[[Tensor], Tensor]
    if axis is not None:
        name, usual = "cross entropy", lambda x: nn.functional.cross_entropy(x.movedim(axis, 1), targets)
    elif targets.is_floating_point() and drawn.numel() == targets.numel():
        name, usual = "the squared error", lambda x: (x - targets.reshape(x.shape)).square().mean()
    else:
        return None
    outputs = (drawn, 2 * drawn, 1 - drawn)
    found = [value(subject, x, targets) / max(float(usual(x)), 1e-12) for x in outputs]
    steady = all(math.isclose(x, found[0], rel_tol=1e-3) for x in found)
    return (name, found[0]) if steady and found[0] > 0 and not 0.01 < found[0] < 100 else None
