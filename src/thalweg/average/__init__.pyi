# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.average`."""

from collections.abc import Sequence

from thalweg.average._averaged import Averaged as Averaged
from thalweg.average._batch_norm import precise_batch_norm as precise_batch_norm
from thalweg.average._technique import AverageTechnique as AverageTechnique
from thalweg.technique import Ingredient as Ingredient
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, AverageTechnique]

class _ema(AverageTechnique):
    def __call__(
        self,
        decay: float | Uniform | LogUniform | Choice = 0.999,
    ) -> Ingredient: ...

ema: _ema

class _ema_corrected(AverageTechnique):
    def __call__(
        self,
        decay: float | Uniform | LogUniform | Choice = 0.999,
    ) -> Ingredient: ...

ema_corrected: _ema_corrected

class _ema_warmup(AverageTechnique):
    def __call__(
        self,
        decay: float | Uniform | LogUniform | Choice = 0.999,
    ) -> Ingredient: ...

ema_warmup: _ema_warmup

class _swa(AverageTechnique):
    def __call__(
        self,
        start: float | Uniform | LogUniform | Choice = 0.75,
        every: float | Uniform | LogUniform | Choice | None = None,
    ) -> Ingredient: ...

swa: _swa
