"""What an activation does to the size of a signal that is normally distributed, forward and backward."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError

__all__ = ["MODULES", "alone", "gain", "second_moments"]

MODULES: tuple[type[nn.Module], ...] = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid,
    nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink,
    nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
"""Torch's activations that look at each element alone."""

_KNOWN = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu", nn.SELU: "selu"}


def gain(module: nn.Module) -> float:
    """Return the gain of an activation's module; see `Activation.gain`.

    Args:
        module: one of torch's that look at each element alone; ``nn.PReLU`` counts as the leaky ReLU that it is with
            the mean of its slopes.

    Raises:
        InputError: another module.

    >>> from torch import nn
    >>> from thalweg import activation
    >>> round(activation.gain(nn.Mish()), 4)
    1.4868
    """
    if not isinstance(module, MODULES):
        raise InputError(f"{type(module).__name__} is no activation that has a gain, such as nn.ReLU()")
    if type(module) in _KNOWN:
        return float(nn.init.calculate_gain(_KNOWN[type(module)]))  # type: ignore[arg-type]
    if isinstance(module, nn.LeakyReLU | nn.PReLU):
        slope = module.negative_slope if isinstance(module, nn.LeakyReLU) else float(module.weight.detach().mean())
        return float(nn.init.calculate_gain("leaky_relu", slope))
    return 1 / math.sqrt(second_moments(alone(module), 1.0)[0])


def alone(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return an activation's module as a function of float64, as in evaluation."""
    return copy.deepcopy(module).double().eval()


def second_moments(f: Callable[[Tensor], Any], deviation: float) -> tuple[float, float]:
    """Return E[f(s)²] and E[f'(s)²] for s ~ N(0, deviation²): the mean squares of an output, and of a slope.

    By Gauss-Legendre quadrature over ±12 deviations, in pieces that end at 0 and, for deviation 1, at the whole and
    half numbers, so that a corner there costs no accuracy.
    """
    z, weights = _nodes()
    s = (deviation * z).requires_grad_()
    with torch.enable_grad():
        y = f(s.clone())  # in place, perhaps
        (slope,) = torch.autograd.grad(y.sum(), s) if y.requires_grad else (torch.zeros_like(s),)
    return float((weights * y.detach() ** 2).sum()), float((weights * slope**2).sum())


@cache
def _nodes() -> tuple[Tensor, Tensor]:
    """Return places of a standard normal distribution and their weights, which sum to 1, float64."""
    places, weights = np.polynomial.legendre.leggauss(16)
    ends = np.linspace(-12.0, 12.0, 49)
    middles, half = (ends[1:] + ends[:-1]) / 2, (ends[1] - ends[0]) / 2
    z = (middles[:, None] + half * places).ravel()
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(z), torch.from_numpy(np.tile(half * weights, len(middles)) * density)
