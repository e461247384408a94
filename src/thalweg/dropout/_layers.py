"""Layers whose weights are distributions: variational dropout, and the sparse kind, which loses weights for good."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.dropout._asked import normal
from thalweg.dropout._rates import Rated
from thalweg.dropout._sparse_variational import sparse_variational
from thalweg.dropout._variational import variational
from thalweg.errors import InputError

__all__ = [
    "Distributed", "SparseVariationalConv2d", "SparseVariationalLinear", "VariationalConv2d", "VariationalLinear",
    "as_sparse_variational", "as_variational", "kl", "pruned", "sparsity", "warm_up",
]  # fmt: skip


class Distributed(Rated):
    """What the layers have in common: how they are made of a plain one, and that they may be called without noise."""

    rates: tuple[str, ...] = ()
    weight: Any
    bias: Any

    def _computed(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return what the plain layer computes with other weights."""
        if isinstance(self, nn.Conv2d):
            found: Tensor = self._conv_forward(x, weight, bias)
            return found
        return F.linear(x, weight, bias)

    def _noise(self, mean: Tensor) -> Tensor:
        return normal(mean, mean.shape)

    def kl(self) -> Tensor:
        """Return the divergence of the weights' distribution from the prior, in nats, of shape ``()``."""
        raise NotImplementedError

    def pruned(self) -> nn.Module:
        """Return a plain layer with the weights that evaluation uses."""
        raise NotImplementedError

    def _plain(self, weight: Tensor) -> nn.Module:
        """Return torch's own layer with these weights and this bias."""
        kind = nn.Conv2d if isinstance(self, nn.Conv2d) else nn.Linear
        made: nn.Module = kind(**_arguments(self))
        with torch.no_grad():
            made.weight.copy_(weight)  # type: ignore[operator]
            if self.bias is not None:
                made.bias.copy_(self.bias)  # type: ignore[operator]
        return made.train(self.training)


class _Variational(Distributed):
    """The variance of a weight θ is α θ², with one α for each output, learnt between 0 and 1.

    Attributes:
        raw_alpha: ``(outputs,)``; its sigmoid is α.
    """

    raw_alpha: nn.Parameter

    def _begin(self, alpha: float) -> None:
        alpha = dict(variational(alpha=alpha).values)["alpha"]
        start = torch.full((len(self.weight),), math.log(alpha / (1 - alpha)))
        self.raw_alpha = nn.Parameter(start.to(self.weight))

    @property
    def alpha(self) -> Tensor:
        """What the variance of each output's weights is in parts of their squares, ``(outputs,)``."""
        return torch.sigmoid(self.raw_alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, drawn in training; in evaluation its mean."""
        mean = self._computed(x, self.weight, self.bias)
        if not self.training:
            return mean
        square = self._computed(x * x, self.weight * self.weight, None)
        alpha = self.alpha[:, None, None] if isinstance(self, nn.Conv2d) else self.alpha
        found: Tensor = variational.formula(mean, square, self._noise(mean), alpha=alpha)
        return found

    def kl(self) -> Tensor:
        """Return the divergence from the log-uniform prior, up to a constant, in nats, of shape ``()``.

        By the polynomial of Kingma et al. 2015, which holds for α up to 1.
        """
        alpha, each = self.alpha, self.weight[0].numel()
        negative = 0.5 * F.logsigmoid(self.raw_alpha) + alpha * (
            1.16145124 + alpha * (-1.50204118 + alpha * 0.58629921)
        )
        total: Tensor = -each * negative.sum()
        return total

    def pruned(self) -> nn.Module:
        """Return a plain layer with the mean weights: none is ever lost."""
        return self._plain(self.weight)


class _SparseVariational(Distributed):
    """Each weight has a variance σ² of its own, learnt; evaluation leaves out those with log α ≥ ``threshold``.

    Attributes:
        log_variance: log σ², of the shape of ``weight``.
    """

    rates = ("threshold",)
    not_weights = ("log_variance",)
    log_variance: nn.Parameter
    threshold: float | Tensor

    def _begin(self, threshold: float, log_variance: float) -> None:
        self.threshold = dict(sparse_variational(threshold=threshold).values)["threshold"]
        self.log_variance = nn.Parameter(torch.full_like(self.weight, log_variance))

    @property
    def log_alpha(self) -> Tensor:
        """What part of each weight is noise, log σ² − log θ², from −8 to 8."""
        found: Tensor = (self.log_variance - (self.weight * self.weight + 1e-8).log()).clamp(-8.0, 8.0)
        return found

    @property
    def sparsity(self) -> float:
        """The share of weights that evaluation leaves out."""
        return float((self.log_alpha >= self.threshold).double().mean())

    def _left(self) -> Tensor:
        found: Tensor = sparse_variational.evaluated(self.weight, self.log_alpha, threshold=self.threshold)  # type: ignore[misc]
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, drawn in training; in evaluation that of the weights that are left."""
        if not self.training:
            return self._computed(x, self._left(), self.bias)
        mean = self._computed(x, self.weight, self.bias)
        variance = self._computed(x * x, self.log_alpha.exp() * self.weight * self.weight, None)
        found: Tensor = sparse_variational.formula(mean, variance, self._noise(mean))
        return found

    def kl(self) -> Tensor:
        """Return the divergence from the log-uniform prior, in nats, of shape ``()``: 0 where all weights are noise.

        By the fit of Molchanov et al. 2017, which holds for any α.
        """
        log_alpha = self.log_alpha
        negative = 0.63576 * torch.sigmoid(1.8732 + 1.48695 * log_alpha) - 0.5 * F.softplus(-log_alpha) - 0.63576
        total: Tensor = -negative.sum()
        return total

    def pruned(self) -> nn.Module:
        """Return a plain layer: the weights that evaluation leaves out are 0."""
        return self._plain(self._left())


class VariationalLinear(_Variational, nn.Linear):
    """A linear layer with variational dropout; in evaluation its weights are their means.

    Args:
        in_features, out_features, bias, device, dtype: as of ``nn.Linear``.
        alpha: where α starts, between 0 and 1.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, alpha: float = 0.5, **more: Any
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias, **more)
        self._begin(alpha)


class VariationalConv2d(_Variational, nn.Conv2d):
    """A convolution with variational dropout; in evaluation its weights are their means.

    Args:
        arguments: as of ``nn.Conv2d``.
        alpha: where α starts, between 0 and 1.
    """

    def __init__(self, *arguments: Any, alpha: float = 0.5, **more: Any) -> None:
        nn.Conv2d.__init__(self, *arguments, **more)
        self._begin(alpha)


class SparseVariationalLinear(_SparseVariational, nn.Linear):
    """A linear layer with sparse variational dropout.

    Args:
        in_features, out_features, bias, device, dtype: as of ``nn.Linear``.
        threshold: of log α, from which on a weight is left out in evaluation.
        log_variance: where log σ² starts.

    >>> from thalweg import dropout
    >>> layer = dropout.SparseVariationalLinear(64, 10)
    >>> _ = layer.weight.data.fill_(0.1), layer.log_variance.data[:5].fill_(4.0)
    >>> layer.sparsity, int((layer.pruned().weight == 0).sum())
    (0.5, 320)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        threshold: float = 3.0,
        log_variance: float = -10.0,
        **more: Any,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias, **more)
        self._begin(threshold, log_variance)


class SparseVariationalConv2d(_SparseVariational, nn.Conv2d):
    """A convolution with sparse variational dropout.

    Args:
        arguments: as of ``nn.Conv2d``.
        threshold: of log α, from which on a weight is left out in evaluation.
        log_variance: where log σ² starts.
    """

    def __init__(self, *arguments: Any, threshold: float = 3.0, log_variance: float = -10.0, **more: Any) -> None:
        nn.Conv2d.__init__(self, *arguments, **more)
        self._begin(threshold, log_variance)


def as_variational(layer: nn.Module, **values: float) -> nn.Module:
    """Return a layer with variational dropout in place of a plain one, whose parameters it has."""
    values.pop("weight", None)  # of the loss, not of the layer
    return _in_place_of(layer, "variational", {nn.Linear: VariationalLinear, nn.Conv2d: VariationalConv2d}, values)


def as_sparse_variational(layer: nn.Module, **values: float) -> nn.Module:
    """Return a layer with sparse variational dropout in place of a plain one, whose parameters it has."""
    kinds = {nn.Linear: SparseVariationalLinear, nn.Conv2d: SparseVariationalConv2d}
    own = {name: value for name, value in values.items() if name not in ("weight", "start", "end")}  # the loss's
    return _in_place_of(layer, "sparse_variational", kinds, own)


def _in_place_of(layer: Any, name: str, kinds: Mapping[Any, Any], values: Mapping[str, float]) -> nn.Module:
    if type(layer) not in kinds:
        raise InputError(f"{name} takes an nn.Linear or nn.Conv2d, not {type(layer).__name__}")
    made: nn.Module = kinds[type(layer)](**_arguments(layer), **values)
    made.weight, made.bias = layer.weight, layer.bias
    return made.train(layer.training)


def _arguments(layer: Any) -> dict[str, Any]:
    """Return what torch's class makes such a layer of."""
    names = (
        ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        if isinstance(layer, nn.Conv2d)
        else ("in_features", "out_features")
    )
    like = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    return {name: getattr(layer, name) for name in names} | {"bias": layer.bias is not None} | like


def kl(model: nn.Module) -> Tensor:
    """Return the sum of the divergences of a model's variational layers, in nats, of shape ``()``.

    The loss is ``N × mean loss + weight × kl``, or ``mean loss + weight × kl / N``, with N training examples and a
    weight that grows; see `warm_up`.

    Raises:
        InputError: the model has none.
    """
    return torch.stack([layer.kl() for layer in _layers(model, Distributed)]).sum()


def warm_up(epoch: float, start: float = 5, end: float = 20) -> float:
    """Return the weight of the divergence in an epoch: 0 until ``start``, then along a line to 1 at ``end``.

    Raises:
        InputError: an end that is not after the start.

    >>> from thalweg import dropout
    >>> [round(dropout.warm_up(epoch), 2) for epoch in (0, 5, 8, 20, 30)]
    [0.0, 0.0, 0.2, 1.0, 1.0]
    """
    if not start < end:
        raise InputError(f"a warm-up needs start < end, not {start:g} and {end:g}")
    return min(max((epoch - start) / (end - start), 0.0), 1.0)


def sparsity(model: nn.Module) -> float:
    """Return what share of the weights of a model's sparse variational layers evaluation leaves out.

    Raises:
        InputError: the model has none.
    """
    layers: list[Any] = _layers(model, _SparseVariational)
    out = sum(layer.sparsity * layer.weight.numel() for layer in layers)
    return float(out / sum(layer.weight.numel() for layer in layers))


def pruned(model: nn.Module) -> nn.Module:
    """Return a copy of a model with plain layers in place of its variational ones: it computes what it evaluates to.

    Raises:
        InputError: the model has none.
    """
    made: dict[nn.Module, nn.Module] = {}
    copied = copy.deepcopy(model)
    for layer in _layers(copied, Distributed):
        made[layer] = layer.pruned()
    for parent in [*copied.modules()]:
        for name, child in parent._modules.items():  # noqa: SLF001  named_children leaves out the second of two
            if child in made:
                setattr(parent, name, made[child])
    return made.get(copied, copied)


def _layers(model: nn.Module, kind: type[Distributed]) -> list[Any]:
    found = [module for module in model.modules() if isinstance(module, kind)]
    if not found:
        which = "sparse variational" if kind is _SparseVariational else "variational"
        raise InputError(f"the model has no {which} layer, such as dropout.SparseVariationalLinear")
    return found
