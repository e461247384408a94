"""Where the windows of convolution and pooling lie.

Both keep the batch innermost, (channel, …, example): every slice of a window is then a run of whole batches,
whatever the image's size, and what stands between two layers stays in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

__all__ = ["Spans", "per_axis", "window_spans"]

Spans = list[tuple[slice, ...]]
"""For each place of the kernel, in order, the slice along each axis on which it falls."""


def window_spans(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Spans | None:
    """Return where each place of a kernel falls, or None where the kernel is larger than what it passes over."""
    axes = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        number = (size - d * (k - 1) - 1) // s + 1
        if number < 1:
            return None
        axes.append([slice(i * d, i * d + s * (number - 1) + 1, s) for i in range(k)])
    return list(product(*axes))


def per_axis(rank: int, value: Any) -> list[int]:
    """Return a number for each axis, from one number, a tuple of one, or one number an axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values
