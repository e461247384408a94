"""Schedules: pure functions from the step to a multiplier of the learning rate, joined by ``>>``.

Warm-up, stable, decay (WSD) has no formula of its own: it is ``warmup() >> constant() >> linear(0.2)``, or
``minus_sqrt`` in place of ``linear``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.schedule._constant import constant
from thalweg.schedule._cosine import cosine
from thalweg.schedule._cosine_restarts import cosine_restarts
from thalweg.schedule._exponential import exponential
from thalweg.schedule._inverse_sqrt import inverse_sqrt
from thalweg.schedule._linear import linear
from thalweg.schedule._minus_sqrt import minus_sqrt
from thalweg.schedule._multistep import multistep
from thalweg.schedule._one_cycle import one_cycle
from thalweg.schedule._one_cycle_linear import one_cycle_linear
from thalweg.schedule._one_cycle_three_phase import one_cycle_three_phase
from thalweg.schedule._one_cycle_three_phase_linear import one_cycle_three_phase_linear
from thalweg.schedule._plateau import plateau
from thalweg.schedule._polynomial import polynomial
from thalweg.schedule._step import step
from thalweg.schedule._technique import Schedule, ScheduleTechnique
from thalweg.schedule._triangular import triangular
from thalweg.schedule._warmup import warmup

if TYPE_CHECKING:
    from thalweg.schedule._scheduler import Scheduler

CATALOGUE: dict[str, ScheduleTechnique] = {
    technique.name: technique
    for technique in (
        constant, step, multistep, exponential, inverse_sqrt, linear, polynomial, minus_sqrt, cosine, cosine_restarts,
        triangular, one_cycle, one_cycle_linear, one_cycle_three_phase, one_cycle_three_phase_linear, plateau, warmup,
    )
}  # fmt: skip
"""Every schedule by name."""

__all__ = [
    "CATALOGUE", "Schedule", "ScheduleTechnique", "Scheduler", "constant", "cosine", "cosine_restarts", "exponential",
    "inverse_sqrt", "linear", "minus_sqrt", "multistep", "one_cycle", "one_cycle_linear", "one_cycle_three_phase",
    "one_cycle_three_phase_linear", "plateau", "polynomial", "range_test", "step", "triangular", "warmup",
]  # fmt: skip

_LATER = {"Scheduler": "thalweg.schedule._scheduler", "range_test": "thalweg.inspect"}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch, or trains, when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module 'thalweg.schedule' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
