"""Optimizers that torch has and this library has not, and what is nearest."""

from __future__ import annotations

__all__ = ["absent"]

_NEAREST = {
    "asgd": "sgd, with average.swa() for the mean of the weights",
    "lbfgs": "soap, which takes curvature from batches",
    "rprop": "rmsprop, which is its form for batches",
    "sparseadam": "adam",
}


def absent(name: str) -> str:
    """Return that an optimizer is not here, and what is nearest; ``""`` for names that torch does not have.

    >>> absent("Rprop")
    'it is not here; nearest is rmsprop, which is its form for batches'
    """
    nearest = _NEAREST.get(name.lower().replace("_", ""))
    return f"it is not here; nearest is {nearest}" if nearest else ""
