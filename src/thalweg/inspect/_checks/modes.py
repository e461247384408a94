"""Whether a model is another one in training than in evaluation, where it is to be, and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from thalweg.inspect._checks.finding import Finding, fine, listed, note, wrong
from thalweg.inspect._checks.subject import Pass, Subject, difference, outputs_of, spread
from thalweg.task.outside import outside

__all__ = ["modes"]


def modes(subject: Subject) -> Finding:
    """Whether dropout and norms heed train() and eval()."""
    made = subject.model()
    kinds = (_DropoutNd, _BatchNorm, _InstanceNorm)
    heeding = {name: m for name, m in made.named_modules() if isinstance(m, kinds)}
    asleep = [name for name, m in heeding.items() if not m.training and _acts(m)]
    for training in (True, False):
        if (found := _switched(subject, subject.model().train(training), kinds)) is not None:
            return found
    outer = outside(subject.task)
    module = subject.model().eval()
    kept = {name: x.clone() for name, x in module.named_buffers()}
    with torch.no_grad():
        same = [_outputs(subject, module, seed) for seed in (0, 0, 0)]
        twice = [_outputs(subject, module, seed) for seed in (0, 1)]
        written = [name for name, x in module.named_buffers() if not torch.equal(x, kept[name])]
    if max(difference(same[0], same[1]), difference(same[1], same[2])) > 1e-6:
        return wrong(
            "passes over the same examples with the same random numbers differ: the model keeps something from one "
            f"call to the next, in an attribute{f' ({outer.carried})' if outer.carried else ''}",
            "Begin each forward pass anew, such as with a hidden state of 0; what is to be learned from data, keep "
            "in a buffer, and write it in training alone.",
        )
    if difference(*twice) > 1e-6:
        return wrong(
            "in evaluation, two passes over the same examples differ: something is still drawn at random",
            "Give functional dropout training=self.training, and draw noise in training alone.",
        )
    if written:
        return wrong(
            f"in evaluation, the forward pass writes {listed(written)}",
            "Norms are to keep what they learned in training: have eval() reach them, and pass "
            "training=self.training.",
        )
    if outer.obstacle:
        lost = ", and after a kill begin anew" if outer.carried else ""
        what, _, remedy = outer.obstacle.partition("; ")
        return note(
            f"{what}: runs train one by one{lost}",
            f"{remedy[0].upper()}{remedy[1:]}."
            if "no part of the model" in what
            else "Nothing is wrong with that; it takes longer."
            if "hook" in outer.unseen
            else "Register what differs or changes as a buffer in __init__, and write it in place: each run then has "
            "its own, which is kept. Make layers of one type for all seeds.",
        )
    awake = subject.model().train()
    still = [n for n, m in awake.named_modules() if isinstance(m, kinds) and not m.training and _acts(m)]
    learned = [n for n in still if any(p.requires_grad for p in awake.get_submodule(n).parameters())]
    dropping = [n for n in still if isinstance(awake.get_submodule(n), _DropoutNd)]
    if learned or dropping:
        return wrong(
            f"train() does not reach {listed(learned or dropping)}, which stays in evaluation mode",
            "Call super().train(mode) in a train() of your own, and keep layers in attributes or ModuleLists; freeze "
            "a norm's parameters too where it is to stay as it is.",
        )
    with torch.no_grad():
        drawn = [_outputs(subject, awake, seed) for seed in (0, 1)]
        drops = [n for n, m in awake.named_modules() if isinstance(m, _DropoutNd) and m.p > 0 and m.training]
        if drops and difference(*drawn) == 0:
            return note(
                f"{listed(drops)} makes no difference in training",
                "Call it in the forward pass, or leave it out.",
            )
    if asleep and len(asleep) == len(heeding):
        return note(
            f"the model comes in evaluation mode, {listed(asleep)} with it; runs here call train(), other "
            "loops may not",
            "Return the model in training mode, and call train() before each epoch and eval() before each "
            "evaluation.",
        )
    if not heeding:
        return fine("no dropout and no norm that differs between training and evaluation")
    return fine(f"{len(heeding)} dropouts and norms heed train() and eval()")


def _switched(subject: Subject, module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Finding | None:
    """Return the mistake of a forward pass that changes modes itself; what is frozen with all around it may be."""
    parts = dict(module.named_modules())
    before = {name: m.training for name, m in parts.items()}
    with torch.no_grad():
        _outputs(subject, module, 0)

    def fixed(name: str) -> bool:
        around = list(parts[name.rpartition(".")[0]].parameters())
        return bool(around) and not any(p.requires_grad for p in around)

    switched = [
        f"{name} ({type(m).__name__})" for name, m in parts.items()
        if m.training != before[name] and isinstance(m, kinds) and _acts(m) and not fixed(name)
    ]  # fmt: skip
    if not switched:
        return None
    mode, call = ("training", "eval()") if before[""] else ("evaluation", "train()")
    return wrong(
        f"the forward pass calls {call} in {mode}: {listed(switched)}",
        "Leave modes to the loop that trains and evaluates; a part that is to stay in evaluation, freeze too.",
    )


def _acts(module: nn.Module) -> bool:
    return not isinstance(module, _DropoutNd) or module.p > 0


def _outputs(subject: Subject, module: nn.Module, seed: int) -> list[Tensor]:
    few = spread(subject.task.train, 16)
    return outputs_of(Pass(subject, module, few, seed).output(), len(few))
