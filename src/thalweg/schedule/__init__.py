"""Schedules: pure functions from the step to a multiplier of the learning rate, joined by ``>>``."""

from thalweg.schedule._constant import constant
from thalweg.schedule._cosine import cosine
from thalweg.schedule._exponential import exponential
from thalweg.schedule._step import step
from thalweg.schedule._technique import Schedule, ScheduleTechnique
from thalweg.schedule._warmup import warmup

CATALOGUE: dict[str, ScheduleTechnique] = {
    technique.name: technique for technique in (constant, step, exponential, cosine, warmup)
}
"""Every schedule by name."""

__all__ = [
    "CATALOGUE", "Schedule", "ScheduleTechnique", "constant", "cosine", "exponential", "step", "warmup",
]  # fmt: skip
