"""Predictions by a sample of dropout masks: their mean, how far they spread, and how likely what came is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from thalweg.dropout._layers import Distributed
from thalweg.dropout._modules import Thinning
from thalweg.dropout._rates import Rated
from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.task.reading import apply, each, leaves
from thalweg.train.dropout import KeyedDropout
from thalweg.train.stacked import REPLACED, TAKES_DROPOUT

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a sample of passes through a model says, example by example.

    Attributes:
        mean: of the outputs, ``(N, …)``.
        spread: their standard deviation over the sample, ``(N, …)``.
        probabilities: of outputs that are scores of classes, ``(N, classes, …)``, their mean softmax; else None.
        log_likelihood: of the targets, in nats, ``(N,)``; None without targets.
    """

    mean: Tensor
    spread: Tensor
    probabilities: Tensor | None
    log_likelihood: Tensor | None


@torch.no_grad()
def predict(
    model: nn.Module,
    x: Any,
    samples: int = 100,
    key: int = 0,
    *,
    targets: Tensor | None = None,
    precision: float | None = None,
    batch_size: int = 256,
) -> Prediction:
    """Pass inputs through a model many times with its dropout on, and say what the outputs are together.

    In evaluation mode but for dropout: that of ``dropout.mc`` if the model has it, else all, torch's own too, and the
    noise of variational layers. Modes and generators are afterwards as before. The same key gives the same sample.

    With targets, it says how likely they are under the mean of the sample's densities (Gal & Ghahramani 2016,
    equation 8): for classes, given as whole numbers, the log of their mean probability; for quantities, normal around
    each output with variance 1 / τ.

    Args:
        model: any; its output is one tensor whose first axis counts the examples.
        x: inputs, a tensor, or a tuple or dict of them; their first axis counts the examples.
        samples: how many passes.
        key: of the masks.
        targets: classes ``(N,)``, or quantities of the outputs' shape.
        precision: τ of quantities, above 0; left out for classes.
        batch_size: how many examples, or copies of one, pass at once; another one gives another sample.

    Raises:
        InputError: a model without dropout, or arguments that do not fit together.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import dropout
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), dropout.mc(0.2).module(), nn.Linear(8, 1))
    >>> found = dropout.predict(model, torch.randn(5, 3), samples=50, targets=torch.zeros(5, 1), precision=4.0)
    >>> found.mean.shape, found.spread.min().item() > 0, found.log_likelihood.shape
    (torch.Size([5, 1]), True, torch.Size([5]))
    """
    for name, number in (("samples", samples), ("batch_size", batch_size)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"{name} takes a whole number from 1 up, not {number!r}")
    if precision is not None and not 0 < precision < math.inf:
        raise InputError(f"precision takes a number above 0, not {precision!r}")
    count = len(leaves(x)[0])
    if targets is not None and len(targets) != count:
        raise InputError(f"there are {count} examples, but {len(targets)} targets")
    found = []
    with _sampled(model) as masks_of, (Key(key) / "predict" / "hidden").seeded():
        for start in range(0, count, batch_size):
            rows = slice(start, start + batch_size)
            outputs = torch.cat(
                [
                    _outputs(
                        model, each(x, partial(_at, rows=rows)), many, masks_of(Key(key) / "predict" / start / first)
                    )
                    for first, many in _groups(samples, max(1, batch_size // min(count, batch_size)))
                ]
            )
            found.append(_summed_up(outputs, None if targets is None else targets[rows], precision))
    mean, spread, *more = zip(*found, strict=True)
    probabilities, likelihood = (None if part[0] is None else torch.cat(part) for part in more)
    return Prediction(torch.cat(mean), torch.cat(spread), probabilities, likelihood)


def _at(x: Tensor, rows: slice) -> Tensor:
    return x[rows]


def _groups(samples: int, most: int) -> list[tuple[int, int]]:
    """Return the first sample of each group that passes at once, and how many they are."""
    return [(first, min(most, samples - first)) for first in range(0, samples, most)]


def _outputs(model: nn.Module, x: Any, many: int, masks: KeyedDropout) -> Tensor:
    """Return the outputs of so many passes at once, ``(many, n, …)``."""
    n, device = len(leaves(x)[0]), leaves(x)[0].device
    masks.key = masks.key.to(device)
    with masks:
        found = apply(model, each(x, lambda t: t.expand(many, *t.shape).reshape(many * n, *t.shape[1:])))
    if not isinstance(found, Tensor) or found.shape[:1] != (many * n,) or not found.is_floating_point():
        what = f"one of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"predict takes models whose output is a tensor (N, …), N counting the examples, not {what}")
    if masks.layer == 0 and not any(_drops(module) for module in model.modules()):
        raise InputError("the model drops nothing, so there is nothing to sample; put dropout.mc() into it")
    return found.view(many, n, *found.shape[1:])


def _summed_up(
    outputs: Tensor, targets: Tensor | None, precision: float | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return what a `Prediction` holds, of outputs ``(samples, n, …)``."""
    wide = outputs.double()
    spread = wide.std(0, correction=min(1, len(wide) - 1))
    classes = precision is None and wide.dim() > 2 and wide.shape[2] > 1
    shares = wide.log_softmax(2) if classes else None
    likelihood = None
    if targets is not None:
        each_likelihood = _of_quantities(wide, targets, precision) if shares is None else _of_classes(shares, targets)
        likelihood = each_likelihood.logsumexp(0) - math.log(len(wide))
    probabilities = None if shares is None else shares.exp().mean(0).to(outputs.dtype)
    return wide.mean(0).to(outputs.dtype), spread.to(outputs.dtype), probabilities, likelihood


def _of_classes(shares: Tensor, targets: Tensor) -> Tensor:
    """Return the log-likelihood of each example's classes in each sample, ``(samples, n)``."""
    scores = shares.shape[1:]
    if targets.is_floating_point() or targets.shape != (scores[0], *scores[2:]):
        raise InputError(
            f"targets are classes (N, …) for outputs (N, classes, …), or quantities of the outputs' shape with "
            f"precision=, not {_what(targets)} for outputs of shape {tuple(scores)}"
        )
    if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < scores[1]:
        raise InputError(f"targets are classes from 0 to {scores[1] - 1}, as there are {scores[1]} outputs")
    index = targets.long()[None, :, None].expand(len(shares), -1, 1, *targets.shape[1:])
    return shares.gather(2, index).flatten(2).sum(2)


def _of_quantities(outputs: Tensor, targets: Tensor, precision: float | None) -> Tensor:
    """Return the log-density of each example's targets around each sample's output, ``(samples, n)``."""
    if precision is None:
        raise InputError("the likelihood of a quantity needs precision=, 1 over the variance around the outputs")
    if targets.shape != outputs.shape[1:]:
        raise InputError(f"targets are {_what(targets)}, but outputs of shape {tuple(outputs.shape[1:])}")
    squares = ((targets.double() - outputs) ** 2).reshape(*outputs.shape[:2], -1)
    constant = 0.5 * squares.shape[2] * (math.log(precision) - math.log(2 * math.pi))
    return -0.5 * precision * squares.sum(2) + constant


def _what(targets: Tensor) -> str:
    kind = "numbers with fractions" if targets.is_floating_point() else "whole numbers"
    return f"{kind} of shape {tuple(targets.shape)}"


# -- which dropout is on -------------------------------------------------------------------------------


@contextmanager
def _sampled(model: nn.Module) -> Iterator[Callable[[Key], KeyedDropout]]:
    """Let a model's dropout alone be in training inside a ``with``; give what makes the masks of a key."""
    modes = [(module, module.training) for module in model.modules()]
    chosen = {m for m, _ in modes if isinstance(m, Thinning) and m.technique.name == "mc"}
    on: set[nn.Module] = {*chosen} or {module for module, _ in modes if _drops(module)}
    hidden = any(isinstance(module, nn.MultiheadAttention | nn.RNNBase) for module in on)
    replaced = {f: ours for f, ours in REPLACED.items() if ours in TAKES_DROPOUT} if hidden else {}
    kind = KeyedDropout if chosen else _Always
    try:
        for module, _ in modes:
            module.training = module in on
        yield lambda key: kind(torch.tensor(key.integer(63)), replaced)
    finally:
        for module, training in modes:
            module.training = training


def _drops(module: nn.Module) -> bool:
    """Return whether a module draws in training and does nothing else that evaluation does not."""
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return module.dropout > 0
    return isinstance(module, _DropoutNd | Rated | Distributed)


class _Always(KeyedDropout):
    """Lets functions drop that were told to evaluate: modules of the user's own say so by their mode."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in _DROPOUTS:
            names = dict(zip(("input", "p", "training", "inplace"), args, strict=False))
            args, kwargs = (), {**names, **(kwargs or {}), "training": True}
        return super().__torch_function__(function, types, args, kwargs)


_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
