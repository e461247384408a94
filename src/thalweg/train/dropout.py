"""Dropout in training: masks and noise are a function of their key: run, step, layer and place; nothing else.

Unmodified modules are caught at ``F.dropout``, those of `thalweg.dropout` at the functions by which they ask, alone
and under vmap alike, so a run drops the same units in any company. Dropout inside torch's own attention and LSTM does
not pass there; see `thalweg.train.drawn`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import ref

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

_IN_PLACE: dict[Any, int] = {**dict.fromkeys((*_WHOLE, F.alpha_dropout, F.feature_alpha_dropout), 3), F.rrelu: 4}
"""What takes ``inplace``, and the place where."""

ANSWERS: dict[Any, Callable[..., Any]] = {}
"""What else is caught, and who answers, given the mode and the arguments; NotImplemented leaves it to others."""


class KeyedDropout(TorchFunctionMode):
    """While active, every dropout draws its mask from ``key`` and from how many came before it.

    Who seeds torch's generator in a forward pass gets what torch draws from there, which is the same for all.

    Args:
        key: int64, shape ``()``; under vmap one a run. It holds run and step. Where there is none, torch's generators
            answer all.
        replaced: functions of torch that are to be others; see `thalweg.train.stacked.REPLACED`.

    Attributes:
        layer: how many dropouts, or other draws, there have been.
        seeded: whether somebody has seeded torch's generator and drawn from there.
        sound: whether what was looked at was as it has to be, bool, shape ``()``; None where nothing was.
    """

    def __init__(self, key: Tensor | None, replaced: Mapping[Any, Any] | None = None) -> None:
        super().__init__()
        self.key: Any = key
        self.layer = 0
        self.replaced = replaced or {}
        self.began, self.seeded = 0, False
        self.sound: Tensor | None = None
        self.pending: Any = None

    def __enter__(self) -> KeyedDropout:
        self.began = torch.default_generator.initial_seed()
        super().__enter__()  # type: ignore[no-untyped-call]  # torch says none of its own
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        if self.pending and error is None:
            self._write()

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.pending:
            self._write()
        if function in ANSWERS or function in _WHOLE:
            found, layer = NotImplemented, self.layer
            if self._has_key():
                if function in ANSWERS:
                    found = ANSWERS[function](self, *args, **kwargs)
                elif function in _WHOLE:
                    found = self._drop(_WHOLE[function], *args, **kwargs)
            if found is not NotImplemented:
                if _in_place(function, args, kwargs) and self.layer > layer:
                    self.pending = ref(found), function, args, kwargs, layer
                return found
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
    ) -> Any:  # fmt: skip
        if not 0 <= p <= 1:
            return NotImplemented
        if not training or p == 0.0:
            return input
        shape = list(input.shape)
        if shared is not None:
            # (N, C, …) or (C, …): channels are dropped whole.
            shape[len(shape) - shared :] = [1] * shared
        keep = mask(self.following(), shape, p)
        return input * keep.to(input.dtype) * (1.0 / (1.0 - p) if p < 1 else 0.0)

    def _has_key(self) -> bool:
        """Return whether it answers itself what is asked for now."""
        own = torch.default_generator.initial_seed() != self.began
        self.seeded = self.seeded or own
        return self.key is not None and not own

    def _write(self) -> None:
        """Write what was asked for in place where it is, if nobody has taken it, as who calls it as a statement.

        Who has taken it gets a new tensor, because the one before may be needed on the way back.
        """
        (taken, function, args, kwargs, layer), self.pending = self.pending, None
        if taken() is None:
            after, self.layer = self.layer, layer
            input = args[0] if args else kwargs["input"]  # noqa: A001
            input.copy_(self.__torch_function__(function, (), args, kwargs))
            self.layer, self.pending = after, None

    def expect(self, valid: Tensor) -> None:
        """Note that something has to be true everywhere, which under vmap nobody can look at now."""
        self.sound = valid.all() if self.sound is None else self.sound & valid.all()

    def judged(self, loss: Tensor) -> Tensor:
        """Return a loss, which is no number where something was not as it has to be."""
        return loss if self.sound is None else torch.where(self.sound, loss, math.nan)

    def following(self) -> Tensor:
        """Return the key of whoever asks now."""
        self.layer += 1
        key: Tensor = mix(self.key + signed(self.layer * GOLDEN))
        return key


def _in_place(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a function is to write its result where its input is."""
    place = _IN_PLACE.get(function)
    return place is not None and bool(kwargs.get("inplace", len(args) > place and args[place]))


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
) -> Any:  # fmt: skip
    if not 0 <= p <= 1:
        return NotImplemented
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
