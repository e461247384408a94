"""Convolution of stacked models: one matrix product over the input's windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from thalweg.train.stacked.alone import by_itself, in_code, settled
from thalweg.train.stacked.windows import Spans, per_axis, window_spans

__all__ = ["conv1d", "conv2d"]

_MOST = 2**18
"""Numbers in one model's windows beyond which they leave the cache, and torch's own convolution is quicker."""

_FEW = 2**15
"""The same uncompiled, where each model has a convolution of its own."""


def conv1d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """See `torch.nn.functional.conv1d`; shapes ``(N, C, L)`` or ``(C, L)``. Costs what `conv2d` costs."""
    return _convolve(F.conv1d, 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """See `torch.nn.functional.conv2d`; shapes ``(N, C, H, W)`` or ``(C, H, W)``.

    One matrix product over the input's windows. They are kept for the backward pass, and twice for a moment in it:
    ``kh × kw / (stride_h × stride_w)`` times the input's memory. Where that is too much, torch's own is quicker: for
    each model by itself, or in code that is compiled for one; code for several is not made of it. Groups are left to
    torch only where nothing is compiled: see `_is_grouped`.
    """
    return _convolve(F.conv2d, 2, input, weight, bias, stride, padding, dilation, groups)


def _convolve(
    function: Callable[..., Tensor],
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    if x.dim() not in (rank + 1, rank + 2) or weight.dim() != rank + 2 or not x.is_floating_point():
        return NotImplemented
    out, per_group, *kernel = weight.shape
    strides, dilations = per_axis(rank, stride), per_axis(rank, dilation)
    pads = _pads(rank, padding, kernel, strides, dilations)
    if pads is None or x.shape[-rank - 1] != per_group * groups or out % groups or x.dtype != weight.dtype:
        return NotImplemented
    single, grouped = x.dim() == rank + 1, _is_grouped(x, weight)
    sizes = [size + sum(pad) for size, pad in zip(x.shape[-rank:], pads, strict=True)]
    spans = window_spans(sizes, kernel, strides, dilations)
    if spans is None or x.numel() == 0:
        return NotImplemented
    places = math.prod(len(range(*span.indices(size))) for span, size in zip(spans[0], sizes, strict=True))
    numbers = len(spans) * places * x.shape[:-rank].numel()
    if numbers > (_MOST if in_code() else _FEW) and not (in_code() and grouped):
        found = by_itself(function, x, weight, bias, stride, padding, dilation, groups)
        if found is not NotImplemented or (numbers > _MOST and not grouped):
            return found
    x, weight = settled(x), settled(weight)
    x = (x.unsqueeze(0) if single else x).movedim(0, -1)
    if any(map(any, pads)):
        x = F.pad(x, [0, 0, *(side for pad in reversed(pads) for side in pad)])
    columns = _windows(torch.unflatten(x, 0, (groups, per_group)), spans)
    shape = columns.shape[3:]
    columns = columns.flatten(1, 2).flatten(2)
    # (groups, out / groups, kernel × per_group): in the windows' order, the kernel's places first.
    rows = weight.flatten(2).transpose(1, 2).reshape(groups, out // groups, -1)
    y = torch.matmul(rows, columns).flatten(0, 1)
    if bias is not None:
        y = y + bias.unsqueeze(-1)
    y = torch.unflatten(y, -1, shape).movedim(-1, 0)
    return y.squeeze(0) if single else y


def _is_grouped(x: Tensor, weight: Tensor) -> bool:
    """Return whether channels pass in such groups that torch's bits for a model depend on how many are stacked.

    Stacked models are groups to it, which it takes by eights or sixteens. It has other means for groups of one
    channel, whose bits are the same with AVX-512 alone. Where nothing is compiled, each model has torch's own.
    """
    each, channels = weight.shape[1], x.shape[1 - weight.dim()]
    return each < channels if each > 1 else torch.backends.cpu.get_cpu_capability() != "AVX512"


def _pads(
    rank: int, padding: Any, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]] | None:
    if padding == "valid":
        return [(0, 0)] * rank
    if padding == "same":
        if any(stride != 1 for stride in strides):
            return None
        wholes = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        return [(whole // 2, whole - whole // 2) for whole in wholes]
    if isinstance(padding, str):
        return None
    return [(p, p) for p in per_axis(rank, padding)]


def _windows(x: Tensor, spans: Spans) -> Tensor:
    """Return the windows of ``(groups, channels, *sizes, N)``, shape ``(groups, places, channels, *numbers, N)``."""
    if len(spans) == 1:
        return x[(slice(None), slice(None), *spans[0])].unsqueeze(1)
    windows: Tensor = _Windows.apply(x, spans)  # type: ignore[no-untyped-call]
    return windows


class _Windows(torch.autograd.Function):
    """Windows by slices, with a backward pass that adds into one buffer: autograd's own makes one a slice."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, spans: Spans) -> Tensor:
        return torch.stack([x[(slice(None), slice(None), *span)] for span in spans], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Spans], output: Tensor) -> None:  # noqa: ARG004
        x, ctx.spans = inputs
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        parts = zip(ctx.spans, gradient.unbind(1), strict=True)
        if get_proxy_mode() is not None and all(s.step == 1 for s in ctx.spans[0]):
            # To the compiler a sum is one loop; writes into slices are as many as there are slices.
            return sum(_padded(part, span, ctx.shape) for span, part in parts), None  # type: ignore[return-value]
        total = gradient.new_zeros(ctx.shape)
        for span, part in parts:
            total[(slice(None), slice(None), *span)].add_(part)
        return total, None


def _padded(part: Tensor, span: tuple[slice, ...], shape: Sequence[int]) -> Tensor:
    """Return a tensor of ``shape`` that is ``part`` on ``span``, of steps of one, and zero elsewhere."""
    sides = [(s.start, size - s.stop) for s, size in zip(span, shape[2:-1], strict=True)]
    return F.pad(part, [0, 0, *(side for pair in reversed(sides) for side in pair)])
