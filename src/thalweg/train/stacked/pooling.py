"""Pooling of stacked models, where windows tile the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.train.stacked.windows import Spans, per_axis, window_spans

__all__ = ["avg_pool2d", "max_pool2d"]


def max_pool2d(
    input: Tensor,  # noqa: A002
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """See `torch.nn.functional.max_pool2d`; only for images that lie as `conv2d` here lays them, the batch innermost.

    Windows that overlap or reach beyond the image are left to torch too. As there, the first of equal
    maxima has the whole gradient.
    """
    kernel = per_axis(2, kernel_size)
    if input.dim() != 4 or return_indices or not _tiles(input, kernel, stride, padding, ceil_mode):
        return NotImplemented
    if per_axis(2, dilation) != [1, 1]:
        return NotImplemented
    return _pooled(input, kernel, lambda x, spans: _Maximum.apply(x, spans)[0])  # type: ignore[no-untyped-call]


def avg_pool2d(
    input: Tensor,  # noqa: A002
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,  # noqa: ARG001
    divisor_override: int | None = None,
) -> Any:
    """See `torch.nn.functional.avg_pool2d`; what `max_pool2d` leaves to torch is left here too."""
    kernel = per_axis(2, kernel_size)
    if input.dim() != 4 or not _tiles(input, kernel, stride, padding, ceil_mode):
        return NotImplemented
    scale = 1.0 / (divisor_override or math.prod(kernel))
    return _pooled(input, kernel, lambda x, spans: _Mean.apply(x, spans, scale))  # type: ignore[no-untyped-call]


def _tiles(x: Tensor, kernel: list[int], stride: Any, padding: Any, ceil_mode: bool) -> bool:
    strides = kernel if stride is None or stride == [] else per_axis(2, stride)
    sizes = x.shape[-2:]
    # Torch's own is quicker for images that lie as torch lays them.
    if x.stride(0) != 1 and x.shape[0] > 1:
        return False
    whole = all(size >= k and (not ceil_mode or size % k == 0) for size, k in zip(sizes, kernel, strict=True))
    return whole and strides == kernel and per_axis(2, padding) == [0, 0] and x.is_floating_point()


def _pooled(x: Tensor, kernel: list[int], pool: Callable[[Tensor, Spans], Tensor]) -> Tensor:
    x = x.movedim(0, -1)
    spans = window_spans(x.shape[1:-1], kernel, kernel, [1, 1])
    assert spans is not None
    return pool(x, spans).movedim(-1, 0)


class _Maximum(torch.autograd.Function):
    """The largest of each window of ``(C, H, W, N)``, and it again for the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, spans: Spans) -> tuple[Tensor]:
        first, *others = (x[(slice(None), *span)] for span in spans)
        largest = first.clone() if not others else first
        for other in others:
            largest = torch.maximum(largest, other)
        return (largest,)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Spans], output: tuple[Tensor]) -> None:
        x, ctx.spans = inputs
        ctx.save_for_backward(x, output[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, largest = ctx.saved_tensors
        left, parts = gradient, []
        for span in ctx.spans[:-1]:
            # Products, not choices: where the gradient is not a number, it is nowhere one.
            part = left * (x[(slice(None), *span)] == largest)
            left = left - part
            parts.append(part)
        return _spread(x.shape, ctx.spans, [*parts, left]), None


class _Mean(torch.autograd.Function):
    """The sum of each window of ``(C, H, W, N)`` times a number."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, spans: Spans, scale: float) -> Tensor:
        total = x[(slice(None), *spans[0])]
        for span in spans[1:]:
            total = total + x[(slice(None), *span)]
        return total * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Spans, float], output: Tensor) -> None:  # noqa: ARG004
        x, ctx.spans, ctx.scale = inputs
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        part = gradient * ctx.scale
        return _spread(ctx.shape, ctx.spans, [part] * len(ctx.spans)), None, None


def _spread(shape: Sequence[int], spans: Spans, parts: list[Tensor]) -> Tensor:
    """Return a tensor that is each part on its span; the spans are a tiling, but for what stays of the image."""
    tiled = all(s.stop - s.start + len(axis) - 1 >= size for s, size, axis in _axes(spans, shape))
    whole = parts[0].new_empty(shape) if tiled else parts[0].new_zeros(shape)
    for span, part in zip(spans, parts, strict=True):
        whole[(slice(None), *span)].copy_(part)
    return whole


def _axes(spans: Spans, shape: Sequence[int]) -> Iterator[tuple[slice, int, set[int]]]:
    for axis, size in enumerate(shape[1:-1]):
        yield spans[0][axis], size, {span[axis].start for span in spans}
