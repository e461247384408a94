"""Averages of the weights along the way: ``average.ema(0.99)`` for recipes, ``average.Averaged`` for any loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.average._ema import ema
from thalweg.average._ema_corrected import ema_corrected
from thalweg.average._ema_warmup import ema_warmup
from thalweg.average._swa import swa
from thalweg.average._technique import AverageTechnique

if TYPE_CHECKING:
    from thalweg.average._averaged import Averaged
    from thalweg.average._batch_norm import precise_batch_norm

CATALOGUE: dict[str, AverageTechnique] = {
    technique.name: technique for technique in (ema, ema_corrected, ema_warmup, swa)
}
"""Every average by name."""

__all__ = [
    "CATALOGUE", "AverageTechnique", "Averaged", "ema", "ema_corrected", "ema_warmup", "precise_batch_norm", "swa",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for."""
    homes = {"Averaged": "_averaged", "precise_batch_norm": "_batch_norm"}
    if name not in homes:
        raise AttributeError(f"module 'thalweg.average' has no attribute {name!r}")
    return getattr(import_module(f"thalweg.average.{homes[name]}"), name)
