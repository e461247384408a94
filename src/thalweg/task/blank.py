"""Memory that torch hands out as it is, which makes a model another one each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["filled"]


@contextmanager
def filled() -> Iterator[None]:
    """Have ``torch.empty``, and torch itself, begin with NaN or the largest whole number inside a ``with``.

    What a model never fills is then seen, and what torch computes from memory that it has not filled is the same each
    time: ``torch.linalg.lstsq`` reads its first pivots from it.

    >>> with filled():
    ...     torch.empty(2)
    tensor([nan, nan])
    """
    before = torch.are_deterministic_algorithms_enabled()
    only = torch.is_deterministic_algorithms_warn_only_enabled()
    # torch's own function for it imports the whole compiler.
    torch._C._set_deterministic_algorithms(True, warn_only=True)  # noqa: SLF001
    try:
        yield
    finally:
        torch._C._set_deterministic_algorithms(before, warn_only=only)  # noqa: SLF001
