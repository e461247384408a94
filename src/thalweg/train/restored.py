"""Tensors, and a module's buffers, that are afterwards as they were before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

__all__ = ["as_before", "buffers_as_before"]


@contextmanager
def as_before(places: Sequence[Tensor]) -> Iterator[None]:
    """Give tensors the values back that they had before a ``with``."""
    kept = [place.detach().clone() for place in places]
    try:
        yield
    finally:
        for place, value in zip(places, kept, strict=True):
            place.detach().copy_(value)


@contextmanager
def buffers_as_before(module: nn.Module) -> Iterator[None]:
    """Give a module its buffers back, with their values, also where forward puts others in their place."""
    own = [(part, dict(part.named_buffers(recurse=False))) for part in module.modules()]
    with as_before([x for _, buffers in own for x in buffers.values()]):
        try:
            yield
        finally:
            for part, buffers in own:
                for name, x in buffers.items():
                    setattr(part, name, x)
