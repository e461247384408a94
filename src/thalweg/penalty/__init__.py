"""What keeps weights small: numbers to add to the loss, and constraints to apply after a step.

In a loop of one's own, ``loss + penalty.l2(1e-4).of(model)``, and ``penalty.max_norm(3.0).apply(model)`` after the
optimizer's step; in a recipe it is the role ``penalty``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.penalty._elastic_net import elastic_net
from thalweg.penalty._l1 import l1
from thalweg.penalty._l2 import l2
from thalweg.penalty._max_norm import max_norm
from thalweg.penalty._technique import Penalty, PenaltyTechnique

if TYPE_CHECKING:
    from thalweg.penalty._places import Place, places
    from thalweg.penalty._rows import constrained, gradients

CATALOGUE: dict[str, PenaltyTechnique] = {technique.name: technique for technique in (l1, l2, elastic_net, max_norm)}
"""Every penalty by name."""

__all__ = [
    "CATALOGUE", "Penalty", "PenaltyTechnique", "Place", "constrained", "elastic_net", "gradients", "l1", "l2",
    "max_norm", "places",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for."""
    homes = {"Place": "_places", "places": "_places", "constrained": "_rows", "gradients": "_rows"}
    if name not in homes:
        raise AttributeError(f"module 'thalweg.penalty' has no attribute {name!r}")
    return getattr(import_module(f"thalweg.penalty.{homes[name]}"), name)
