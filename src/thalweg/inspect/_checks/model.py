"""Checks of the model alone: gradients against differences, examples apart, modes, parameters without a gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from thalweg.errors import InputError
from thalweg.inspect._checks.finding import Finding, fine, listed, note, skipped, wrong
from thalweg.inspect._checks.scales import small
from thalweg.inspect._checks.subject import LONG, Pass, Subject, clock, difference, doubled, outputs_of, spread
from thalweg.key import Key
from thalweg.task import Split
from thalweg.task.reading import each, first_line, leaves, named

__all__ = ["batch_independence", "causality", "gradient_check", "inputs_used", "without_gradient"]

PARAMETERS = 24
"""Tensors, at most, whose gradient is compared."""

SAME = 1e-4
"""Outputs that differ by less, in parts of the largest, are the same but for rounding."""


def gradient_check(subject: Subject) -> Finding:
    """The gradient against finite differences, in float64."""
    module = _moved(subject.model().train().double())
    one = Pass(subject, module, doubled(spread(subject.task.train, 4)))
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    try:
        with _Detaching() as mode:
            _, loss = one()
        gradients = torch.autograd.grad(loss, [p for _, p in trained], allow_unused=True)
    except Exception as error:
        return skipped(f"the model does not run in float64: {first_line(error)}")
    if one.value() != float(loss.detach()):
        return skipped("two passes with the same weights and random numbers differ")
    pairs = [(name, p, g) for (name, p), g in zip(trained, gradients, strict=True) if g is not None]
    chosen = [pairs[i] for i in torch.linspace(0, len(pairs) - 1, min(PARAMETERS, len(pairs))).long().tolist()]
    chosen = [chosen[i] for i in (Key(0) / "chosen").permutation(len(chosen))]  # where time ends early
    worst = 0.0
    bad: list[str] = []
    steps: list[str] = []
    started, done = clock(), 0
    for name, p, g in chosen:
        if done and clock() - started > LONG:
            break
        done += 1
        apart, flat = _error(one, p, g, Key(0) / "direction" / name)
        if apart > 1e-3:
            (steps if flat else bad).append(name)
        else:
            worst = max(worst, apart)
    if bad and mode.detached:
        return note(
            f"the gradient by {listed(bad)} is not the loss's slope there: the forward pass detaches something",
            "Meant where a gradient is passed straight through, or stopped; else take detach() out.",
        )
    if bad:
        return wrong(
            f"the gradient by {listed(bad)} is not the loss's slope there, by finite differences in float64",
            "Look for a backward of your own that does not fit its forward, a detach() or .data on the way, or "
            "numbers changed in place; torch.autograd.gradcheck tests a function alone.",
        )
    if steps:
        return note(
            f"the loss does not change with {listed(steps)}, and a gradient is given all the same",
            "Meant where a step function passes its gradient straight through; else look at what rounds in forward.",
        )
    return fine(
        f"as finite differences of the loss: {done} of {len(pairs)} tensors, by {worst:.0e} at most, in float64"
    )


@torch.no_grad()
def _moved(module: nn.Module) -> nn.Module:
    """Move weights a little: where they begin, at 0, many a ReLU stands at its kink, which has no slope."""
    generator = (Key(0) / "moved").generator()
    for p in module.parameters():
        size = 0.01 * float(p.square().mean().sqrt()) + 0.001
        p.add_(torch.from_numpy(generator.standard_normal(tuple(p.shape))).to(p) * size)
    return module


class _Detaching(TorchFunctionMode):
    """Notes whether a forward pass detaches tensors."""

    detached = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.detached = self.detached or function in (Tensor.detach, torch.detach)
        return function(*args, **(kwargs or {}))


def _error(one: Pass, p: Tensor, g: Tensor, key: Key) -> tuple[float, bool]:
    """Return how far a slope is from its difference quotient, at best; and whether the loss never changed."""
    here, best, flat = p.detach().clone(), math.inf, True
    size = max(float(here.square().mean().sqrt()), 1e-2)
    for attempt in range(2):
        v = torch.from_numpy((key / attempt).generator().standard_normal(tuple(p.shape))).to(p) * size
        slope = float((g * v).sum())
        scale = float(g.norm()) * size
        for step in (1e-6, 1e-5, 1e-4, 1e-3):
            ends = []
            for side in (step, -step):
                with torch.no_grad():
                    p.copy_(here + side * v)
                ends.append(one.value())
            with torch.no_grad():
                p.copy_(here)
            quotient = (ends[0] - ends[1]) / (2 * step)
            flat = flat and ends[0] == ends[1]
            rounding = 1e-14 * max(map(abs, ends)) / step
            error = abs(quotient - slope) / (abs(quotient) + abs(slope) + 0.1 * scale + rounding + 1e-12)
            best = min(best, max(error, 0.0))
            if best < 1e-5:
                return best, False
        if best < 1e-3:
            break
    return best, flat and float(g.abs().max()) > 0


def batch_independence(subject: Subject) -> Finding:
    """Whether what is said of an example depends on the others of its batch."""
    part = subject.task.train
    count, kept_at = min(6, len(part) // 2), 2
    if count < 3:
        return skipped("train has too few examples")
    rows = torch.linspace(0, len(part) - 1, 2 * count, dtype=torch.float64).long()
    one, other = rows[::2].clone(), rows[1::2].clone()
    other[kept_at] = one[kept_at]

    def moved(module: nn.Module) -> float | None:
        passes = [Pass(subject, module, part.at(x)) for x in (one, other)]  # with the same buffers
        found = [outputs_of(x.output(), count) for x in passes]
        again = [outputs_of(x.output(), count) for x in passes]
        if difference(found[0], again[0]) > SAME or difference(found[1], again[1]) > SAME:
            raise InputError("two passes over the same examples differ")
        if not found[0]:
            return None
        return difference([x[kept_at] for x in found[0]], [x[kept_at] for x in found[1]])

    training = subject.model().train()
    norms = [m for m in training.modules() if isinstance(m, _BatchNorm)]
    for m in norms:
        m.eval()
    try:
        with torch.no_grad():
            evaluated, trained = moved(subject.model().eval()), moved(training)
    except InputError as error:
        return skipped(f"{error}; see modes")
    if evaluated is None or trained is None:
        return skipped("the output has no tensor whose first axis counts the examples")
    remedy = (
        "Look for a mean, softmax, norm or sort over axis 0, a view or reshape that mixes examples, or an LSTM or "
        "attention without batch_first=True."
    )
    if evaluated > SAME:
        if any(m.running_mean is None for m in norms):
            return note(
                "in evaluation, an example's output depends on its neighbours, by a batch norm that keeps no "
                "statistics",
                "Let it track running statistics, unless batches at use are as large and as mixed as in training.",
            )
        return wrong(f"an example's output changes by {evaluated:.0%} when the others of its batch do", remedy)
    if trained > SAME:
        return note(
            f"in training, outside batch norm, it changes by {trained:.0%} when the others of its batch do", remedy
        )
    return fine("an example's output is the same whatever else is in its batch")


def causality(subject: Subject) -> Finding:
    """Whether what is said of a place in a sequence depends on the places that it is to predict."""
    x, y = subject.batch.inputs, subject.batch.targets
    if not isinstance(x, Tensor) or x.dim() != 2 or x.shape != y.shape or x.is_floating_point():
        return skipped("targets are not the next places of a sequence")
    if x.shape[1] >= 4 and float((x == y).double().mean()) > 0.98:
        return note(
            "targets are the inputs themselves, place by place, so that nothing is predicted",
            "Move targets one place on, x[:, :-1] and x[:, 1:], if they are to be the next; else it is meant.",
        )
    if x.shape[1] < 4 or float((x[:, 1:] == y[:, :-1]).double().mean()) < 0.9:
        return skipped("targets are not the next places of a sequence")
    half, module = x.shape[1] // 2, subject.model().eval()
    changed = x.clone()
    changed[:, half:] = x.roll(1, 0)[:, half:]
    with torch.no_grad():
        passes = [Pass(subject, module, Split(inputs, y[:8])) for inputs in (x[:8], changed[:8])]
        outputs = [one.output() for one in passes]
    if not isinstance(outputs[0], Tensor) or outputs[0].dim() < 2:
        return skipped("the output is no single tensor")
    axis = 1 if outputs[0].shape[1] == x.shape[1] else outputs[0].dim() - 1
    if outputs[0].shape[axis] != x.shape[1]:
        return skipped("the output has no axis as long as the sequence")
    moved = difference(*([out.narrow(axis, 0, half)] for out in outputs))
    if moved > SAME:
        return wrong(
            f"outputs at a place change by {moved:.0%} when later places do, which hold what is to be predicted",
            "Mask attention to what came before (is_causal=True), and let convolutions and recurrence look "
            "back only.",
        )
    return fine("no place sees those after it, which it is to predict")


def inputs_used(subject: Subject) -> Finding:
    """Whether the output depends on the inputs, on each of them."""
    module, part = subject.model().eval(), subject.task.train
    rows = torch.linspace(0, len(part) - 1, min(64, len(part) // 2 * 2), dtype=torch.float64).long()
    batch, others = part.at(rows[::2].clone()), part.at(rows[1::2].clone())
    with torch.no_grad():
        before = outputs_of(Pass(subject, module, batch).output(), len(batch))
        if not before:
            return skipped("the output has no tensor whose first axis counts the examples")
        names = list(named(batch))[:-1]
        instead = leaves(others.inputs)
        varied = [bool((x != y).any()) for x, y in zip(leaves(batch.inputs), instead, strict=True)]
        unused = []
        for i, name in enumerate(names):
            places = iter(range(len(names)))
            other = each(batch.inputs, lambda x: instead[i] if next(places) == i else x)  # noqa: B023
            after = outputs_of(Pass(subject, module, Split(other, batch.targets)).output(), len(batch))
            if varied[i] and difference(before, after) < 1e-7:
                unused.append(name)
    if len(unused) == len(names):
        return wrong(
            "the output is the same for every example",
            small(module)
            or "Look for dead units, weights that are all 0, or a forward pass that does not use what it is given.",
        )
    if unused:
        return note(
            f"{listed(unused)} makes no difference to the output", "Use it in the forward pass, or leave it out."
        )
    return fine("the output depends on the inputs" if len(names) == 1 else f"the output depends on all {len(names)}")


def without_gradient(subject: Subject) -> Finding:
    """Parameters that are to be trained and get no gradient."""
    module = subject.model().train()
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    reached: set[str] = set()
    for seed in range(3):  # what is skipped at random is not skipped always
        if reached == trained.keys():
            break
        one = Pass(subject, module, subject.batch, seed)
        found = torch.autograd.grad(one()[1], list(trained.values()), allow_unused=True)
        reached |= {name for name, g in zip(trained, found, strict=True) if g is not None}
    most = dict(zip(subject.trained.names, subject.trained.gradients.nan_to_num(1.0).amax(0).tolist(), strict=True))
    strangers = _strangers(Pass(subject, module, subject.batch)()[1], module)
    if strangers:
        return wrong(
            f"the loss depends on parameters that the model does not list, of shape {listed(strangers)}",
            "Nothing trains them: keep layers in nn.ModuleList or nn.ParameterList, not in a plain list or dict, and "
            "make no new ones in the forward pass.",
        )
    cut = [name for name in trained if name not in reached and most.get(name, 0.0) == 0]
    if cut:
        used = [name for name in cut if _matters(Pass(subject, module, subject.batch), trained[name])]
        if used:
            return wrong(
                f"the loss depends on {listed(used)}, and no gradient gets there",
                "Look for detach(), .data, .item(), torch.no_grad() or a tensor made anew in the forward pass; "
                "what is "
                "to stay as it is, freeze: requires_grad_(False), or freeze in the recipe.",
            )
        return wrong(
            f"{listed(cut)} {'is' if len(cut) == 1 else 'are'} never used by the loss",
            "Call it in the forward pass, take it out, or freeze it: requires_grad_(False).",
        )
    zero = [name for name, p in trained.items() if p.dim() > 1 and most.get(name, 1.0) == 0]
    if zero:
        return wrong(
            f"the gradient by {listed(zero)} is exactly 0 at each of the first {len(subject.trained.losses)} steps",
            "Look for dead units behind it, a factor of 0, or weights of 0 on both sides.",
        )
    frozen = [name for name, p in module.named_parameters() if not p.requires_grad]
    more = f"; {listed(frozen)} {'is' if len(frozen) == 1 else 'are'} frozen" if frozen else ""
    return fine(f"all {len(trained)} get one{more}")


def _strangers(loss: Tensor, module: nn.Module) -> list[str]:
    """Return the shapes of what gets a gradient of the loss and is no parameter of the model."""
    known = {id(x) for x in (*module.parameters(), *module.buffers())}
    waiting: list[Any] = [loss.grad_fn]
    seen: set[Any] = set()
    found: dict[int, str] = {}
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, nn.Parameter) and id(leaf) not in known:
            found[id(leaf)] = "×".join(map(str, leaf.shape))
        waiting += [following for following, _ in node.next_functions]
    return list(found.values())


def _matters(one: Pass, p: Tensor) -> bool:
    before, here = one.value(), p.detach().clone()
    with torch.no_grad():
        noise = torch.from_numpy((Key(0) / "noise").generator().standard_normal(tuple(p.shape))).to(p)
        p.copy_(here + noise * max(float(here.abs().max()), 0.1))
        after = one.value()
        p.copy_(here)
    return not math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-12)
