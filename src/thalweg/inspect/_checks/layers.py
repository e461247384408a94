"""What a model's layers are, and which of them follow each other, where that is seldom meant."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_leaves

from thalweg.inspect._checks.finding import Finding, fine, listed, note
from thalweg.inspect._checks.subject import Pass, Subject, spread
from thalweg.surgery._seen import HANDS_ON

__all__ = ["layers"]

MUCH, OUTPUTS = 0.9, 0.3
"""A dropout of so much or more leaves next to nothing; or next to no output."""


def layers(subject: Subject) -> Finding:
    """Linear layers in a row, dropout of nearly all or of outputs, norms whose statistics never come."""
    module = subject.model().train()
    drops = {name or "the model": m for name, m in module.named_modules() if isinstance(m, _DropoutNd) and m.p > 0}
    most = [f"{name} ({m.p:.0%})" for name, m in drops.items() if m.p >= MUCH]
    if most:
        return note(
            f"dropout drops nearly all: {listed(most)}",
            "Usual rates are 0.1 to 0.5: what nn.Dropout takes is the share that is dropped, not that which is kept.",
        )
    epochs = subject.recipe.epochs
    assert isinstance(epochs, int)  # resolved
    steps = epochs * math.ceil(len(subject.task.train) / subject.recipe.sizes()[0])
    slow = [
        f"{name or 'the model'} ({m.momentum:.1g})" for name, m in module.named_modules()
        if isinstance(m, _BatchNorm) and m.track_running_stats and m.momentum is not None
        and m.momentum < 0.01 and m.momentum * steps < 2
    ]  # fmt: skip
    if slow:
        return note(
            f"the momentum of {listed(slow)} is so small that in {steps:,} steps its statistics hardly leave 0 and 1",
            "In evaluation it does not normalise: take 0.1 or 0.01, by which each step moves them.",
        )
    pairs, last = _following(subject, module)
    if last and drops[last].p >= OUTPUTS:
        return note(
            f"{last} ({drops[last].p:.0%}) drops outputs: in training the loss is of numbers that are 0 at random",
            "Put dropout before the last layer.",
        )
    again = [
        f"{name}.{first} and {name}.{place}" if name else f"{first} and {place}"
        for name, m in module.named_modules() if isinstance(m, (nn.ModuleList, nn.Sequential))
        for first, place in _repeated(m)
    ]  # fmt: skip
    if again:
        return note(
            f"{listed(again)} are one and the same layer: it is trained once, and called at each place",
            "If each is to have weights of its own, make it anew for each place, as in [nn.Linear(8, 8) for _ in "
            "range(3)]; [nn.Linear(8, 8)] * 3 is one layer.",
        )
    if pairs:
        shown = [f"{one} and {other}" for one, other in pairs]
        return note(
            f"no activation between {listed(shown)}: two linear layers in a row are worth one",
            "Put an activation between them, such as nn.ReLU(), or make one layer of them.",
        )
    return fine("none of them is a linear layer right behind another, and no dropout or norm is far from usual")


def _repeated(several: nn.Module) -> list[tuple[str, str]]:
    """Return the first place of a layer with weights among several, and each further one."""
    first: dict[int, str] = {}
    found = []
    for place, layer in several.named_modules(remove_duplicate=False):
        if place and "." not in place and next(layer.parameters(), None) is not None:
            if id(layer) in first:
                found.append((first[id(layer)], place))
            first.setdefault(id(layer), place)
    return found


def _following(subject: Subject, module: nn.Module) -> tuple[list[tuple[str, str]], str]:
    """Return pairs of linear layers in a row, and the dropout that gives the outputs, or an empty name.

    Where the width between two layers is less than on both sides, the pair is a matrix of low rank, and meant.
    """
    made: dict[int, tuple[str, Tensor]] = {}  # what a linear layer gave, kept so that its id stays its own
    dropped: dict[int, tuple[str, Tensor]] = {}
    pairs: list[tuple[str, str]] = []

    def noted(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            x = args[0] if args else None
            if not isinstance(x, Tensor) or not isinstance(output, Tensor):
                return
            if isinstance(layer, nn.Linear):
                before = made.get(id(x))
                if before is not None:
                    first = module.get_submodule(before[0])
                    assert isinstance(first, nn.Linear)
                    if first.out_features >= min(first.in_features, layer.out_features):
                        pairs.append((before[0], name))
                made[id(output)] = (name, output)
            elif id(x) in made:
                made[id(output)] = (made[id(x)][0], output)
            if isinstance(layer, _DropoutNd) and layer.p > 0:
                dropped[id(output)] = (name, output)

        return hook

    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, *HANDS_ON)):
            layer.register_forward_hook(noted(name))
    with torch.no_grad():
        output = Pass(subject, module, spread(subject.task.train, 4)).output()
    last = next((dropped[id(x)][0] for x in tree_leaves(output) if id(x) in dropped), "")
    return list(dict.fromkeys(pairs)), last or ""
