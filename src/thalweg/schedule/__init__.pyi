# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.schedule`."""

from collections.abc import Sequence

from thalweg.inspect._range_test import range_test as range_test
from thalweg.schedule._scheduler import Scheduler as Scheduler
from thalweg.schedule._technique import Schedule as Schedule
from thalweg.schedule._technique import ScheduleTechnique as ScheduleTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, ScheduleTechnique]

class _constant(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
    ) -> Schedule: ...

constant: _constant

class _step(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        every: float | Uniform | LogUniform | Choice = 0.3333333333333333,
        gamma: float | Uniform | LogUniform | Choice = 0.1,
    ) -> Schedule: ...

step: _step

class _multistep(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        milestones: Sequence[float] | Choice = (0.5, 0.75),
        gamma: float | Uniform | LogUniform | Choice = 0.1,
    ) -> Schedule: ...

multistep: _multistep

class _exponential(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        end: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Schedule: ...

exponential: _exponential

class _inverse_sqrt(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        timescale: float | Uniform | LogUniform | Choice = 0.05,
    ) -> Schedule: ...

inverse_sqrt: _inverse_sqrt

class _linear(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        start: float | Uniform | LogUniform | Choice = 1.0,
        end: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Schedule: ...

linear: _linear

class _polynomial(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        power: float | Uniform | LogUniform | Choice = 0.9,
        end: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Schedule: ...

polynomial: _polynomial

class _minus_sqrt(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        end: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Schedule: ...

minus_sqrt: _minus_sqrt

class _cosine(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        end: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Schedule: ...

cosine: _cosine

class _cosine_restarts(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        period: float | Uniform | LogUniform | Choice = 0.3333333333333333,
        growth: float | Uniform | LogUniform | Choice = 1.0,
        end: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Schedule: ...

cosine_restarts: _cosine_restarts

class _triangular(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        half: float | Uniform | LogUniform | Choice = 0.125,
        low: float | Uniform | LogUniform | Choice = 0.1,
        gamma: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Schedule: ...

triangular: _triangular

class _one_cycle(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        pct_start: float | Uniform | LogUniform | Choice = 0.3,
        div_factor: float | Uniform | LogUniform | Choice = 25.0,
        final_div_factor: float | Uniform | LogUniform | Choice = 10000.0,
    ) -> Schedule: ...

one_cycle: _one_cycle

class _one_cycle_linear(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        pct_start: float | Uniform | LogUniform | Choice = 0.3,
        div_factor: float | Uniform | LogUniform | Choice = 25.0,
        final_div_factor: float | Uniform | LogUniform | Choice = 10000.0,
    ) -> Schedule: ...

one_cycle_linear: _one_cycle_linear

class _one_cycle_three_phase(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        pct_start: float | Uniform | LogUniform | Choice = 0.3,
        div_factor: float | Uniform | LogUniform | Choice = 25.0,
        final_div_factor: float | Uniform | LogUniform | Choice = 10000.0,
    ) -> Schedule: ...

one_cycle_three_phase: _one_cycle_three_phase

class _one_cycle_three_phase_linear(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        pct_start: float | Uniform | LogUniform | Choice = 0.3,
        div_factor: float | Uniform | LogUniform | Choice = 25.0,
        final_div_factor: float | Uniform | LogUniform | Choice = 10000.0,
    ) -> Schedule: ...

one_cycle_three_phase_linear: _one_cycle_three_phase_linear

class _plateau(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice | None = None,
        *,
        factor: float | Uniform | LogUniform | Choice = 0.1,
        patience: int | Uniform | LogUniform | Choice = 10,
        threshold: float | Uniform | LogUniform | Choice = 0.0001,
        cooldown: int | Uniform | LogUniform | Choice = 0,
        end: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Schedule: ...

plateau: _plateau

class _warmup(ScheduleTechnique):
    def __call__(
        self,
        steps: float | Uniform | LogUniform | Choice = 0.05,
    ) -> Schedule: ...

warmup: _warmup
