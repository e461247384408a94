# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.gradient`."""

from collections.abc import Sequence

from thalweg.gradient._technique import Gradient as Gradient
from thalweg.gradient._technique import GradientTechnique as GradientTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, GradientTechnique]

class _clip_value(GradientTechnique):
    def __call__(
        self,
        threshold: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Gradient: ...

clip_value: _clip_value

class _clip_norm(GradientTechnique):
    def __call__(
        self,
        threshold: float | Uniform | LogUniform | Choice = 1.0,
        eps: float | Uniform | LogUniform | Choice = 1e-06,
    ) -> Gradient: ...

clip_norm: _clip_norm

class _clip_adaptive(GradientTechnique):
    def __call__(
        self,
        threshold: float | Uniform | LogUniform | Choice = 0.01,
        eps: float | Uniform | LogUniform | Choice = 0.001,
    ) -> Gradient: ...

clip_adaptive: _clip_adaptive

class _centralise(GradientTechnique):
    def __call__(
        self,
    ) -> Gradient: ...

centralise: _centralise
