# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.norm`."""

from collections.abc import Sequence

from thalweg.average._batch_norm import precise_batch_norm as precise_batch_norm
from thalweg.norm._fold import Folding as Folding
from thalweg.norm._fold import fold as fold
from thalweg.norm._fold import folding as folding
from thalweg.norm._last import LastAxis as LastAxis
from thalweg.norm._spatial import SpatialRMSNorm as SpatialRMSNorm
from thalweg.norm._standardise import Standardise as Standardise
from thalweg.norm._technique import Norm as Norm
from thalweg.norm._technique import NormTechnique as NormTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, NormTechnique]

class _batch(NormTechnique):
    def __call__(
        self,
        momentum: float | Uniform | LogUniform | Choice | None = 0.1,
        eps: float | Uniform | LogUniform | Choice = 1e-05,
        *,
        track_running_stats: bool = True,
    ) -> Norm: ...

batch: _batch

class _batch_cumulative(NormTechnique):
    def __call__(
        self,
        eps: float | Uniform | LogUniform | Choice = 1e-05,
    ) -> Norm: ...

batch_cumulative: _batch_cumulative

class _batch_untracked(NormTechnique):
    def __call__(
        self,
        eps: float | Uniform | LogUniform | Choice = 1e-05,
    ) -> Norm: ...

batch_untracked: _batch_untracked

class _layer(NormTechnique):
    def __call__(
        self,
        eps: float | Uniform | LogUniform | Choice = 1e-05,
    ) -> Norm: ...

layer: _layer

class _group(NormTechnique):
    def __call__(
        self,
        groups: int | Uniform | LogUniform | Choice = 8,
        eps: float | Uniform | LogUniform | Choice = 1e-05,
    ) -> Norm: ...

group: _group

class _instance(NormTechnique):
    def __call__(
        self,
        eps: float | Uniform | LogUniform | Choice = 1e-05,
    ) -> Norm: ...

instance: _instance

class _rms(NormTechnique):
    def __call__(
        self,
        eps: float | Uniform | LogUniform | Choice | None = None,
    ) -> Norm: ...

rms: _rms

class _removed(NormTechnique):
    def __call__(
        self,
    ) -> Norm: ...

removed: _removed
