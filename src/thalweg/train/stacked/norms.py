"""Batch norm of stacked models, with the same bits in every row."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg.train.stacked.alone import by_itself, in_code, settled

__all__ = ["batch_norm"]

_FEW = 2**13
"""Numbers of a model beyond which torch's own is quicker, uncompiled."""


def batch_norm(
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """See `torch.nn.functional.batch_norm`; input ``(N, C, …)``, running statistics ``(C,)``, written in place.

    Torch's own gives bits that depend on the number of models and on a model's row; where much is normalised, and
    nothing compiled, each model has torch's own by itself.
    """
    if input.dim() < 2 or not input.is_floating_point() or input.dtype != (input if weight is None else weight).dtype:
        return NotImplemented
    if input.dim() > 2 and input.numel() > _FEW and not in_code():
        found = by_itself(F.batch_norm, input, running_mean, running_var, weight, bias, training, momentum, eps)
        if found is not NotImplemented:
            return found
    input = settled(input)  # noqa: A001
    axes = [0, *range(2, input.dim())]
    shape = [1, -1] + [1] * (input.dim() - 2)
    n = math.prod(input.shape[axis] for axis in axes)
    if training:
        if n < 2 or eps <= 0:
            return NotImplemented
        mean = input.mean(axes)
        centred = input - mean.view(shape)
        variance = (centred * centred).mean(axes)
        with torch.no_grad():
            if running_mean is not None:
                running_mean.mul_(1 - momentum).add_(mean.detach() * momentum)
            if running_var is not None:
                running_var.mul_(1 - momentum).add_(variance.detach() * (momentum * n / (n - 1)))
    else:
        if running_mean is None or running_var is None or eps < 0:
            return NotImplemented
        centred, variance = input - running_mean.view(shape), running_var
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    y = centred * scale.view(shape)
    return y if bias is None else y + bias.view(shape)
