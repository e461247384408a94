"""Norms: ``norm.layer().module(64)`` is torch's own module for a layer of 64 features.

In recipes, the role ``norm``: behind every layer that leads to an activation, or with ``norm.removed()`` taken out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.norm._batch import batch
from thalweg.norm._batch_cumulative import batch_cumulative
from thalweg.norm._batch_untracked import batch_untracked
from thalweg.norm._group import group
from thalweg.norm._instance import instance
from thalweg.norm._layer import layer
from thalweg.norm._removed import removed
from thalweg.norm._rms import rms
from thalweg.norm._technique import Norm, NormTechnique

if TYPE_CHECKING:
    from thalweg.average._batch_norm import precise_batch_norm
    from thalweg.norm._fold import Folding, fold, folding
    from thalweg.norm._last import LastAxis
    from thalweg.norm._spatial import SpatialRMSNorm
    from thalweg.norm._standardise import Standardise

CATALOGUE: dict[str, NormTechnique] = {
    technique.name: technique
    for technique in (batch, batch_cumulative, batch_untracked, layer, group, instance, rms, removed)
}
"""Every norm by name."""

__all__ = [
    "CATALOGUE", "Folding", "LastAxis", "Norm", "NormTechnique", "SpatialRMSNorm", "Standardise", "batch",
    "batch_cumulative", "batch_untracked", "fold", "folding", "group", "instance", "layer", "precise_batch_norm",
    "removed", "rms",
]  # fmt: skip

_LATER = {
    "Folding": "thalweg.norm._fold", "fold": "thalweg.norm._fold", "folding": "thalweg.norm._fold",
    "LastAxis": "thalweg.norm._last", "SpatialRMSNorm": "thalweg.norm._spatial",
    "Standardise": "thalweg.norm._standardise", "precise_batch_norm": "thalweg.average",
}  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module 'thalweg.norm' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
