"""Which weights can go: ``prune.magnitude().masks(model, keep=0.2)``, held in any loop, and made a smaller model.

Masks are bool tensors by the parameters' names, True where a weight stays. In a recipe the role ``prune`` takes
weights away before the first step.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.prune._magnitude import magnitude
from thalweg.prune._random import random
from thalweg.prune._snip import snip
from thalweg.prune._synflow import synflow
from thalweg.prune._technique import Prune, PruneTechnique
from thalweg.prune._unit_magnitude import unit_magnitude

if TYPE_CHECKING:
    from thalweg.prune._connectivity import Connectivity, connectivity
    from thalweg.prune._held import Held, held, rewind
    from thalweg.prune._smaller import Smaller, smaller
    from thalweg.prune._weights import remaining, shuffled

CATALOGUE: dict[str, PruneTechnique] = {
    technique.name: technique for technique in (magnitude, random, snip, synflow, unit_magnitude)
}
"""Every way to prune by name."""

__all__ = [
    "CATALOGUE", "Connectivity", "Held", "Prune", "PruneTechnique", "Smaller", "connectivity", "held", "magnitude",
    "random", "remaining", "rewind", "shuffled", "smaller", "snip", "synflow", "unit_magnitude",
]  # fmt: skip

_HOMES = {
    "Connectivity": "_connectivity", "connectivity": "_connectivity", "Held": "_held", "held": "_held",
    "rewind": "_held", "Smaller": "_smaller", "smaller": "_smaller", "remaining": "_weights", "shuffled": "_weights",
}  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'thalweg.prune' has no attribute {name!r}")
    return getattr(import_module(f"thalweg.prune.{_HOMES[name]}"), name)
