"""Optimizers that torch has and this library has not, and what is nearest."""

from __future__ import annotations

__all__ = ["absent"]

_NEAREST = {
    "adamax": "adam, of which it is the form with a maximum in place of the mean of squares",
    "asgd": "sgd, with average.swa() for the mean of the weights",
    "lbfgs": "soap, which takes curvature from batches",
    "rprop": "rmsprop, which is its form for batches",
    "sparseadam": "adam",
}


def absent(name: str) -> str:
    """Return that an optimizer is not here, and what is nearest; ``""`` for names that torch does not have.

    >>> absent("Adamax")
    'it is not here; nearest is adam, of which it is the form with a maximum in place of the mean of squares'
    """
    nearest = _NEAREST.get(name.lower().replace("_", ""))
    return f"it is not here; nearest is {nearest}" if nearest else ""
