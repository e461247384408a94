"""Data with mean 0 and standard deviation 1, as training data alone show them: of tensors, and as a module."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from thalweg.average._batch_norm import Moments, pool
from thalweg.errors import InputError

__all__ = ["Standardise", "standardize"]


def standardize(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all with train's mean 0 and standard deviation 1; a constant feature becomes 0.

    Per feature for shape ``(N, features)``, per channel for ``(N, channels, …)``.

    Raises:
        InputError: something else than tensors of numbers with fractions.

    >>> a, b = standardize(torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0]]))
    >>> a.flatten().tolist(), b.item()
    ([-1.0, 1.0], 2.0)
    """
    if not all(isinstance(x, Tensor) and x.is_floating_point() for x in (train, *others)):
        raise InputError("standardize takes tensors of numbers with fractions; convert other inputs to floats first")
    axes = [0, *range(2, train.dim())]
    mean = train.mean(axes, keepdim=True)
    deviation = train.std(axes, correction=0, keepdim=True)
    # What rounding leaves of a constant's deviation is no scale.
    constant = train.amax(axes, keepdim=True) == train.amin(axes, keepdim=True)
    deviation = torch.where(constant | (deviation == 0), torch.inf, deviation)
    return [(x - mean) / deviation for x in (train, *others)]


class Standardise(nn.Module):
    """`standardize` as a model's first layer: fitted on training data batch by batch, and saved with the model.

    Args:
        features: how many the second axis of inputs has: features, or channels.
        dims: how many axes follow it: 0 for tables, 2 for images.
        device, dtype: of its buffers.

    Attributes:
        mean, deviation: what inputs are shifted and divided by, shape ``(features,)``; 0 and 1 until it is fitted.
            The deviation of a feature that is constant is infinite: it becomes 0.

    Raises:
        InputError: no features, or a number of axes that cannot be.

    >>> import torch
    >>> from thalweg import norm
    >>> scale = norm.Standardise(1).fit([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0]])])
    >>> scale.mean.item(), scale(torch.tensor([[3.0]])).item()
    (3.0, 0.0)
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        features: int,
        dims: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("features", features, 1), ("dims", dims, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")
        self.features, self.dims = features, dims
        self.register_buffer("mean", torch.zeros(features, device=device, dtype=dtype))
        self.register_buffer("deviation", torch.ones(features, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return inputs, shape ``(N, features, …)``, shifted and divided."""
        ones = [1] * self.dims
        return (x - self.mean.view(-1, *ones)) / self.deviation.view(-1, *ones)

    @torch.no_grad()
    def fit(self, batches: Iterable[Any]) -> Self:
        """Take mean and deviation from training data; return the module.

        Moments are pooled in float64, so that the result does not depend on how the data were batched.

        Args:
            batches: inputs, or tuples that begin with them, such as a ``DataLoader``'s; passed over once.

        Raises:
            InputError: no examples, another number of features or axes, or inputs that are not finite numbers with
                fractions.
        """
        found: Moments | None = None
        low = high = torch.zeros(0)
        for number, batch in enumerate(batches):
            x = self._checked(batch[0] if isinstance(batch, list | tuple) else batch, number)
            rows = x.transpose(0, 1).flatten(1)
            if not rows.shape[1]:
                continue
            part = (rows.shape[1], rows.mean(1), rows.var(1, correction=0))
            least, most = rows.aminmax(dim=1)
            low, high = (least, most) if found is None else (low.minimum(least), high.maximum(most))
            found = part if found is None else pool((found, part))
        if found is None:
            raise InputError("Standardise.fit got no examples")
        _, mean, variance = found
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where((low == high) | (variance == 0), torch.inf, variance.sqrt()))
        return self

    def _checked(self, given: Any, number: int) -> Tensor:
        """Return a batch of inputs in float64, on the buffers' device."""
        where = f"batch {number} of Standardise.fit"
        if not isinstance(given, Tensor) or not given.is_floating_point():
            raise InputError(f"{where} is no tensor of numbers with fractions; convert it to floats first")
        if given.dim() != self.dims + 2 or given.shape[1] != self.features:
            places = ", …" if self.dims > 1 else ", length" * self.dims
            wanted = f"(N, {self.features}{places})"
            raise InputError(f"{where} has shape {tuple(given.shape)}; its {self.dims + 2} axes must be {wanted}")
        x = given.to(self.mean.device, torch.float64)
        if bad := (~torch.isfinite(x)).transpose(0, 1).flatten(1).any(1).nonzero().flatten().tolist():
            raise InputError(f"{where} has NaN or infinity in feature {bad[0]}; drop those examples or fill them in")
        return x

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"{self.features}, dims={self.dims}"
