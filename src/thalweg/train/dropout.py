"""Dropout in training: masks and noise are a function of their key: run, step, layer and place; nothing else.

Unmodified modules are caught at ``F.dropout``, those of `thalweg.dropout` at the functions by which they ask, alone
and under vmap alike, so a run drops the same units in any company. Dropout inside torch's own attention and LSTM does
not pass there; see `thalweg.train.drawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch as functorch
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.overrides import TorchFunctionMode

from thalweg.dropout._asked import keep, normal, thinned
from thalweg.train.counter import GOLDEN, HASHING, hashed, mix, normals, signed
from thalweg.train.quick import by_key, inside, plain, watched
from thalweg.train.stacked import TAKES_DROPOUT, pays
from thalweg.train.thinning import TYPES, factors, thin

__all__ = ["ANSWERS", "KeyedDropout", "mask"]

_WHOLE = {F.dropout: None, F.dropout1d: 1, F.dropout2d: 2, F.dropout3d: 3}
"""What is caught, and how many trailing axes share one mask value."""

ANSWERS: dict[Any, Callable[..., Any]] = {}
"""What else is caught, and who answers, given the mode and the arguments; NotImplemented leaves it to others."""


class KeyedDropout(TorchFunctionMode):
    """While active, every dropout draws its mask from ``key`` and from how many came before it.

    Args:
        key: int64, shape ``()``; under vmap one a run. It holds run and step.
        replaced: functions of torch that are to be others; see `thalweg.train.stacked.REPLACED`.
    """

    def __init__(self, key: Tensor, replaced: Mapping[Any, Any] | None = None) -> None:
        super().__init__()
        self.key = key
        self.layer = 0
        self.replaced = replaced or {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in ANSWERS:
            found = ANSWERS[function](self, *args, **kwargs)
            if found is not NotImplemented:
                return found
        if function in _WHOLE:
            return self._drop(_WHOLE[function], *args, **kwargs)
        if function in self.replaced:
            ours = self.replaced[function]
            if pays(ours, args, kwargs, compiled=get_proxy_mode() is not None):
                more = {"dropout": self.dropped} if ours in TAKES_DROPOUT else {}
                found = ours(*args, **kwargs, **more)
                if found is not NotImplemented:
                    return found
        return function(*args, **kwargs)

    def dropped(self, x: Tensor, p: float) -> Tensor:
        """Return a tensor after dropout."""
        found: Tensor = self.__torch_function__(F.dropout, (), (x, p))
        return found

    def _drop(
        self, shared: int | None, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False  # noqa: A002, ARG002
    ) -> Tensor:  # fmt: skip
        if not training or p == 0.0:
            return input
        shape = list(input.shape)
        if shared is not None:
            # (N, C, …) or (C, …): channels are dropped whole.
            shape[len(shape) - shared :] = [1] * shared
        keep = mask(self.following(), shape, p)
        return input * keep.to(input.dtype) * (1.0 / (1.0 - p) if p < 1 else 0.0)

    def following(self) -> Tensor:
        """Return the key of whoever asks now."""
        self.layer += 1
        key: Tensor = mix(self.key + signed(self.layer * GOLDEN))
        return key


def mask(key: Tensor, shape: Sequence[int], p: float) -> Tensor:
    """Return which elements stay, bool, of ``shape``; each leaves with probability ``p``.

    A counter hash (splitmix64) of key and place: no state, the same under vmap.
    """
    kept: Tensor = (hashed(key, shape) & 0xFFFFFFFF) >= round(p * 2**32)
    return kept


# -- what modules of `thalweg.dropout` ask for, and the quick way on the CPU -------------------------------------


def _keep(
    masks: KeyedDropout, x: Tensor, p: float | Tensor, shape: Sequence[int], places: Tensor | None = None
) -> Tensor:
    kept: Tensor = _kept(masks.following(), shape, p, None if places is None else places + 1).to(x.dtype)
    return kept


def _kept(key: Tensor, shape: Sequence[int], p: float | Tensor, places: Tensor | None = None) -> Tensor:
    """Return what `mask` does, with a rate that may be a tensor."""
    least = (p.double() * 2.0**32).round().long() if isinstance(p, Tensor) else round(p * 2**32)
    kept: Tensor = (hashed(key, shape, places) & 0xFFFFFFFF) >= least
    return kept


def _normal(masks: KeyedDropout, x: Tensor, shape: Sequence[int]) -> Tensor:
    return normals(masks.following(), shape, x.dtype)


def _dropout(
    masks: KeyedDropout, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False  # noqa: A002, ARG001
) -> Tensor:  # fmt: skip
    return _thinned(masks, input, p) if training else input


def _thinned(masks: KeyedDropout, x: Tensor, p: float | Tensor) -> Tensor:
    if not isinstance(p, Tensor) and p == 0.0:
        return x
    seen = watched() or (isinstance(p, Tensor) and p.requires_grad)
    if not seen and x.dtype in TYPES and plain(x, masks.key, p) and x.is_contiguous():
        masks.layer += 1
        return _thin(x, signed(mix(int(masks.key) + masks.layer * GOLDEN)), float(p))
    key = masks.following()
    factor = None if seen else _factors(x, key, p)
    if factor is not None:
        return x * factor
    kept = _kept(key, x.shape, p).to(x.dtype)
    return (x * kept * (1.0 / (1.0 - p) if isinstance(p, Tensor) or p < 1 else 0.0)).to(x.dtype)


ANSWERS |= {F.dropout: _dropout, keep: _keep, normal: _normal, thinned: _thinned}


def _thin(x: Tensor, key: int, p: float) -> Tensor:
    found: Tensor = _Thin.apply(x, key, p)  # type: ignore[no-untyped-call]
    return found


class _Thin(torch.autograd.Function):
    """Dropout in one pass over memory, to the bits of its tensor form.

    Nothing is kept but the key: the backward pass computes the mask again. Dropout is linear, so gradients and
    tangents go through the same mask.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, key: int, p: float) -> Tensor:
        ctx.key, ctx.p = key, p
        return thin(x, key, p, HASHING)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _through(gradient, ctx.key, ctx.p), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _through(tangent, ctx.key, ctx.p)


def _through(x: Tensor, key: int, p: float) -> Tensor:
    """Return a gradient, or several at once, after the mask of what it is a gradient of."""
    if watched() or not plain(x):
        return x * mask(torch.tensor(key), x.shape, p).to(x.dtype) * (1.0 / (1.0 - p) if p < 1 else 0.0)
    x = x.contiguous()
    return _thin(x, key, p) if torch.is_grad_enabled() else thin(x, key, p, HASHING)


def _factors(x: Tensor, key: Tensor, p: float | Tensor) -> Tensor | None:
    """Return what a tensor, or each row that vmap stacks, is multiplied by; None where that is not so plain.

    The product's bits are those of the tensor form; but for bfloat16, in which factors would be rounded.
    """
    if x.dtype not in (torch.float32, torch.float64) or not plain(inside(x)):
        return None
    rates, shape = inside(p, grad=True), x.shape
    stacks = functorch.is_batchedtensor(rates) if isinstance(rates, Tensor) else False
    if not (functorch.is_batchedtensor(inside(key, grad=True)) if stacks else plain(rates)):
        return None

    def computed(keys: list[int]) -> Tensor:
        shares = np.ravel(inside(rates)).tolist()
        return factors(shape, x.dtype, keys, shares if len(shares) == len(keys) else shares * len(keys), HASHING)

    return by_key(key, computed)
