"""The words that formulas of scope ``tensor`` and ``model`` may use beside those of `_vocabulary`.

They look at a whole tensor, as ``norm`` does, so they take torch tensors only; ``A @ B`` and ``A.T`` are the matrix
product and the transpose.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "aspect", "eigenvectors", "like", "longest", "matrix", "mean", "orthogonal", "orthonormal", "spacing",
    "total",
]  # fmt: skip


def mean(x: Any, axis: int | None = None) -> Any:
    """Return the mean of all, or along an axis, which is kept with length 1."""
    return x.mean() if axis is None else x.mean(axis, keepdim=True)


def total(x: Any) -> float:
    """Return the sum of all, as a plain number, summed in float64: a quantity of the whole model."""
    return float(x.double().sum())


def spacing(x: Any) -> Any:
    """Return the distance from 1 to the next number of x's type."""
    import torch

    return torch.finfo(x.dtype).eps


def matrix(x: Any) -> Any:
    """Return x with its first axis against all others: shape ``(n, m)``."""
    return x.flatten(1)


def like(x: Any, p: Any) -> Any:
    """Return x in the shape of p."""
    return x.view_as(p)


def aspect(x: Any) -> Any:
    """Return rows over columns of a matrix."""
    return x.shape[0] / x.shape[1]


def longest(x: Any) -> Any:
    """Return the longer of a matrix's sides."""
    return max(x.shape)


def orthogonal(x: Any, steps: int, eps: float) -> Any:
    """Return roughly U Vᵀ of a matrix U S Vᵀ: its singular values moved to between 0.5 and 1.5.

    Newton-Schulz iteration, ``X ← aX + (bA + cA²)X`` with ``A = XXᵀ``, from ``X = x / max(‖x‖, eps)``, with Jordan's
    coefficients; in bfloat16, operation by operation as in torch's ``Muon``.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[0] > x.shape[1]
    y = x.bfloat16()
    y = y.T if tall else y
    y = y / y.norm().clamp(min=eps)
    for _ in range(steps):
        gram = y @ y.T
        y = y.addmm(gram.addmm(gram, gram, beta=b, alpha=c), y, beta=a)
    return (y.T if tall else y).to(x.dtype)


def eigenvectors(x: Any) -> Any:
    """Return a symmetric matrix's orthonormal eigenvectors as columns, that of the largest eigenvalue first."""
    from torch import linalg

    if not x.isfinite().all():  # a run that has diverged must not stop its neighbours
        return x * float("nan")
    return linalg.eigh(x)[1].flip(1)


def orthonormal(x: Any) -> Any:
    """Return an orthonormal basis of a matrix's columns, each in the span of itself and those before it: Q of QR."""
    from torch import linalg

    return linalg.qr(x)[0]
