"""Functions that torch computes by other means, and to other last bits, where a tensor ends.

Torch goes through memory in steps of two vectors, with code of its own for what is left over. Of stacked models that
is in the spare row, if a row is at least as wide as such a step. A narrower one is filled up to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

__all__ = ["FILLED_UP", "same_bits"]

STEP = 128
"""Bytes of two vectors of AVX-512, the widest that torch knows on a CPU."""


def same_bits(function: Callable[[Tensor], Tensor], like: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function of `FILLED_UP` as it is to be called with tensors that are as wide as another."""
    if not _is_narrow(like):
        return function

    def narrow(x: Tensor) -> Tensor:
        found = FILLED_UP[function](x)
        return function(x) if found is NotImplemented else found

    return narrow


def _is_narrow(x: Tensor) -> bool:
    """Return whether a row has to be filled up; compiled code has means of its own for what is left over."""
    return 0 < x.numel() * x.itemsize < STEP and x.is_floating_point() and get_proxy_mode() is None


def _filled_up(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return an elementwise function of some tensors and other arguments that leaves wide tensors to torch."""

    @wraps(function)
    def narrow(*args: Any, **kwargs: Any) -> Any:
        tensors = [x for x in args if isinstance(x, Tensor)]
        if not tensors or not all(map(_is_narrow, tensors)) or any(isinstance(x, Tensor) for x in kwargs.values()):
            return NotImplemented
        shape = torch.broadcast_shapes(*(x.shape for x in tensors))  # type: ignore[no-untyped-call]
        free = STEP // min(x.itemsize for x in tensors) - shape.numel()
        if free <= 0:
            return NotImplemented

        def filled(x: Any) -> Any:
            return F.pad(x.expand(shape).flatten(), (0, free), value=1.0) if isinstance(x, Tensor) else x

        y = function(*map(filled, args), **kwargs)[: shape.numel()].view(shape)
        return tensors[0].copy_(y) if _in_place(function, args, kwargs) else y

    return narrow


def _glu(input: Tensor, dim: int = -1) -> Any:  # noqa: A002
    if not _is_narrow(input) or input.shape[dim] % 2:
        return NotImplemented
    kept, gate = input.chunk(2, dim)
    return kept * FILLED_UP[torch.sigmoid](gate)


def _in_place(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an activation is to write into its argument, which may be said by the last one."""
    return bool(kwargs.get("inplace", function in _MAY_WRITE and args[-1] is True))


_MAY_WRITE: tuple[Any, ...] = (F.silu, F.mish, F.elu, F.selu, F.celu)

_ELEMENTWISE: tuple[Any, ...] = (
    *_MAY_WRITE,
    *(F.gelu, F.softplus, torch.celu, torch.selu),
    *(torch.sigmoid, torch.special.expit, Tensor.sigmoid),
    *(torch.pow, Tensor.pow, Tensor.__pow__, Tensor.__rpow__),
    *(torch.cosh, Tensor.cosh, torch.sinh, Tensor.sinh, torch.atanh, Tensor.atanh, torch.arctanh, Tensor.arctanh),
    *(torch.exp2, Tensor.exp2, torch.special.exp2, torch.atan2, Tensor.atan2, torch.arctan2, Tensor.arctan2),
    *(torch.logaddexp, Tensor.logaddexp, torch.logaddexp2, Tensor.logaddexp2),
)

FILLED_UP: dict[Callable[..., Any], Callable[..., Any]] = {F.glu: _glu, **{f: _filled_up(f) for f in _ELEMENTWISE}}
"""From torch's function to ours; others, like exp, tanh, and all of arithmetic, have the same bits everywhere."""
