"""The words of initialisations' formulas that look at a weight's shape: outputs along the first axis, then inputs."""

from __future__ import annotations

from typing import Any

__all__ = ["centred", "diagonal", "erfinv", "orthonormal", "rank", "rows"]


def erfinv(x: Any) -> Any:
    """Return what the error function is x of, element by element."""
    return x.erfinv()


def orthonormal(z: Any) -> Any:
    """Return a matrix as uniform among the orthonormal ones as z is normal; its rows or columns are, the fewer.

    The Q of z's QR decomposition, its columns given the signs of R's diagonal: without them Q would not be uniform.
    All axes but the first are one.
    """
    import torch

    matrix = z.flatten(1)
    q, r = torch.linalg.qr(matrix.T if matrix.shape[0] < matrix.shape[1] else matrix)
    q = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return (q.T if matrix.shape[0] < matrix.shape[1] else q).reshape(z.shape)


def rows(x: Any) -> int:
    """Return how many outputs there are."""
    return int(x.shape[0])


def rank(u: Any) -> Any:
    """Return which place each number has among those of its input, counted from 0 for the least."""
    return u.argsort(0).argsort(0)


def diagonal(z: Any) -> Any:
    """Return 1 where output and input have the same number, else 0."""
    import torch

    return torch.eye(z.shape[0], z[0].numel(), dtype=z.dtype).reshape(z.shape)


def centred(z: Any) -> Any:
    """Return `diagonal` at the middle of a convolution's window, and 0 in the rest of it."""
    import torch

    values = torch.zeros_like(z)
    values[(slice(None), slice(None), *(size // 2 for size in z.shape[2:]))] = torch.eye(*z.shape[:2], dtype=z.dtype)
    return values
