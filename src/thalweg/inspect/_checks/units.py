"""Dead and saturated units, layer by layer, before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thalweg.inspect._checks.finding import Finding, fine, listed, note, wrong
from thalweg.inspect._checks.scales import large
from thalweg.inspect._checks.subject import Pass, Subject
from thalweg.surgery._seen import FUNCTIONS, LAYERS

__all__ = ["units"]

FEW = 8
"""A layer with fewer units is only judged where all of them are dead."""

BOUNDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "softsign": (-1.0, 1.0)}


@dataclass
class _Layer:
    """One call of an activation.

    Attributes:
        name: the module in whose forward it is called.
        kind: the activation.
        units: how many.
        dead: the share of units that give one number for all examples.
        saturated: the share of numbers within 1% of a bound.
    """

    name: str
    kind: str
    units: int
    dead: float
    saturated: float


def units(subject: Subject) -> Finding:
    """Units that give every example the same number, and such as stand at their bounds."""
    part = subject.task.train
    output = subject.output
    size = max(1, output[0].numel()) if output is not None else 1
    batch = subject.some(part, max(16, min(256, 500_000 // size)))
    module = subject.model().eval()
    same = [name for name, layer in module.named_modules() if isinstance(layer, LAYERS) and _alike(layer.weight)]
    if same:
        return wrong(
            f"all units of {listed(same)} have the same weights, and so the same gradient: they stay alike for ever",
            "Draw initial weights at random (init=he_normal); biases may begin with one number.",
        )
    with _Activations(module) as seen:
        Pass(subject, module, batch)()  # with gradients: torch's quick path for transformers calls no activation
    layers = seen.layers
    if not layers:
        return fine("no activation of torch's is called")
    every = f"{len(layers)} activation{'s' * (len(layers) > 1)}"
    reason = large(subject.model())
    many = 0.2 if reason else 0.6
    dead = [x for x in layers if x.dead == 1 or (x.units >= FEW and x.dead > many)]
    if dead:
        worst = max(dead, key=lambda x: x.dead)
        shown = [f"{round(x.dead * x.units)} of the {x.units} units behind {x.name}" for x in dead]
        return (wrong if worst.dead > 0.9 else note)(
            f"{listed(list(dict.fromkeys(shown)))} give every example the same number",
            reason
            or "Begin with biases of 0 and weights for this activation (init=he_normal), normalise the inputs, or "
            "take an activation that has a slope everywhere, such as leaky_relu or gelu.",
        )
    if seen.entering:
        name, count, width = max(seen.entering, key=lambda x: x[1] / x[2])
        return note(
            f"{count} of the {width} numbers that enter {name} are the same for every example",
            "Look for what sets them, between this layer and the one before: a mask, a slice set to 0, a product "
            "with 0.",
        )
    full = [x for x in layers if x.saturated > 0.5]
    if full:
        worst = max(full, key=lambda x: x.saturated)
        return (wrong if worst.saturated > 0.8 else note)(
            f"{worst.saturated:.0%} of what {_names(full)} ({worst.kind}) gives is at its bounds, where the "
            "slope is 0",
            "Begin with smaller weights (init=glorot_uniform), and normalise the inputs.",
        )
    most = max(layers, key=lambda x: x.dead)
    if most.dead:
        return fine(f"{every}; at most {most.dead:.0%} of the units are dead, behind {most.name}")
    return fine(f"{every}, none with dead or saturated units")


def _alike(weight: Any) -> bool:
    """Return whether each unit has the weights of the first, which are not 0."""
    return (
        isinstance(weight, Tensor) and len(weight) > 1 and bool(weight[0].any()) and bool((weight == weight[0]).all())
    )


def _names(layers: list[_Layer]) -> str:
    return listed(list(dict.fromkeys(x.name for x in layers)))


class _Activations(TorchFunctionMode):
    """Notes what activations give, whether they are modules or functions."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.layers: list[_Layer] = []
        self.channels: set[tuple[int, ...]] = set()  # shapes of what one-dimensional convolutions give
        self.entering: list[tuple[str, int, int]] = []  # layers: how many numbers that enter are constant, of all
        self._within: list[str] = []
        for name, part in module.named_modules():
            part.register_forward_pre_hook(self._enters(name or "the model"))
            part.register_forward_hook(self._leaves)
            if isinstance(part, nn.Linear):
                part.register_forward_pre_hook(self._entered(name or "the model"))

    def _enters(self, name: str) -> Any:
        return lambda *_: self._within.append(name)

    def _entered(self, name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            x = args[0] if args else None
            # What depends on weights: constant numbers in the data are another matter.
            if not isinstance(x, Tensor) or not x.requires_grad or x.dim() != 2 or len(x) < 2 or x.shape[1] < FEW:
                return
            low, high = x.detach().amin(0), x.detach().amax(0)
            count = int((high - low <= 1e-6 * torch.maximum(low.abs(), high.abs())).sum())
            if count > 0.6 * x.shape[1]:
                self.entering.append((name, count, x.shape[1]))

        return hook

    def _leaves(self, module: nn.Module, _: Any, output: Any) -> None:
        self._within.pop()
        if isinstance(module, nn.Conv1d | nn.BatchNorm1d) and isinstance(output, Tensor) and output.dim() == 3:
            self.channels.add(tuple(output.shape))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if function in FUNCTIONS and isinstance(found, Tensor) and found.dim() > 1 and len(found) > 1:
            with torch.no_grad():
                self._note(FUNCTIONS[function], found.detach())
        return found

    def _note(self, kind: str, x: Tensor) -> None:
        axis = 1 if x.dim() > 3 or x.dim() == 2 or tuple(x.shape) in self.channels else x.dim() - 1
        axes = [i for i in range(x.dim()) if i != axis]
        low, high = x.amin(axes), x.amax(axes)
        dead = high - low <= 1e-6 * torch.maximum(low.abs(), high.abs())
        saturated = 0.0
        if kind in BOUNDS:
            bottom, top = BOUNDS[kind]
            width = 0.01 * (top - bottom)
            saturated = float(((x < bottom + width) | (x > top - width)).double().mean())
        name = self._within[-1] if self._within else "the model"
        self.layers.append(_Layer(name, kind, len(low), float(dead.double().mean()), saturated))
